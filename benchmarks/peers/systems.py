"""The five systems behind one small interface, each used as its own documentation shows, all with the same embedder.

Every peer gets the static embedder through its own embedding hook. A user is whatever the system has for that: an id
(Remanence, mem0), a namespace (LangGraph), a collection (Chroma), a filtered column (LanceDB). The peers are imported
where they are used, so that a process loads one of them.
"""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

from remanence.bench.corpora import text_of
from remanence.bench.datasets import Document
from remanence.stores.embedders.static import StaticEmbedder

DIMENSIONS = 256
PORTION = 1_000
"""Turns per call when many are added."""


class CannotError(Exception):
    """The system has no way to do this; the message says what it lacks."""


class System(Protocol):
    """What is asked of each system. Keys are the benchmark's own names for turns."""

    title: ClassVar[str]
    imports: ClassVar[str]
    """The statement that its users write."""

    def add(self, turn: Document, user: str) -> None:
        """Store one turn; when this returns, the system has acknowledged it."""
        ...

    def add_many(self, turns: Sequence[Document], user: str) -> None:
        """Store many turns in the way that the system has for many."""
        ...

    def prepare(self) -> None:
        """Do what its documentation asks for between loading and searching."""
        ...

    def settle(self) -> None:
        """Wait for work that goes on in the background while it can be used."""
        ...

    def search(self, text: str, user: str, k: int) -> list[str]:
        """Keys of the k best turns."""
        ...

    def keys(self, user: str) -> set[str]:
        """Keys of all turns that are stored."""
        ...

    def delete(self, keys: Sequence[str], user: str) -> None:
        """Delete turns by the ordinary call."""
        ...

    def purge(self, keys: Sequence[str], user: str) -> None:
        """Remove what was deleted from the files, by what the system documents for it; `CannotError` if nothing."""
        ...

    def kept(self, words: Sequence[str]) -> int:
        """How many of the words its versions still show, where files are compressed; `CannotError` without versions."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


def said(turn: Document) -> str:
    """What was said and by whom, as one text."""
    return f"{turn.speaker}: {text_of(turn)}" if turn.speaker else text_of(turn)


class Remanence:
    """This library by its public calls, with its defaults; who spoke and when are arguments of their own."""

    title = "Remanence"
    imports = "from remanence import Memory"

    def __init__(self, folder: Path, *, strong: bool = False) -> None:
        from remanence import Memory

        self._memory = Memory(folder / "remanence.db")

    def add(self, turn: Document, user: str) -> None:
        """See `System`."""
        message = {"name": turn.speaker, "content": text_of(turn), "timestamp": turn.event_at}
        self._memory.add([message], user_id=user, session_id=turn.session, metadata={"key": turn.id})

    def add_many(self, turns: Sequence[Document], user: str) -> None:
        """See `System`."""
        items = (
            {
                "name": turn.speaker,
                "content": text_of(turn),
                "timestamp": turn.event_at,
                "session_id": turn.session,
                "metadata": {"key": turn.id},
            }
            for turn in turns
        )
        self._memory.add_many(items, user_id=user, batch_size=PORTION)

    def prepare(self) -> None:
        """Nothing: what was added can be found."""

    def settle(self) -> None:
        """Work out the facts and episodes that a thread works out otherwise."""
        self._memory.flush()

    def search(self, text: str, user: str, k: int) -> list[str]:
        """See `System`."""
        found = self._memory.search(text, user_id=user, limit=k)["results"]
        return [row["metadata"]["key"] for row in found if "key" in (row["metadata"] or {})]

    def keys(self, user: str) -> set[str]:
        """See `System`."""
        return set(self._ids(user))

    def delete(self, keys: Sequence[str], user: str) -> None:
        """`Memory.delete`, which keeps the history, so that `undo` can bring it back."""
        ids = self._ids(user)
        for key in keys:
            self._memory.delete(ids[key], user_id=user)

    def purge(self, keys: Sequence[str], user: str) -> None:
        """`Memory.erase` of what was deleted, found in the changes that deleted it."""
        del keys
        events = [event for change in self._memory.changes(user_id=user, limit=100) for event in change["events"]]
        self._memory.erase([event["id"] for event in events if event["event"] == "DELETE"], user_id=user)

    def kept(self, words: Sequence[str]) -> int:
        """See `System`."""
        raise CannotError("its files are searched instead")

    def close(self) -> None:
        """See `System`."""
        self._memory.close()

    def _ids(self, user: str) -> dict[str, str]:
        listed: dict[str, str] = {}
        page: str | None = None
        while True:
            rows = self._memory.get_all(user_id=user, kinds="turn", limit=PORTION, page=page)
            listed.update((row["metadata"]["key"], row["id"]) for row in rows["results"])
            page = rows["next"]
            if page is None:
                return listed


class Mem0:
    """mem0 without a language model (`infer=False`), on its default vector store: Qdrant, embedded, on disk.

    Vectors come through its LangChain provider. Its keyword and entity signals need models that are fetched from the
    network at run time (fastembed's Qdrant/bm25, spaCy's en_core_web_sm), so they are off here.
    """

    title = "mem0 (infer=False, embedded Qdrant)"
    imports = "from mem0 import Memory"

    def __init__(self, folder: Path, *, strong: bool = False) -> None:
        embeddings: Any = importlib.import_module("langchain.embeddings.base").Embeddings
        memory: Any = importlib.import_module("mem0").Memory
        embedder = StaticEmbedder()

        class Static(embeddings):  # type: ignore[misc]
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                vectors: list[list[float]] = embedder.embed(texts).tolist()
                return vectors

            def embed_query(self, text: str) -> list[float]:
                return self.embed_documents([text])[0]

        store = {"path": str(folder / "qdrant"), "on_disk": True, "embedding_model_dims": DIMENSIONS}
        self._memory: Any = memory.from_config(
            {
                "vector_store": {"provider": "qdrant", "config": {"collection_name": "turns", **store}},
                "embedder": {"provider": "langchain", "config": {"model": Static()}},
                # Constructed by mem0 in any case; with infer=False it is never called.
                "llm": {"provider": "openai", "config": {"api_key": "never-used"}},
                "history_db_path": str(folder / "history.db"),
            }
        )

    def add(self, turn: Document, user: str) -> None:
        """See `System`."""
        message = [{"role": "user", "content": said(turn)}]
        rows = self._memory.add(message, user_id=user, infer=False, metadata={"key": turn.id})["results"]
        if len(rows) != 1:
            raise RuntimeError(f"add returned {len(rows)} results")

    def add_many(self, turns: Sequence[Document], user: str) -> None:
        """One by one: a call takes several messages, but then all share the same metadata, and so one key."""
        for turn in turns:
            self.add(turn, user)

    def prepare(self) -> None:
        """Nothing to do."""

    def settle(self) -> None:
        """Nothing to wait for."""

    def search(self, text: str, user: str, k: int) -> list[str]:
        """See `System`."""
        found = self._memory.search(text, filters={"user_id": user}, top_k=k)["results"]
        return [row["metadata"]["key"] for row in found]

    def keys(self, user: str) -> set[str]:
        """See `System`."""
        return set(self._ids(user))

    def delete(self, keys: Sequence[str], user: str) -> None:
        """See `System`."""
        ids = self._ids(user)
        for key in keys:
            self._memory.delete(ids[key])

    def purge(self, keys: Sequence[str], user: str) -> None:
        """See `System`."""
        raise CannotError("no call removes the text of a deleted memory from the history; reset() removes everything")

    def kept(self, words: Sequence[str]) -> int:
        """See `System`."""
        raise CannotError("its files are searched instead")

    def close(self) -> None:
        """Close it; its close() leaves the vector store open, whose client is closed here."""
        self._memory.close()
        with contextlib.suppress(AttributeError):
            self._memory.vector_store.client.close()

    def _ids(self, user: str) -> dict[str, str]:
        rows = self._memory.get_all(filters={"user_id": user}, top_k=1_000_000)["results"]
        return {row["metadata"]["key"]: row["id"] for row in rows}


class LangGraph:
    """LangGraph's `SqliteStore` with its sqlite-vec index, as `from_conn_string` sets it up.

    Version 3.1.2 of it does not read `fields`, which its documentation shows, and embeds the whole value as JSON.
    """

    title = "LangGraph SqliteStore (sqlite-vec)"
    imports = "from langgraph.store.sqlite import SqliteStore"

    def __init__(self, folder: Path, *, strong: bool = False) -> None:
        store: Any = importlib.import_module("langgraph.store.sqlite").SqliteStore
        embedder = StaticEmbedder()

        def embed(texts: Sequence[str]) -> list[list[float]]:
            vectors: list[list[float]] = embedder.embed(list(texts)).tolist()
            return vectors

        self._put: Any = importlib.import_module("langgraph.store.base").PutOp
        self._open = contextlib.ExitStack()
        index: Any = {"dims": DIMENSIONS, "embed": embed, "fields": ["text"]}
        opened = store.from_conn_string(str(folder / "store.db"), index=index)
        self._store: Any = self._open.enter_context(opened)
        self._store.setup()

    def add(self, turn: Document, user: str) -> None:
        """See `System`."""
        self._store.put(("turns", user), turn.id, {"text": said(turn)})

    def add_many(self, turns: Sequence[Document], user: str) -> None:
        """`batch`: one transaction per portion."""
        for start in range(0, len(turns), PORTION):
            portion = turns[start : start + PORTION]
            self._store.batch([self._put(("turns", user), turn.id, {"text": said(turn)}) for turn in portion])

    def prepare(self) -> None:
        """Nothing to do."""

    def settle(self) -> None:
        """Nothing to wait for."""

    def search(self, text: str, user: str, k: int) -> list[str]:
        """See `System`."""
        return [item.key for item in self._store.search(("turns", user), query=text, limit=k)]

    def keys(self, user: str) -> set[str]:
        """See `System`."""
        return {item.key for item in self._store.search(("turns", user), limit=1_000_000)}

    def delete(self, keys: Sequence[str], user: str) -> None:
        """See `System`."""
        for key in keys:
            self._store.delete(("turns", user), key)

    def purge(self, keys: Sequence[str], user: str) -> None:
        """See `System`."""
        raise CannotError("the store has no call for it")

    def kept(self, words: Sequence[str]) -> int:
        """See `System`."""
        raise CannotError("its files are searched instead")

    def close(self) -> None:
        """See `System`."""
        self._open.close()


class Chroma:
    """Chroma, embedded and persistent, a collection per user, cosine distance in its HNSW index."""

    title = "Chroma (embedded)"
    imports = "import chromadb"

    def __init__(self, folder: Path, *, strong: bool = False) -> None:
        chromadb: Any = importlib.import_module("chromadb")
        register: Any = importlib.import_module("chromadb.utils.embedding_functions").register_embedding_function
        embedder = StaticEmbedder()

        class Static(chromadb.EmbeddingFunction):  # type: ignore[misc]
            def __init__(self) -> None:
                """Nothing to set up."""

            def __call__(self, input: Any) -> Any:
                return list(embedder.embed(list(input)))

            @staticmethod
            def name() -> str:
                return "remanence-static"

            @staticmethod
            def build_from_config(config: Mapping[str, Any]) -> Any:
                return Static()

            def get_config(self) -> dict[str, Any]:
                return {}

        register(Static)
        self._folder = folder / "chroma"
        self._function: Any = Static()
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        self._client: Any = chromadb.PersistentClient(path=str(self._folder), settings=settings)
        self._collections: dict[str, Any] = {}

    def add(self, turn: Document, user: str) -> None:
        """See `System`."""
        self._of(user).add(ids=[turn.id], documents=[said(turn)])

    def add_many(self, turns: Sequence[Document], user: str) -> None:
        """See `System`."""
        for start in range(0, len(turns), PORTION):
            portion = turns[start : start + PORTION]
            self._of(user).add(ids=[turn.id for turn in portion], documents=[said(turn) for turn in portion])

    def prepare(self) -> None:
        """Nothing to do."""

    def settle(self) -> None:
        """Nothing to wait for."""

    def search(self, text: str, user: str, k: int) -> list[str]:
        """See `System`."""
        ids: list[str] = self._of(user).query(query_texts=[text], n_results=k)["ids"][0]
        return ids

    def keys(self, user: str) -> set[str]:
        """See `System`."""
        return set(self._of(user).get(include=[])["ids"])

    def delete(self, keys: Sequence[str], user: str) -> None:
        """See `System`."""
        self._of(user).delete(ids=list(keys))

    def purge(self, keys: Sequence[str], user: str) -> None:
        """`chroma vacuum`, its command, while nobody has the store open."""
        self.close()
        command = [str(Path(sys.executable).parent / "chroma"), "vacuum", "--path", str(self._folder), "--force"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"chroma vacuum: {(done.stderr or done.stdout).strip()[-300:]}")

    def kept(self, words: Sequence[str]) -> int:
        """See `System`."""
        raise CannotError("its files are searched instead")

    def close(self) -> None:
        """See `System`."""
        self._client.close()

    def _of(self, user: str) -> Any:
        if user not in self._collections:
            self._collections[user] = self._client.get_or_create_collection(
                f"user-{user}", embedding_function=self._function, configuration={"hnsw": {"space": "cosine"}}
            )
        return self._collections[user]


class LanceDb:
    """LanceDB: one table, hybrid search (its full-text index and its vectors, fused by its RRF reranker).

    `strong` sets `read_consistency_interval=0`, with which a reader looks for what other processes wrote.
    """

    title = "LanceDB (hybrid search)"
    imports = "import lancedb"

    def __init__(self, folder: Path, *, strong: bool = False) -> None:
        lancedb: Any = importlib.import_module("lancedb")
        embeddings: Any = importlib.import_module("lancedb.embeddings")
        models: Any = importlib.import_module("lancedb.pydantic")
        embedder = StaticEmbedder()

        @embeddings.register("remanence-static")
        class Static(embeddings.TextEmbeddingFunction):  # type: ignore[misc]
            def ndims(self) -> int:
                return DIMENSIONS

            def generate_embeddings(self, texts: Any, *_: Any, **__: Any) -> Any:
                return list(embedder.embed(list(texts)))

        function = Static.create()
        fields = {
            "__annotations__": {"key": str, "user": str, "text": str, "vector": models.Vector(DIMENSIONS)},
            "text": function.SourceField(),
            "vector": function.VectorField(),
        }
        interval = timedelta(0) if strong else None
        database: Any = lancedb.connect(str(folder / "lance"), read_consistency_interval=interval)
        schema = type("Turn", (models.LanceModel,), fields)
        self._table: Any = database.create_table("turns", schema=schema, exist_ok=True)
        self._reranker: Any = importlib.import_module("lancedb.rerankers").RRFReranker()

    def add(self, turn: Document, user: str) -> None:
        """See `System`."""
        self._table.add([self._row(turn, user)])

    def add_many(self, turns: Sequence[Document], user: str) -> None:
        """See `System`."""
        for start in range(0, len(turns), PORTION):
            self._table.add([self._row(turn, user) for turn in turns[start : start + PORTION]])

    def prepare(self) -> None:
        """The full-text index that hybrid search needs and an index on the user; later, `optimize`."""
        if self._table.list_indices():
            self._table.optimize()
            return
        index = importlib.import_module("lancedb.index")
        self._table.create_index("text", config=index.FTS())
        self._table.create_index("user", config=index.Bitmap())

    def settle(self) -> None:
        """Nothing to wait for."""

    def search(self, text: str, user: str, k: int) -> list[str]:
        """See `System`."""
        asked = self._table.search(text, query_type="hybrid").where(f"user = '{user}'", prefilter=True)
        return [row["key"] for row in asked.rerank(self._reranker).limit(k).to_list()]

    def keys(self, user: str) -> set[str]:
        """See `System`."""
        listed = self._table.search().where(f"user = '{user}'").select(["key"]).limit(1_000_000).to_list()
        return {row["key"] for row in listed}

    def delete(self, keys: Sequence[str], user: str) -> None:
        """See `System`."""
        listed = ", ".join(f"'{key}'" for key in keys)
        self._table.delete(f"user = '{user}' AND key IN ({listed})")

    def purge(self, keys: Sequence[str], user: str) -> None:
        """`optimize`, which compacts and drops all older versions."""
        self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)

    def kept(self, words: Sequence[str]) -> int:
        """How many of the words can be read in any version of the table that is still there."""
        texts: list[str] = []
        for version in self._table.list_versions():
            self._table.checkout(version["version"])
            texts += self._table.to_arrow().column("text").to_pylist()
        self._table.checkout_latest()
        return sum(any(word in text for text in texts) for word in words)

    def close(self) -> None:
        """Nothing to close."""

    @staticmethod
    def _row(turn: Document, user: str) -> dict[str, str]:
        return {"key": turn.id, "user": user, "text": said(turn)}


SYSTEMS: Mapping[str, Any] = {
    "remanence": Remanence,
    "mem0": Mem0,
    "langgraph": LangGraph,
    "chroma": Chroma,
    "lancedb": LanceDb,
}

"""The class that everybody uses: a durable, searchable, erasable memory in one file.

>>> from remanence import Memory
>>> memory = Memory(":memory:")
>>> added = memory.add("I moved to Oslo", user_id="ana")
>>> memory.search("where does Ana live?", user_id="ana")["results"][0]["memory"]
'I moved to Oslo'

Every verb takes the ids of whom the memory belongs to (`user_id`, `agent_id`, `run_id` or `session_id`, `app_id` or
`project_id`) as arguments or inside `filters`; those given to the constructor are the defaults. Without any there is no
memory: `ScopeRequired`. An id that is left out when reading covers all of its values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from remanence.core.clock import Clock, utc_now
from remanence.kernels.analyzer import Analyzer
from remanence.runtime import adding, changing, reading, vectors, worker
from remanence.runtime.adding import Common, Progress
from remanence.runtime.arguments import Ids, Time, ids_of, kinds_of, limit_of, scope_of, view_of
from remanence.runtime.context import Context, build
from remanence.runtime.engine import Engine, open_store
from remanence.runtime.results import AddResult, Change, HistoryRow, Item, ManyResult, Page, SearchResult
from remanence.runtime.verbs import Filters
from remanence.runtime.verbs_care import CareVerbs
from remanence.runtime.verbs_hygiene import HygieneVerbs
from remanence.runtime.verbs_truth import TruthVerbs
from remanence.runtime.verbs_work import WorkVerbs
from remanence.stores.embedders import as_embedder
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.port import RecordStore

if TYPE_CHECKING:
    from remanence.runtime.enrichment.budget import Limits
    from remanence.substrates.chat import ChatModel

__all__ = ["Memory"]


class Memory(TruthVerbs, WorkVerbs, HygieneVerbs, CareVerbs):
    """Remembers what is said, finds it again, knows what was true when, and can prove that it forgot.

    Nothing is opened, read or loaded before the first call that needs it. One object may be used by many threads, one
    file by many objects and processes.

    Args:
        path: the file; a folder means `remanence.db` in it, None means `$REMANENCE_DIR/remanence.db` or
            `./remanence.db`, and `":memory:"` a store that dies with the object.
        user_id: default for all calls; so are `agent_id`, `run_id` and `app_id`.
        embedder: what gives texts their vectors: "static" (the table that ships with the package), another name, an
            embedder, or a function of a list of texts; see `remanence.stores.embedders`.
        language: of the texts: "auto", a name such as "german" or a code such as "de". The same for as long as a store
            is used: questions and memories have to be cut into the same terms. `rebuild` moves a store to another.
        store: an open record store instead of `path`; `close` leaves it open.
        clock: where the time comes from.
        actor: who is written into the journal as the author of changes.
        index_bytes: memory that the indexes of the scopes in use may take.
        background: whether a thread of this object works out facts, episodes and the like soon after something was
            added; without it `flush`, `work` or a `remanence worker` does. `REMANENCE_BACKGROUND=0` switches it off.
        enrich: whether that work is noted down at all.
        llm: a language model that refines what rules worked out: "openai:gpt-4o-mini", a mapping with `model` and
            `base_url`, or a function from messages to text; see `remanence.stores.llm`. None: no model is ever called.
        llm_limits: how many calls and tokens that may take per day.

    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        user_id: str | int | None = None,
        agent_id: str | int | None = None,
        run_id: str | int | None = None,
        app_id: str | int | None = None,
        embedder: Embedder | Callable[[list[str]], object] | str = "static",
        language: str = "auto",
        store: RecordStore | None = None,
        clock: Clock = utc_now,
        actor: str = "",
        index_bytes: int = 2 * 1024**3,
        background: bool = True,
        enrich: bool = True,
        llm: object = None,
        llm_limits: Limits | None = None,
    ) -> None:
        self._owns_store = store is None
        self._engine = Engine(
            open_store(path, clock) if store is None else store,
            embedder=as_embedder(embedder),
            analyzer=Analyzer(language),
            clock=clock,
            defaults=ids_of({"user_id": user_id, "agent_id": agent_id, "run_id": run_id, "app_id": app_id}),
            actor=actor,
            index_bytes=index_bytes,
            enrich=enrich,
            llm=_model(llm),
            llm_limits=llm_limits,
        )
        if background and enrich:
            self._engine.worker = worker.background(self._engine)
        self._late = vectors.LateVectors(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        ids = "".join(f", {name}={value!r}" for name, value in self._engine.defaults.items())
        return f"Memory({self._engine.place!r}{ids})"

    @property
    def store(self) -> RecordStore:
        """The record store underneath."""
        return self._engine.store

    # Remembering

    def add(
        self,
        messages: str | Mapping[str, Any] | Sequence[Any],
        *,
        metadata: Mapping[str, Any] | None = None,
        timestamp: Time | None = None,
        valid_from: Time | None = None,
        valid_to: Time | None = None,
        kind: str = "turn",
        speaker: str | None = None,
        role: str = "user",
        language: str | None = None,
        based_on: Sequence[str] | str | None = None,
        origin: str | None = None,
        trust: float | None = None,
        infer: bool = True,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> AddResult:
        """Remember messages, word for word, in one transaction; when this returns they are durable and searchable.

        No model is called. `messages` is a string, a mapping with `role` and `content`, or a list of these, with
        `name` and `timestamp` where known, and with `metadata`, `kind`, `valid_from`, `valid_to`, `language` and ids of
        their own (`session_id`), which may narrow those of the call and not contradict them. System messages and
        recalled memories are not stored; their row says so.

        Args:
            messages: what was said.
            metadata: JSON values kept with each memory and open to filters; a message's own are added to them and go
                before them.
            timestamp: when it was said, for messages without a timestamp of their own; now if left out.
            valid_from: since when it is true; when it was said if left out.
            valid_to: until when it is true; no end if left out.
            kind: what it is: "turn", "fact", "note", …
            speaker: who said it, for messages without a `name`.
            role: the role of messages that are plain strings.
            language: a label kept with the memory.
            based_on: ids of memories that this one is concluded from; once one of them holds no longer, this one is
                flagged as stale and found no more, but `as_of` earlier times.
            origin: where it comes from ("web", "import:notes"); the role if left out.
            trust: how far it may be believed, from 0 (quarantine) to 1; by role and origin if left out.
            infer: accepted for mem0's sake: words are kept either way, and nothing is inferred on the way in.

        Returns:
            `results`, one row per message (`id`, `memory`, `event` "ADD", or "NONE" with a `reason`), and `change`.

        Raises:
            InvalidInput: nothing to remember, or something that cannot be kept; nothing was stored.
            StoreError: the store could not write; nothing was stored.

        """
        scope = self._whom("add", ids, filters)
        common = Common(
            metadata=metadata,
            timestamp=timestamp,
            valid_from=valid_from,
            valid_to=valid_to,
            kind=kind,
            speaker=speaker,
            role=role,
            language=language,
            origin=origin,
            trust=trust,
            sources=reading.whole(self._engine, based_on, scope),
        )
        return adding.add(self._engine, messages, scope, common)

    def add_many(
        self,
        items: Iterable[Any],
        *,
        metadata: Mapping[str, Any] | None = None,
        kind: str = "turn",
        language: str | None = None,
        batch_size: int = 1000,
        progress: Progress | None = None,
        **ids: Unpack[Ids],
    ) -> ManyResult:
        """Remember a stream of messages, thousands per second, `batch_size` per transaction.

        An item is a message as for `add`, with any of `user_id` … `session_id`, `metadata`, `kind`, `valid_from`,
        `valid_to` and `language` of its own; or a mapping with `messages` and the same. What the item says goes before
        what the call says, but its ids may not contradict those of the call. Messages that share no id with others
        (several users without a common app) are committed apart from them.

        Args:
            items: the messages; read as they are needed.
            metadata: for items without their own.
            kind: for items without their own.
            language: for items without their own.
            batch_size: messages per transaction.
            progress: called with the number of items read, and of all items if that is known, after each commit.

        Returns:
            `ids` in the order of the messages (None for what `skipped` gives a reason for), `count` and `changes`.

        Raises:
            RemanenceError: of the kind that `add` would raise; the message names the item and how many were stored.

        """
        return adding.add_many(
            self._engine,
            items,
            ids,
            Common(metadata=metadata, kind=kind, language=language),
            batch_size=batch_size,
            progress=progress,
        )

    # Finding

    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        top_k: int | None = None,
        filters: Filters | None = None,
        threshold: float | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        kinds: Sequence[str] | str | None = None,
        explain: bool = False,
        rerank: bool = False,
        **ids: Unpack[Ids],
    ) -> SearchResult:
        """The memories most likely to answer a query, best first.

        Scores are probabilities, comparable between queries. Each result counts as one use of that memory; the counts
        are written with the next write, by `flush` or by `close`, so that reading stays reading.

        Args:
            query: a question or some words.
            limit: how many at most; 10 if left out.
            top_k: the same as `limit`.
            filters: conditions on fields and metadata, with the operators of mem0 and LangGraph; scope ids too.
            threshold: leave out what scores less.
            as_of: what was true then, instead of now.
            known_at: as the store knew it then.
            kinds: only these kinds of memories.
            explain: add to each result what each channel gave it (shares of the logit of its score).
            rerank: accepted for mem0's sake: all channels are weighed in one step, there is nothing to do again.

        Returns:
            `results`; `answerable`, the probability that any of them answers; and `degraded`, if something failed that
            did not keep others from being found.

        Raises:
            InvalidInput: an empty query, a limit, time or filter that cannot be read.
            EmbeddingSpaceMismatch: the memories have vectors of another embedder only.

        """
        scope, where = scope_of("search", self._engine.defaults, ids, filters)
        return reading.search(
            self._engine,
            self._late,
            query,
            limit_of(limit, top_k, 10),
            scope,
            view_of(self._engine.now(), as_of, known_at),
            where=where,
            kinds=kinds_of(kinds),
            threshold=threshold,
            explain=explain,
        )

    def context(
        self,
        query: str,
        *,
        max_tokens: int = 800,
        limit: int | None = None,
        top_k: int | None = None,
        filters: Filters | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        kinds: Sequence[str] | str | None = None,
        neighbours: int = 1,
        count_tokens: Callable[[str], int] | None = None,
        **ids: Unpack[Ids],
    ) -> Context:
        """Memories for a query as a block of text that goes into a prompt: a string, with citations attached.

        What was said around the hits is pulled in, repetitions are folded, and the rest is ordered by time, one line
        each with its number, date and speaker, until the budget is full. The block is fenced and marked as data.

        Args:
            query: what the prompt is about.
            max_tokens: budget; never exceeded, as counted by `count_tokens`.
            limit: how many hits to start from.
            top_k: the same as `limit`.
            filters: as in `search`.
            as_of: as in `search`.
            known_at: as in `search`.
            kinds: as in `search`.
            neighbours: how many turns before and after a hit may come along (0 to 2).
            count_tokens: tokens of a text by the model's own tokenizer; a cautious estimate if left out.

        Raises:
            InvalidInput: as `search`, or a budget too small for any memory.

        """
        scope, where = scope_of("context", self._engine.defaults, ids, filters)
        return build(
            self._engine,
            self._late,
            query,
            scope,
            view_of(self._engine.now(), as_of, known_at),
            limit=limit_of(limit, top_k, 20),
            where=where,
            kinds=kinds_of(kinds),
            max_tokens=max_tokens,
            neighbours=neighbours,
            count=count_tokens,
        )

    def get(
        self,
        memory_id: str,
        *,
        as_of: Time | None = None,
        known_at: Time | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> Item | None:
        """One memory; None if there is none in this scope, or none at that time."""
        scope = self._whom("get", ids, filters)
        return reading.get(self._engine, memory_id, scope, view_of(self._engine.now(), as_of, known_at))

    def get_all(
        self,
        *,
        limit: int | None = None,
        top_k: int | None = None,
        page: str | None = None,
        filters: Filters | None = None,
        kinds: Sequence[str] | str | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        newest_first: bool = False,
        **ids: Unpack[Ids],
    ) -> Page:
        """Memories in the order in which they were added, 100 at a time; pass `next` as `page` for more."""
        scope, where = scope_of("get_all", self._engine.defaults, ids, filters)
        return reading.get_all(
            self._engine,
            limit_of(limit, top_k, 100),
            scope,
            view_of(self._engine.now(), as_of, known_at),
            where=where,
            kinds=kinds_of(kinds),
            page=page,
            newest_first=newest_first,
        )

    # Changing

    def update(
        self,
        memory_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        data: str | None = None,
        timestamp: Time | None = None,
        valid_from: Time | None = None,
        valid_to: Time | None = None,
        expected_version: int | None = None,
        correction: bool = False,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> AddResult:
        """Replace what a memory says; the old version stays in its history and in searches `as_of` its time.

        New text is true from `valid_from`, `timestamp` or now on. With `correction=True` the old text was never true:
        the new one takes its times. Metadata replaces metadata as a whole and keeps the times.

        Args:
            memory_id: which memory.
            text: the new text.
            metadata: the new metadata.
            data: the same as `text`.
            timestamp: when the new text was said.
            valid_from: since when it is true.
            valid_to: until when it is true.
            expected_version: refuse if the memory is at another version.
            correction: the old text was wrong from the beginning.

        Raises:
            NotFound: no such memory in this scope, or it was deleted.
            Conflict: it is not at `expected_version`.

        """
        scope = self._whom("update", ids, filters)
        return changing.update(
            self._engine,
            memory_id,
            scope,
            text=changing.one_text(text, data),
            metadata=metadata,
            timestamp=timestamp,
            valid_from=valid_from,
            valid_to=valid_to,
            expected_version=expected_version,
            correction=correction,
        )

    def delete(
        self,
        memory_id: str,
        *,
        at: Time | None = None,
        expected_version: int | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> AddResult:
        """Let go of a memory: it is found no more, but stays in its history, and `undo` brings it back.

        `at`: it stopped being true then, and is still found `as_of` earlier times; left out, what it says now never was
        true. What it said before an update stays true for the time before.
        `erase` destroys instead. Errors as `update`.
        """
        scope = self._whom("delete", ids, filters)
        return changing.delete(self._engine, memory_id, scope, at=at, expected_version=expected_version)

    def delete_all(self, *, filters: Filters | None = None, **ids: Unpack[Ids]) -> dict[str, Any]:
        """Let go of every memory of a scope, in one change that `undo` can take back; `count` says how many."""
        return changing.delete_all(self._engine, self._whom("delete_all", ids, filters))

    def history(self, memory_id: str, *, filters: Filters | None = None, **ids: Unpack[Ids]) -> list[HistoryRow]:
        """Every change of one memory, oldest first. Raises `NotFound`."""
        return reading.history(self._engine, memory_id, self._whom("history", ids, filters))

    def undo(
        self, change: str | Mapping[str, Any], *, filters: Filters | None = None, **ids: Unpack[Ids]
    ) -> dict[str, Any]:
        """Take a change back, as one new change that can itself be undone.

        Args:
            change: its id, or the result of the verb that made it.

        Raises:
            NotFound: no such change in this scope.
            Conflict: something later rests on it; undo that first.
            InvalidInput: an erasure cannot be undone.

        """
        return changing.undo(self._engine, change, self._whom("undo", ids, filters))

    def changes(
        self,
        *,
        limit: int | None = None,
        before: str | None = None,
        derived: bool = False,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> list[Change]:
        """The latest changes in a scope, newest first; 20 if no limit is given.

        `events` of a change are its first thousand; `count` says how many there are.

        Args:
            limit: how many at most.
            before: only what was changed before this change; to go on, that of the last one listed.
            derived: also those by which workers wrote down what they had worked out.

        Raises:
            NotFound: `before` is no change in this scope.

        """
        scope = self._whom("changes", ids, filters)
        return reading.changes(self._engine, scope, limit_of(limit, None, 20), derived=derived, before=before)

    def close(self) -> None:
        """Count what was used, and close the store unless it was handed in. Later calls raise `StoreClosed`."""
        self._engine.close(close_store=self._owns_store)

    remember = add
    recall = search
    forget = delete


def _model(llm: object) -> ChatModel | None:
    """The language model that a caller means. What speaks to models is loaded for those who use one."""
    if llm is None:
        return None
    from remanence.stores.llm import as_llm

    return as_llm(llm)

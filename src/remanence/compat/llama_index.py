"""LlamaIndex's retriever over a memory.

>>> from remanence import Memory
>>> from remanence.compat.llama_index import RemanenceRetriever
>>> memory = Memory(":memory:", user_id="ana")
>>> added = memory.add("The spare key is under the flower pot")
>>> RemanenceRetriever(memory).retrieve("where is the key?")[0].text
'The spare key is under the flower pot'
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from remanence.compat.extras import missing
from remanence.compat.transcript import memories_only, own_metadata
from remanence.runtime.memory import Memory

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
except ImportError as error:
    raise missing(__name__, "llama-index-core", error) from error

__all__ = ["RemanenceRetriever"]

_ABOUT: Final = (
    "event_at", "valid_from", "valid_to", "user_id", "agent_id", "run_id", "app_id", "speaker", "role", "kind",
)  # fmt: skip
_UNTOLD: Final = [name for name in _ABOUT if name not in ("event_at", "speaker")]
"""What a program may want to know of a memory, and a model need not read in every prompt."""


class RemanenceRetriever(BaseRetriever):
    """Memories as nodes with scores. A node's id is the memory's; its metadata are the memory's own, and who and when.

    Of what is known about a memory, prompts get who said it and when; ids, kind, role and validity are in the metadata
    alone (`excluded_llm_metadata_keys`).

    Args:
        memory: where to look.
        similarity_top_k: how many nodes at most.
        options: more arguments of `Memory.search`: `user_id`, `filters`, `threshold`, `as_of`, ….

    """

    def __init__(self, memory: Memory, *, similarity_top_k: int = 10, **options: Any) -> None:
        super().__init__()
        self._memory = memory
        self._k = similarity_top_k
        self._options = {**options, "filters": memories_only(options.get("filters"))}

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._memory.search(query_bundle.query_str, limit=self._k, **self._options)
        return [
            NodeWithScore(
                node=TextNode(
                    text=row["memory"],
                    id_=row["id"],
                    metadata={
                        **own_metadata(row["metadata"]),
                        **{name: value for name in _ABOUT if (value := row.get(name))},
                    },
                    excluded_llm_metadata_keys=list(_UNTOLD),
                    excluded_embed_metadata_keys=list(_ABOUT),
                ),
                score=row["score"],
            )
            for row in found["results"]
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

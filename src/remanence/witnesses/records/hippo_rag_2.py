"""Do facts that a question reminds of lead to both passages of a two-hop question, and plain questions lose nothing?

The corpus and the baselines are those of `hippo_rag`. What the paper calls essential is left out in turn: the filter
of facts, the small weight of passages (1 in place of 0.05), the walk. One-hop questions check what seeding passages is
for: being no worse than dense search where dense search is good.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from remanence.core.card import Evidence
from remanence.mechanisms.records.hippo_rag_2 import HippoRag2
from remanence.scenarios.chains import passage_corpus
from remanence.stores.embedders import StaticEmbedder
from remanence.witnesses.records.hippo_rag import K, asking, baselines, recall, stated

ARMS: Mapping[str, Mapping[str, Any]] = {
    "stated": {},
    "unfiltered": {"recognise": False},
    "heavy_passages": {"passage_weight": 1.0},
    "no_walk": {"damping": 0.0},
}
"""With the scenario's triples: all of the mechanism, and what is left of it without its parts."""


def witness(seed: int) -> Evidence:
    """Mean recall@5 over the two-hop questions, beside the best baseline."""
    found = measure(seed, arms=())
    return Evidence(f"recall@{K}", found.pop("hippo_rag_2"), max(found.values()))


def measure(seed: int, hops: int = 2, arms: Collection[str] = tuple(ARMS)) -> dict[str, float]:
    """Mean recall@5 of "hippo_rag_2", of these arms, and of "bm25", "dense" and "rrf"."""
    corpus, embedder = passage_corpus(seed), StaticEmbedder()
    made = {name: HippoRag2(embedder=embedder, openie=stated(corpus), **ARMS[name]) for name in arms}
    made["hippo_rag_2"] = HippoRag2(embedder=embedder)
    asks = {name: asking(arm, corpus) for name, arm in made.items()}
    return {name: recall(ask, corpus.of(hops)) for name, ask in {**asks, **baselines(corpus)}.items()}

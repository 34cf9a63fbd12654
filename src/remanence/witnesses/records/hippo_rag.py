"""Does a walk over phrases find both passages of a two-hop question that names only the first one's person?

480 passages: people work for companies, companies have their seat in cities. The question names a person and asks for
the city, so that nothing in it tells the company's passage from its 119 rivals. The baselines get stems, no stop words,
the title in every text, and the same embedder. The mechanism reads the passages by its rules, which know nothing of
the frames they are written in; "stated" is the same with the triples that the scenario states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from remanence.core.card import Evidence
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.openie import Extraction
from remanence.mechanisms.records.hippo_rag import HippoRag
from remanence.scenarios.chains import ChainQuestion, Passage, PassageCorpus, passage_corpus
from remanence.scenarios.model import Turn
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.families.phrases import PhraseMemory
from remanence.substrates.records.mechanism import Item
from remanence.witnesses.records.recall import Baselines

K = 5
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Ask = Callable[[ChainQuestion], Sequence[str]]
"""Ids of the passages found for a question, best first."""


ARMS: Mapping[str, Mapping[str, Any]] = {
    "hippo_rag": {},
    "no_walk": {"damping": 0.0},
    "unspecific": {"specific": False},
    "no_synonyms": {"synonym": 1.0},
}
"""The mechanism, and what is left of it without its parts. "stated" is it with the scenario's triples."""


def witness(seed: int) -> Evidence:
    """Mean recall@5 over the two-hop questions, beside the best baseline."""
    found = measure(seed, arms=("hippo_rag",))
    return Evidence(f"recall@{K}", found.pop("hippo_rag"), max(found.values()))


def measure(seed: int, hops: int = 2, arms: Collection[str] = ("stated", *ARMS)) -> dict[str, float]:
    """Mean recall@5 of these arms, and of "bm25", "dense" and "rrf"."""
    corpus, embedder = passage_corpus(seed), StaticEmbedder()
    made = {name: HippoRag(embedder=embedder, **ARMS[name]) for name in arms if name in ARMS}
    if "stated" in arms:
        made["stated"] = HippoRag(embedder=embedder, openie=stated(corpus))
    asks = {name: asking(arm, corpus) for name, arm in made.items()}
    return {name: recall(ask, corpus.of(hops)) for name, ask in {**asks, **baselines(corpus)}.items()}


def written(passage: Passage) -> str:
    """A passage as it is remembered: its title, then its text."""
    return f"{passage.title}\n{passage.text}"


def stated(corpus: PassageCorpus) -> Callable[[Sequence[str]], list[Extraction]]:
    """An extractor that knows the triples of every passage."""
    known = {written(passage): Extraction((passage.title,), passage.triples) for passage in corpus.passages}
    return lambda texts: [known[text] for text in texts]


def asking(memory: PhraseMemory, corpus: PassageCorpus, k: int = K) -> Ask:
    """A memory that was told all passages."""
    ids = memory.write([Item(written(passage)) for passage in corpus.passages], now=NOW)
    passage_of = {id: passage.id for id, passage in zip(ids, corpus.passages, strict=True)}
    return lambda question: [passage_of[hit.id] for hit in memory.read(question.text, k, now=NOW)]


def baselines(corpus: PassageCorpus) -> Mapping[str, Ask]:
    """BM25, dense search and their fusion over the same texts."""
    turns = [Turn(passage.id, "corpus", passage.title, passage.text, NOW) for passage in corpus.passages]
    ranker = Baselines(turns, Analyzer(), StaticEmbedder())

    def asked(name: str) -> Ask:
        return lambda question: [turns[row].id for row in dict(ranker.rank(question.text))[name]]

    return {name: asked(name) for name in ("bm25", "dense", "rrf")}


def recall(ask: Ask, questions: Sequence[ChainQuestion], k: int = K) -> float:
    """Mean share of the gold passages among the first k."""
    return float(np.mean([len(set(ask(question)[:k]) & set(question.gold)) / question.hops for question in questions]))

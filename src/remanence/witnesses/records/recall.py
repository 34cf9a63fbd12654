"""Does the engine find the evidence of a question more often than BM25, dense search or their rank fusion?

A conversation is remembered turn by turn, and its questions are asked. At the level "hard" the evidence paraphrases
the question, and other turns repeat the question's words without answering it. The baselines get what makes them
strongest: stems, no stop words, a length normalisation fit for short turns (b = 0.3; the usual 0.75 finds less), the
speaker's name in every text, and the engine's own embedder.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Evidence
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.bm25 import Postings, idf, length_norms, saturate
from remanence.kernels.dense import top
from remanence.kernels.fusion import reciprocal_rank_fusion
from remanence.kernels.related import RelatedTerms
from remanence.mechanisms.records.recall import Recall
from remanence.scenarios.dialogues import Dialogue, Hardness, Turn, generate
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.mechanism import Item

K = 5
DEPTH = 100
"""Places of each ranking that are fused."""


def witness(seed: int) -> Evidence:
    """Mean recall@5 of the evidence of all questions, beside the best of the three baselines."""
    found = measure(seed)
    return Evidence(f"recall@{K}", found.pop("recall"), max(found.values()))


def measure(seed: int, *, hardness: Hardness = "hard", k: int = K) -> dict[str, float]:
    """Mean recall@k of "recall", "bm25", "dense" and "rrf" on one generated conversation."""
    dialogue = generate(seed, hardness=hardness)
    analyzer, embedder = Analyzer(), StaticEmbedder()
    engine = Recall(
        scope=Scope(user_id="witness"),
        embedder=embedder,
        analyzer=analyzer,
        related=RelatedTerms(embedder.words, analyzer),
    )
    turn_of = _remember(engine, dialogue)
    baselines = Baselines(dialogue.turns, analyzer, embedder)
    shares: dict[str, list[float]] = {}
    for question in dialogue.questions:
        if question.gold:
            ranked = {name: [dialogue.turns[row].id for row in rows] for name, rows in baselines.rank(question.text)}
            ranked["recall"] = [turn_of[hit.id] for hit in engine.read(question.text, k, now=question.now)]
            for name, ids in ranked.items():
                shares.setdefault(name, []).append(_recall(ids[:k], question.gold))
    return {name: float(np.mean(values)) for name, values in shares.items()}


class Baselines:
    """BM25, dense search and their reciprocal rank fusion over the turns of a conversation."""

    def __init__(self, turns: Sequence[Turn], analyzer: Analyzer, embedder: Embedder) -> None:
        texts = [f"{turn.speaker}: {turn.text}" for turn in turns]
        self._analyzer = analyzer
        self._embedder = embedder
        self._vectors = embedder.embed(texts)
        self._numbers: dict[str, int] = {}
        documents = [
            [self._numbers.setdefault(term, len(self._numbers)) for term in self._content(text)] for text in texts
        ]
        offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        self._postings = Postings()
        self._postings.append(np.array([term for document in documents for term in document], np.int32), offsets)
        self._norms = length_norms(np.diff(offsets).astype(np.float32))

    def rank(self, query: str) -> list[tuple[str, list[int]]]:
        """Rows of the turns by name of the baseline, best first, at most `DEPTH`."""
        cosines: NDArray[np.float32] = self._vectors @ self._embedder.embed([query], kind="query")[0]
        bm25 = top(self._bm25(query), DEPTH, above=0).tolist()
        dense = top(cosines, DEPTH).tolist()
        fused = [row for row, _ in reciprocal_rank_fusion([bm25, dense])]
        return [("bm25", bm25), ("dense", dense), ("rrf", fused)]

    def _bm25(self, query: str) -> NDArray[np.float32]:
        scores = np.zeros(self._postings.rows, np.float32)
        terms = [self._numbers[term] for term in dict.fromkeys(self._content(query)) if term in self._numbers]
        for docs, tfs in self._postings.of_many(terms):
            scores[docs] += saturate(tfs, self._norms[docs], idf(self._postings.rows, len(docs)))
        return scores

    def _content(self, text: str) -> list[str]:
        terms = self._analyzer.terms(text)
        return [term for term in terms if not is_stopword(term)] or terms


def _remember(engine: Recall, dialogue: Dialogue) -> dict[str, str]:
    """Write a conversation session by session; the turn that each record id stands for."""
    sessions: dict[str, list[Turn]] = {}
    for turn in dialogue.turns:
        sessions.setdefault(turn.session, []).append(turn)
    turn_of: dict[str, str] = {}
    for turns in sessions.values():
        items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in turns]
        turn_of.update(zip(engine.write(items, now=turns[-1].at), (turn.id for turn in turns), strict=True))
    return turn_of


def _recall(ids: Sequence[str], gold: Collection[str]) -> float:
    return len(set(ids) & set(gold)) / len(gold)

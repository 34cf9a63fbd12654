from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.kernels.bm25 import K1, B, bm25_naive, idf
from remanence.substrates.records import channels
from remanence.substrates.records.operations import Operation, Put
from remanence.substrates.records.reference import MemoryStore
from remanence.substrates.records.scope_index import MARK, WINDOW, ScopeIndex
from tests.substrates.worlds import ANA, ANALYZER, EMBEDDER, MINUTE, START, turn

RELATED = {
    "fox": (("dog", 0.9), ("bird", 0.6), ("unheard", 0.5)),
    "red": (("green", 0.8), ("blue", 0.7)),
    "sing": (("jump", 0.5), ("red", 0.45)),
}
QUERIES = ["red fox", "sings", "blue unheard", "unheard", "fox fox red dog", "Oslo 2024", ""]


class Talk:
    """Random turns in several sessions, and what a reader of the texts would say of them."""

    def __init__(self, seed: int, count: int = 60) -> None:
        rng = random.Random(seed)
        vocabulary = "red blue green fox dog bird jumps sings sleeps Oslo Bergen 2024".split()
        # Words that are said once, twice, three times.
        rare = [first + vowel + "ko" for first in "bdfgklmnprtvz" for vowel in "aeiou"]
        self.texts = [
            " ".join(rng.choices(vocabulary, k=rng.randint(0, 6)) + rng.choices(rare, k=rng.randint(0, 4)))
            + rng.choice([".", "?"])
            for _ in range(count)
        ]
        runs = [rng.choice("abcccccdef") for _ in range(count)]
        self.embedded = [rng.random() < 0.8 for _ in range(count)]
        store = MemoryStore()
        puts: list[Operation] = [
            Put(turn(text, embedded=embedded, event_at=START + i * MINUTE, scope=Scope(user_id="ana", run_id=run)))
            for i, (text, run, embedded) in enumerate(zip(self.texts, runs, self.embedded, strict=True))
        ]
        store.batch(puts, scope=ANA)
        self.index = ScopeIndex(store, ANA, EMBEDDER.space.key, EMBEDDER.space.dim)
        self.index.refresh()
        self.terms = [ANALYZER.terms(text) for text in self.texts]
        self.runs = runs
        self.hidden = np.array([rng.random() < 0.3 for _ in range(count)])

    def __len__(self) -> int:
        return len(self.texts)

    def near(self, row: int) -> dict[int, int]:
        """Rows at each distance in the same session, by counting through the session."""
        session = [other for other in range(len(self)) if self.runs[other] == self.runs[row]]
        place = session.index(row)
        return {d: session[place + d] for d in WINDOW if 0 <= place + d < len(session)}

    def seen(self, visible: NDArray[np.bool_] | None) -> list[Counter[str]]:
        """How often each row says each term; nothing where it is hidden."""
        return [Counter(t) if visible is None or visible[row] else Counter() for row, t in enumerate(self.terms)]

    def vectors(self) -> NDArray[np.float32]:
        vectors = EMBEDDER.embed(self.texts)
        vectors[[not embedded for embedded in self.embedded]] = 0
        return vectors


TALKS = [Talk(seed) for seed in range(4)]
CASES = [(talk, visible) for talk in TALKS for visible in (None, ~talk.hidden)]


def query_terms(query: str) -> list[str]:
    return list(dict.fromkeys(ANALYZER.terms(query)))


def df(counts: Sequence[Counter[str]], term: str) -> int:
    return sum(term in count for count in counts)


def share(tf: float, length: float, average: float, k1: float = K1, b: float = B) -> float:
    """The part of BM25 that depends on the document."""
    return tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average)) if tf else 0.0


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("talk", "visible"), CASES)
def test_lexical(talk: Talk, visible: NDArray[np.bool_] | None, query: str) -> None:
    terms, counts = query_terms(query), talk.seen(visible)
    repeated = ANALYZER.terms(query)
    average = sum(map(len, talk.terms)) / len(talk)
    expected = [
        sum(idf(len(talk), df(counts, t)) * share(counts[row][t], len(talk.terms[row]), average) for t in terms)
        for row in range(len(talk))
    ]
    found = channels.postings_of(talk.index, repeated, visible)
    assert len(found) == sum(df(counts, term) > 0 for term in terms)
    assert channels.lexical(talk.index, found) == pytest.approx([*expected, 0], rel=1e-4, abs=1e-6)
    rows = np.array([5, 3, 59, 0])
    assert channels.lexical_of(talk.index, found, rows) == pytest.approx(
        [expected[row] for row in rows], rel=1e-4, abs=1e-6
    )
    assert channels.lexical_of(talk.index, found, np.zeros(0, np.intp)).tolist() == []
    ceiling = channels.lexical_ceiling(talk.index, repeated, found)
    assert ceiling == pytest.approx(max(sum(idf(len(talk), df(counts, term)) * 2.2 for term in terms), 1e-9))
    assert max(expected) <= ceiling
    if visible is None:
        numbers: dict[str, int] = {}
        documents = [[numbers.setdefault(term, len(numbers)) for term in text] for text in talk.terms]
        naive = bm25_naive(documents, [numbers.setdefault(term, len(numbers)) for term in terms])
        assert expected == pytest.approx(naive)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("talk", "visible"), CASES)
def test_lexical_window(talk: Talk, visible: NDArray[np.bool_] | None, query: str) -> None:
    terms, counts = query_terms(query), talk.seen(visible)

    def window(row: int, value: dict[int, float]) -> float:
        return sum(WINDOW[distance] * value[near] for distance, near in talk.near(row).items())

    lengths = {row: float(len(terms)) for row, terms in enumerate(talk.terms)}
    average = sum(window(row, lengths) for row in lengths) / len(lengths)
    seen_lengths = {row: 0.0 if visible is not None and not visible[row] else length for row, length in lengths.items()}
    rows = [row for row in range(len(talk)) if visible is None or visible[row]]
    expected = []
    for row in rows:
        total = 0.0
        for term in terms:
            tf = window(row, {other: float(counts[other][term]) for other in lengths})
            total += idf(len(talk), df(counts, term)) * share(tf, window(row, seen_lengths), average)
        expected.append(total)
    around = channels.around(talk.index, np.array(rows), visible)
    found = channels.lexical_window(talk.index, channels.postings_of(talk.index, terms, visible), around)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_part_of_the_rows_gets_the_scores_that_all_would_give() -> None:
    # What a row is worth does not depend on which others were looked at.
    talk = TALKS[0]
    found = channels.postings_of(talk.index, query_terms("red fox"))
    everything = channels.lexical_window(talk.index, found, channels.around(talk.index, np.arange(len(talk))))
    rows = np.array([2, 30, 31])
    part = channels.lexical_window(talk.index, found, channels.around(talk.index, rows))
    assert part == pytest.approx(everything[rows])


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("talk", "visible"), CASES)
def test_session_lexical(talk: Talk, visible: NDArray[np.bool_] | None, query: str) -> None:
    terms, counts = query_terms(query), talk.seen(visible)
    names = list(dict.fromkeys(talk.runs))
    sessions = [sum((counts[row] for row in range(len(talk)) if talk.runs[row] == name), Counter()) for name in names]
    lengths = [sum(len(talk.terms[row]) for row in range(len(talk)) if talk.runs[row] == name) for name in names]
    average = sum(lengths) / len(names)
    weights = {term: idf(len(names), df(sessions, term)) for term in terms if df(sessions, term)}
    expected = [
        sum(weights[t] * share(count[t], length, average, k1=2, b=0.5) for t in weights)
        / max(3 * sum(weights.values()), 1e-9)
        for count, length in zip(sessions, lengths, strict=True)
    ]
    found = channels.session_lexical(talk.index, channels.postings_of(talk.index, terms, visible))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert [names[session] for session in talk.index.session] == talk.runs
    assert 0 <= max(found) < 1


@pytest.mark.parametrize("query", [*QUERIES, "red fox sings"])
@pytest.mark.parametrize("talk", TALKS)
def test_related_lexical(talk: Talk, query: str) -> None:
    terms, counts = query_terms(query), talk.seen(None)
    expected = []
    for row in counts:
        total = 0.0
        for term in terms:
            if term not in row:
                nearest = max((cosine for word, cosine in RELATED.get(term, ()) if word in row), default=0.0)
                total += idf(len(talk), df(counts, term)) * nearest
        expected.append(total)
    found = channels.related_lexical(talk.index, terms, lambda term: RELATED.get(term, ()))
    assert found == pytest.approx([*expected, 0], rel=1e-4)
    if query == "red fox":
        assert max(expected) > 0


@pytest.mark.parametrize("most", [1, 3, 12])
@pytest.mark.parametrize("talk", TALKS)
def test_bridge(talk: Talk, most: int) -> None:
    known = query_terms("red fox unheard")
    seeds, beliefs = [3, 17, 40], [0.6, 0.3, 0.1]
    counts = talk.seen(None)
    average = sum(map(len, talk.terms)) / len(talk)
    gains: dict[str, float] = {}
    for seed, belief in zip(seeds, beliefs, strict=True):
        for term in talk.terms[seed]:
            gains[term] = gains.get(term, 0.0) + belief / len(talk.terms[seed])
    for term in gains:
        rare = 1 < df(counts, term) <= len(talk) // 20
        gains[term] *= idf(len(talk), df(counts, term)) * (rare and term not in known)
    # Equally good words in the order of their numbers in the store.
    numbers = dict(zip(gains, talk.index.lookup(tuple(gains)), strict=True))
    chosen = sorted((term for term in gains if gains[term] > 0), key=lambda t: (-round(gains[t], 9), numbers[t]))[:most]
    assert chosen
    ceiling = sum(gains[term] for term in chosen) * 2.2
    expected = [
        sum(gains[t] / ceiling * share(counts[row][t], len(talk.terms[row]), average) for t in chosen)
        for row in range(len(talk))
    ]
    found = channels.bridge(talk.index, np.array(seeds), np.array(beliefs), talk.index.lookup(tuple(known)), most)
    assert found == pytest.approx([*expected, 0], rel=1e-4, abs=1e-7)


def test_bridges_are_there_to_be_crossed() -> None:
    # 60 rows; "quokka" is said twice, so it leads from the seed to the other one; words said once lead nowhere.
    store = MemoryStore()
    texts = ["filler"] * 57 + ["red quokka once", "quokka sleeps", "red alone"]
    store.batch([Put(turn(text)) for text in texts], scope=ANA)
    index = ScopeIndex(store, ANA, None, 1)
    index.refresh()
    found = channels.bridge(index, np.array([57]), np.ones(1), index.lookup(("red",)))
    assert set(np.flatnonzero(found).tolist()) == {57, 58}
    assert not channels.bridge(index, np.array([59]), np.ones(1), index.lookup(("red",))).any()
    assert not channels.bridge(index, np.array([0]), np.ones(1), (None,)).any()


def test_seeds_without_words_build_no_bridge() -> None:
    store = MemoryStore()
    store.batch([Put(turn("!!!"))], scope=ANA)
    index = ScopeIndex(store, ANA, None, 1)
    index.refresh()
    assert channels.bridge(index, np.array([0]), np.ones(1), ()).tolist() == [0, 0]
    assert channels.bridge(index, np.zeros(0, np.intp), np.zeros(0), ()).tolist() == [0, 0]


@pytest.mark.parametrize("query", ["red fox", "sings", ""])
@pytest.mark.parametrize(("talk", "visible"), CASES)
def test_dense(talk: Talk, visible: NDArray[np.bool_] | None, query: str) -> None:
    vector = EMBEDDER.embed([query])[0]
    cosines = talk.vectors() @ vector
    if visible is not None:
        cosines[~visible] = 0
    found = channels.dense(talk.index, vector, visible)
    assert found == pytest.approx([*cosines, 0], abs=0.01)
    assert not found[:-1][[not embedded for embedded in talk.embedded]].any()


@pytest.mark.parametrize("query", ["red fox", "sings", ""])
@pytest.mark.parametrize("talk", TALKS)
def test_dense_window(talk: Talk, query: str) -> None:
    vector, vectors = EMBEDDER.embed([query])[0], talk.vectors()
    expected = []
    for row in range(len(talk)):
        total = sum(WINDOW[distance] * vectors[near] for distance, near in talk.near(row).items())
        expected.append(float(total @ vector) / max(float(np.linalg.norm(total)), 1e-6))
    rows = np.arange(len(talk))
    scores = channels.dense(talk.index, vector)
    found = channels.dense_window(talk.index, scores, channels.around(talk.index, rows))
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("talk", TALKS)
def test_around(talk: Talk) -> None:
    for visible in (None, ~talk.hidden):
        found = channels.around(talk.index, np.arange(len(talk)), visible)
        for row in range(len(talk)):
            near = {d: other for d, other in talk.near(row).items() if visible is None or visible[other]}
            assert {d: int(rows[row]) for d, rows in found.items() if rows[row] >= 0} == near


def test_markers_are_no_words_to_search_for() -> None:
    index = TALKS[0].index
    assert channels.postings_of(index, (MARK + "asks",)) == []

from __future__ import annotations

import ast
import json
import math
import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.core.clock import Clock, SteppingClock
from remanence.core.errors import InvalidInput, InvalidTime, NotFound
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import bm25_naive
from remanence.kernels.fusion import Profile, logistic
from remanence.mechanisms.records import recall as module
from remanence.mechanisms.records.recall import CARD, CHANNELS, Recall, learnt
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, HashEmbedder
from remanence.substrates.records import probe
from remanence.substrates.records.conversation import take_apart
from remanence.substrates.records.mechanism import ABILITIES, CanForget, CanUpdate, Hit, Item, RecordMechanism
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import Erase, Find, History, Put, Revise
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=365)
ANA = Scope(user_id="ana")
WORDS = "red blue green fox dog bird jump sing sleep oslo bergen lisbon apple pear plum tea coffee milk".split()
EVERYTHING = 10**6


def only(**weights: float) -> dict[str, Profile]:
    """Profiles that look at nothing but the channels named."""
    values = np.array([weights.get(channel, 0.0) for channel in CHANNELS])
    alike = Profile(CHANNELS, values, 0.0)
    return {"turn": alike, "document": alike, "answerable": Profile(("best", "second"), np.array([1.0, 0.0]), 0.0)}


def said(texts: Sequence[str], **options: Any) -> Recall:
    """An engine that was told these texts, a minute apart, in one session."""
    recall = Recall(scope=ANA, **options)
    items = [Item(text, at=NOW + timedelta(minutes=i), session="s") for i, text in enumerate(texts)]
    recall.write(items, now=NOW + timedelta(minutes=len(texts)))
    return recall


def talk(seed: int, count: int, store: RecordStore | None = None, **options: Any) -> Recall:
    """An engine that was told a random conversation of some sessions."""
    rng = random.Random(seed)
    recall = Recall(store=store, scope=ANA, **options)
    for start in range(0, count, 10):
        at = NOW + timedelta(hours=start)
        items = [
            Item(
                rng.choice(["", "the ", "in a ", "and "])
                + " ".join([*rng.choices(WORDS, k=rng.randint(1, 7)), coined((start + i) // 2), coined(start + i, "k")])
                + rng.choice([".", "?", " yesterday"]),
                speaker=rng.choice(["Ana", "Bo", None]),
                role=rng.choice(["user", "assistant"]),
                at=at + timedelta(minutes=i),
                session=f"s{start}",
                meta={"even": i % 2 == 0, "rank": i},
            )
            for i in range(min(10, count - start))
        ]
        recall.write(items, now=at + timedelta(minutes=10))
    return recall


def coined(number: int, start: str = "z") -> str:
    """A word of its own for every number."""
    return start + "".join("bcdfghjklm"[int(digit)] + "o" for digit in str(number))


def question(seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=4)) + "?"


def plain(hits: Sequence[Hit]) -> list[tuple[str, str, float]]:
    return [(hit.id, hit.text, hit.score) for hit in hits]


def texts(hits: Sequence[Hit]) -> list[str]:
    return [hit.text for hit in hits]


def channel_values(recall: Recall, query: str, view: View | None = None, whole: int = 2000) -> dict[str, dict[str, float]]:
    """Every channel of every candidate, by text."""
    space = recall.embedder.space
    index = recall.indexes.get(recall.scope, space.key, space.dim)
    vector = recall.embedder.embed([query], kind="query")[0]
    parsed = take_apart(query, index, recall.analyzer, LATER)
    rows, features = recall.features(index, parsed, vector, view or View(LATER), whole)
    records = {record.id: record.text for record in found(recall, view)}
    assert len(set(records.values())) == len(records)
    return {
        records[index.ids[row]]: dict(zip(CHANNELS, line.tolist(), strict=True))
        for row, line in zip(rows, features, strict=True)
    }


def found(recall: Recall, view: View | None = None) -> tuple[Any, ...]:
    """Every record that is there."""
    records: tuple[Any, ...] = recall.store.batch([Find(view or View(LATER), limit=None)], scope=recall.scope).results[0]
    return records


# What the formula says.


@pytest.mark.parametrize("query", ["red fox", "sing", "plum tea oslo", "unheard"])
def test_with_only_the_lexical_channel_it_is_bm25(query: str) -> None:
    recall = talk(0, 60, profiles=only(lexical=1))
    analyzer = Analyzer()
    records = found(recall)
    numbers: dict[str, int] = {}
    documents = [[numbers.setdefault(t, len(numbers)) for t in analyzer.terms(record.text)] for record in records]
    scores = bm25_naive(documents, [numbers.setdefault(term, len(numbers)) for term in analyzer.terms(query)])
    expected = sorted(range(60), key=lambda row: (-np.float32(scores[row]), row))
    hits = recall.read(query, 60, now=LATER)
    assert [hit.score for hit in hits] == pytest.approx(
        [logistic(hit_score, 1, 0) for hit_score in share_of_ceiling(recall, query, [scores[row] for row in expected])],
        abs=1e-5,
    )
    ranked = {record.id: score for record, score in zip(records, scores, strict=True)}
    assert [ranked[hit.id] for hit in hits] == pytest.approx([scores[row] for row in expected], abs=1e-4)
    # Equals go by age.
    if not any(scores):
        assert [hit.id for hit in hits] == [record.id for record in records]


def share_of_ceiling(recall: Recall, query: str, scores: list[float]) -> list[float]:
    """BM25 as a share of what a text made of nothing but the query's words could reach."""
    terms = set(recall.analyzer.terms(query))
    documents = [set(recall.analyzer.terms(record.text)) for record in found(recall)]
    weights = [
        math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
        for df in (sum(term in document for document in documents) for term in terms)
    ]
    return [score / (2.2 * sum(weights)) for score in scores]


def test_with_only_the_dense_channel_it_is_a_nearest_neighbour_search() -> None:
    recall = talk(1, 60, embedder=HashEmbedder(32), profiles=only(dense=1))
    vectors = HashEmbedder(32).embed([record.text for record in found(recall)])
    (query,) = HashEmbedder(32).embed(["red fox sings"])
    hits = recall.read("red fox sings", 60, now=LATER)
    logits = [math.log(hit.score / (1 - hit.score)) for hit in hits]
    assert logits == pytest.approx(sorted(vectors @ query, reverse=True), abs=0.02)


@pytest.mark.parametrize("channel", CHANNELS)
def test_each_channel_can_decide_alone(channel: str) -> None:
    related = {"red": (("green", 0.9), ("blue", 0.5))}
    recall = talk(2, 40, profiles=only(**{channel: 1.0}), related=lambda term: related.get(term, ()))
    query = "when did Ana see a red fox in Oslo last June?"
    values = channel_values(recall, query)
    assert len({line[channel] for line in values.values()}) > 1, "the channel tells rows apart"
    hits = recall.search(query, 40, view=View(LATER), explain=True)
    assert len(hits) == 40
    for hit in hits:
        assert hit.score == pytest.approx(logistic(values[hit.text][channel], 1, 0), abs=1e-6)
        assert {name for name, share in hit.channels.items() if abs(share) > 1e-9} <= {channel}


@pytest.mark.parametrize("seed", range(5))
def test_shares_add_up_to_the_score(seed: int) -> None:
    recall = talk(seed, 50)
    recall.store.batch([Put(Draft("a document about a red fox in Oslo", kind="fact"))], scope=ANA)
    for query in (question(seed), "what tea do I drink now?", "when did Bo sing in Oslo?"):
        for hit in recall.search(query, 51, view=View(LATER), explain=True):
            assert set(hit.channels) == {*CHANNELS, "bias", "current"}
            assert logistic(sum(hit.channels.values()), 1, 0) == pytest.approx(hit.score, rel=1e-6)
            kind = "turn" if hit.record is not None and hit.record.kind == "turn" else "document"
            assert hit.channels["bias"] == learnt()[kind].offset(51)
        assert all(not hit.channels for hit in recall.search(query, 3, view=View(LATER)))


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_probabilities_and_fall(seed: int) -> None:
    recall = talk(seed, 50)
    for query in (question(seed), "what do I drink now?", "Ana", "the"):
        scores = [hit.score for hit in recall.read(query, 50, now=LATER)]
        assert len(scores) == 50
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score < 1 for score in scores)


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    recall = talk(3, 50)
    for query in (question(3), "what tea do I drink now?"):
        longest = plain(recall.read(query, 60, now=LATER))
        assert len({id for id, _, _ in longest}) == 50
        for k in (1, 2, 3, 4, 10, 49, 50, EVERYTHING):
            assert plain(recall.read(query, k, now=LATER)) == longest[:k]


@pytest.mark.parametrize("k", [0, -1, -100])
def test_none_are_given_when_none_are_asked_for(k: int) -> None:
    recall = talk(0, 20)
    assert recall.read("red fox", k, now=LATER) == []
    assert recall.search("red fox", k, view=View(LATER), where={"even": True}) == []


# Candidates.


@pytest.mark.parametrize("seed", range(4))
def test_the_pool_gives_the_best_the_scores_that_the_whole_scope_would(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = talk(seed, 250)
    queries = [question(seed), "did Ana drink tea in Oslo yesterday?", "red fox", "what bird sings now"]
    whole = [plain(recall.read(query, 5, now=LATER)) for query in queries]
    monkeypatch.setattr(module, "ALL_ROWS", 10)
    monkeypatch.setattr(module, "POOL", 40)
    assert [plain(recall.read(query, 5, now=LATER)) for query in queries] == whole
    for query in queries:
        assert len(recall.read(query, EVERYTHING, now=LATER)) < 250


def test_a_row_has_the_same_channels_whoever_else_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    recall = talk(5, 200)
    monkeypatch.setattr(module, "POOL", 20)
    everything = channel_values(recall, question(5))
    some = channel_values(recall, question(5), whole=10)
    assert 20 <= len(some) < len(everything)
    for text, line in some.items():
        assert line == pytest.approx(everything[text], rel=1e-5)


def test_small_scopes_are_scored_whole() -> None:
    recall = talk(6, 120)
    assert len(channel_values(recall, "unheard", whole=120)) == 120
    assert len(recall.read("unheard", EVERYTHING, now=LATER)) == 120


def test_filters_equal_leaving_out_from_the_whole_ranking() -> None:
    recall = talk(7, 80)
    facts = [f"fact about {word}" for word in WORDS]
    recall.store.batch([Put(draft) for draft in recall.derive([Draft(f, kind="fact") for f in facts])], scope=ANA)
    for query in ("red fox", "what tea do I drink now?"):
        ranking = recall.read(query, EVERYTHING, now=LATER)
        assert len(ranking) == 80 + len(WORDS)
        cases: list[tuple[dict[str, Any], Callable[[Hit], bool]]] = [
            ({"where": {"even": True}}, lambda hit: hit.record is not None and hit.record.meta.get("even") is True),
            ({"where": {"rank": {"gt": 7}}}, lambda hit: hit.record is not None and hit.record.meta.get("rank", 0) > 7),
            ({"kinds": ("fact",)}, lambda hit: hit.record is not None and hit.record.kind == "fact"),
            ({"kinds": ("fact", "turn")}, lambda hit: True),
            ({"kinds": ()}, lambda hit: False),
            ({"where": {"nothing": 1}}, lambda hit: False),
        ]
        for options, admits in cases:
            expected = plain([hit for hit in ranking if admits(hit)])
            for k in (1, 5, 100):
                assert plain(recall.search(query, k, view=View(LATER), **options)) == expected[:k]


def test_a_filter_reaches_beyond_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the filter admits shares no word with the query: in a large scope the first stage alone would miss it.
    monkeypatch.setattr(module, "ALL_ROWS", 10)
    monkeypatch.setattr(module, "POOL", 3)
    recall = Recall(scope=ANA)
    items = [Item("red fox", at=NOW, session=str(i)) for i in range(60)]
    ids = recall.write([*items, Item("green pear", at=NOW, session="x", meta={"special": True})], now=NOW)
    hits = recall.search("red fox", 5, view=View(LATER), where={"special": True})
    assert [hit.id for hit in hits] == ids[-1:]


def test_bad_filters_are_named() -> None:
    with pytest.raises(InvalidInput):
        Recall().search("red", 1, view=View(NOW), where={"a": {"$near": 1}})


# What must not be seen.


def test_what_was_forgotten_neither_shows_nor_shines() -> None:
    everyday = ["green pear.", "blue dog.", "plum milk."]
    recall = said([*everyday, "is the secret quokka pregnant?", *everyday[::-1]])
    before = channel_values(recall, "quokka pregnant")
    assert before["blue dog."]["lexical_window"] > 0
    assert before["plum milk."]["prev_asks"] + before["plum milk."]["lexical_session"] > 0
    hits = recall.read("quokka pregnant", 1, now=LATER)
    assert texts(hits) == ["is the secret quokka pregnant?"]
    assert recall.forget([hits[0].id], now=NOW) == 1
    after = channel_values(recall, "quokka pregnant")
    assert set(after) == set(everyday)
    for line in after.values():
        for channel in ("lexical", "lexical_window", "lexical_session", "lexical_stop", "related", "prev_asks"):
            assert line[channel] == 0, channel
    assert "quokka" not in str(recall.read("quokka pregnant", 10, now=LATER))
    assert all(score == 0 for line in after.values() for name, score in line.items() if name.startswith("lexical"))


def test_meaning_of_what_was_forgotten_does_not_shine_either() -> None:
    recall = said(["green pear", "quokka", "plum milk"], embedder=HashEmbedder(256))
    before = channel_values(recall, "quokka")
    assert before["green pear"]["dense_next"] == pytest.approx(1, abs=0.01)
    assert before["plum milk"]["dense_prev"] == pytest.approx(1, abs=0.01)
    recall.forget([recall.read("quokka", 1, now=LATER)[0].id], now=NOW)
    for line in channel_values(recall, "quokka").values():
        assert all(abs(line[name]) < 0.2 for name in ("dense_next", "dense_prev", "dense_window"))


def test_a_view_of_the_past_shows_and_hides_alike() -> None:
    clock = SteppingClock(NOW, timedelta(minutes=1))
    recall = said(["green pear", "blue quokka", "plum milk"], store=MemoryStore(clock=clock))
    known = clock.current
    recall.forget([recall.read("quokka", 1, now=LATER)[0].id], now=NOW)
    past = View(LATER, known_at=known - timedelta(seconds=1))
    assert texts(recall.search("quokka", 1, view=past)) == ["blue quokka"]
    assert channel_values(recall, "quokka", past)["plum milk"]["lexical_window"] > 0
    assert "blue quokka" not in texts(recall.search("quokka", 9, view=View(LATER)))
    assert recall.search("quokka", 9, view=View(LATER, known_at=NOW - timedelta(days=1))) == []


def test_other_scopes_are_another_world() -> None:
    store = MemoryStore()
    ana, bob = (Recall(store=store, scope=Scope(user_id=user)) for user in ("a", "ab"))
    ana.write([Item("green pear"), Item("blue dog")], now=NOW)
    before = [(hit.text, hit.score) for hit in ana.read("quokka pear", 9, now=LATER)]
    bob.write([Item("the secret quokka"), Item("quokka pear")], now=NOW)
    assert [(hit.text, hit.score) for hit in ana.read("quokka pear", 9, now=LATER)] == before
    assert ana.forget([hit.id for hit in bob.read("quokka", 9, now=LATER)], now=NOW) == 0
    with pytest.raises(NotFound):
        ana.update(bob.read("quokka", 1, now=LATER)[0].id, "mine", now=NOW)
    assert len(bob.read("quokka", 9, now=LATER)) == 2


def test_a_wide_scope_sees_its_parts() -> None:
    store = MemoryStore()
    Recall(store=store, scope=Scope(user_id="ana", agent_id="x")).write([Item("red fox", session="r")], now=NOW)
    assert texts(Recall(store=store, scope=ANA).read("fox", 9, now=LATER)) == ["red fox"]
    assert texts(Recall(store=store, scope=Scope(user_id="ana", run_id="r")).read("fox", 9, now=LATER)) == ["red fox"]
    assert Recall(store=store, scope=Scope(user_id="ana", run_id="q")).read("fox", 9, now=LATER) == []


# Nothing to find, and things that are hard to read.


def test_an_empty_memory() -> None:
    recall = Recall()
    assert recall.read("red fox", 5, now=NOW) == []
    assert recall.search("red fox", 5, view=View(NOW), where={"a": 1}, explain=True) == []
    assert recall.answerable([]) == 0
    assert recall.write([], now=NOW) == []
    assert recall.forget([], now=NOW) == 0
    assert recall.state()["records"] == []


@pytest.mark.parametrize("query", ["", "   ", "\n\t", "\u2003"])
def test_a_blank_query(query: str) -> None:
    recall = talk(0, 10)
    assert recall.read(query, 5, now=LATER) == []
    with pytest.raises(InvalidInput, match="the query is empty; say what to look for"):
        recall.search(query, 5, view=View(LATER))


@pytest.mark.parametrize("query", ["?", "...", "the of a", "\ud800", "\x00", "🦊", "a" * 20_000, "red " * 3_000])
def test_queries_without_sense_find_something_and_break_nothing(query: str) -> None:
    recall = talk(0, 20)
    assert len(recall.read(query, 5, now=LATER)) == 5


def test_texts_without_words() -> None:
    recall = said(["!!!", "🙂", "...", "???"])
    assert len(recall.read("red fox", 9, now=LATER)) == 4
    assert len(recall.read("!!!", 9, now=LATER)) == 4


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("北京的天气怎么样", "今天北京下雨了"),
        ("猫", "我养了一只猫"),
        ("кто любит собак", "Иван любит собаку"),
        ("où habite-t-elle", "elle habite à Évreux"),
        ("EVREUX", "elle habite à Évreux"),
        ("🦊", "saw a 🦊 in the garden"),
        ("ＦＯＸ hunt", "the foxes hunt at night"),
    ],
)
def test_every_script_can_be_found(query: str, expected: str) -> None:
    recall = said(
        ["今天北京下雨了", "我养了一只猫", "Иван любит собаку", "elle habite à Évreux", "saw a 🦊 in the garden",
         "the foxes hunt at night", "plain filler text", "another filler"],
        profiles=only(lexical=1),
    )  # fmt: skip
    assert recall.read(query, 1, now=LATER)[0].text == expected


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6), st.text(max_size=30))
def test_any_text_can_be_kept_and_any_query_asked(kept: list[str], query: str) -> None:
    recall = Recall()
    ids = recall.write([Item(text) for text in kept], now=NOW)
    hits = recall.read(query, 10, now=LATER)
    if query.strip():
        assert {hit.id: hit.text for hit in hits} == dict(zip(ids, kept, strict=True))
        assert all(0 < hit.score < 1 for hit in hits)
    else:
        assert hits == []


# Writing, changing, forgetting.


def test_what_was_written_can_be_read_at_once() -> None:
    recall = Recall(scope=ANA)
    other = Recall(store=recall.store, scope=ANA)
    for number, word in enumerate(WORDS):
        (id,) = recall.write([Item(f"{word} number {number}")], now=NOW + timedelta(minutes=number))
        for reader in (recall, other):
            (hit,) = reader.read(word, 1, now=LATER)
            assert (hit.id, hit.text) == (id, f"{word} number {number}")
            assert hit.record is not None
            assert hit.record.event_at == NOW + timedelta(minutes=number)


def test_an_item_becomes_a_turn() -> None:
    recall = Recall(scope=ANA)
    at = datetime(2020, 1, 1, tzinfo=UTC)
    recall.write([Item("full", speaker="Ana", role="user", at=at, session="s", meta={"a": 1}), Item("bare")], now=NOW)
    full, bare = found(recall)
    assert (full.kind, full.speaker, full.role, full.event_at, full.meta) == ("turn", "Ana", "user", at, {"a": 1})
    assert full.scope == Scope(user_id="ana", run_id="s")
    assert (bare.speaker, bare.role, bare.event_at, bare.meta, bare.scope) == (None, None, NOW, {}, ANA)


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (Item(""), InvalidInput),
        (Item("x", session=""), InvalidInput),
        (Item("x", at=datetime(2020, 1, 1)), InvalidTime),
        (Item("x", meta={"a": math.nan}), InvalidInput),
        (Item("x", meta={"a": object()}), InvalidInput),
    ],
)
def test_a_bad_item_is_refused_and_nothing_of_its_batch_is_kept(item: Item, error: type[Exception]) -> None:
    recall = Recall()
    with pytest.raises(error):
        recall.write([Item("good"), item], now=NOW)
    assert found(recall) == ()


def test_an_update_replaces_what_is_found() -> None:
    recall = talk(0, 9)
    (id,) = recall.write(
        [Item("my dentist is Dr. Quokka", speaker="Ana", role="user", meta={"a": 1}, at=NOW, session="s")], now=NOW
    )
    recall.write([Item("thank you", at=NOW + timedelta(minutes=1), session="s")], now=NOW)
    changed = NOW + timedelta(days=30)
    recall.update(id, "my dentist is Dr. Wombat", now=changed)
    assert texts(recall.read("dentist", 1, now=LATER)) == ["my dentist is Dr. Wombat"]
    assert not any("Quokka" in hit.text for hit in recall.read("dentist quokka", 20, now=LATER))
    assert texts(recall.search("dentist", 1, view=View(LATER, as_of=changed - timedelta(days=1)))) == [
        "my dentist is Dr. Quokka"
    ]
    old, new = recall.store.batch([History(id)], scope=ANA).results[0]
    assert (new.kind, new.speaker, new.role, new.meta, new.scope) == (old.kind, "Ana", "user", {"a": 1}, old.scope)
    assert (new.valid_from, old.ended_at) == (changed, changed)
    # It stands where the old one stood in the conversation.
    assert channel_values(recall, "wombat")["thank you"]["lexical_window"] > 0
    with pytest.raises(NotFound):
        recall.update("0" * 26, "nothing", now=NOW)


def test_a_record_is_listed_once_whatever_its_versions() -> None:
    # Announced ahead: the old version is still true and the new one is already found.
    recall = said(["red fox", "blue dog"])
    id = recall.read("fox", 1, now=LATER)[0].id
    (draft,) = recall.derive([Draft("red vixen", event_at=LATER + timedelta(days=9))])
    recall.store.batch([Revise(id, draft)], scope=ANA)
    hits = recall.read("red", 9, now=LATER)
    assert sorted(texts(hits)) == ["blue dog", "red vixen"]
    assert len({hit.id for hit in hits}) == 2


def test_forgetting_counts_what_was_there() -> None:
    recall = said(["red fox", "blue dog", "green bird"])
    ids = [hit.id for hit in recall.read("red", 9, now=LATER)]
    assert recall.forget([ids[0], ids[0], "0" * 26, "no id"], now=LATER) == 1
    assert recall.forget([ids[0]], now=LATER) == 0
    assert recall.forget(ids, now=LATER) == 2
    assert recall.read("red", 9, now=LATER) == []


def test_what_lies_ahead_can_be_forgotten() -> None:
    recall = Recall()
    ids = recall.write([Item("dentist next week", at=NOW + timedelta(days=7))], now=NOW)
    assert len(recall.read("dentist", 9, now=NOW)) == 1
    assert recall.forget(ids, now=NOW) == 1
    for now in (NOW, LATER):
        assert recall.read("dentist", 9, now=now) == []
    assert recall.state()["records"] == []


def test_erasing_from_the_store_is_followed() -> None:
    recall = said(["red fox", "blue dog", "red bird"])
    gone = recall.read("fox", 1, now=LATER)[0].id
    recall.store.batch([Erase((gone,))], scope=ANA)
    hits = recall.search("red fox", 9, view=View(LATER), explain=True)
    assert sorted(texts(hits)) == ["blue dog", "red bird"]


# State.


def test_a_restored_state_remembers_the_same() -> None:
    recall = talk(4, 40)
    recall.forget([hit.id for hit in recall.read("red", 3, now=LATER)], now=LATER)
    recall.update(recall.read("tea", 1, now=LATER)[0].id, "tea is what Bo drinks in Quito", now=LATER)
    state = json.loads(json.dumps(recall.state()))
    again = Recall(scope=ANA)
    again.restore(state)
    assert again.state() == recall.state() == state
    assert {record.id: record.text for record in found(again)} == {r.id: r.text for r in found(recall)}
    for query in ("fox", "Quito", question(1)):
        assert set(texts(again.read(query, 37, now=LATER))) == set(texts(recall.read(query, 37, now=LATER)))
    assert probe.observe(again)[1][1] == probe.observe(again)[1][1]


def test_a_conversation_scores_the_same_after_a_restore() -> None:
    recall = talk(4, 40)
    again = Recall(scope=ANA)
    again.restore(recall.state())
    for query in ("fox", "what tea do I drink now?", question(2)):
        assert plain(again.read(query, 40, now=LATER)) == plain(recall.read(query, 40, now=LATER))


def test_forgotten_stays_forgotten_through_any_number_of_restores() -> None:
    recall = said(["red fox", "blue dog", "green bird"])
    gone = recall.read("fox", 1, now=LATER)[0]
    recall.forget([gone.id], now=LATER)
    second = Recall(scope=ANA)
    second.restore(recall.state())
    assert "fox" not in json.dumps(second.state())
    # Forgotten by somebody who never wrote anything, after a restore.
    dog = second.read("dog", 1, now=LATER)[0]
    second.forget([dog.id], now=LATER)
    third = Recall(scope=ANA)
    third.restore(second.state())
    assert texts(third.read("red blue green", 9, now=LATER)) == ["green bird"]
    # A new engine over the old store has not written anything either.
    assert [row["text"] for row in Recall(store=second.store, scope=ANA).state()["records"]] == ["green bird"]


def test_new_ids_do_not_repeat_those_of_a_restored_state() -> None:
    recall = said(["red fox", "blue dog"])
    again = Recall(scope=ANA)
    again.restore(recall.state())
    before = {record.id for record in found(again)}
    assert before.isdisjoint(again.write([Item("green bird"), Item("plum tea")], now=LATER))


# One engine on every store, and nothing that depends on when or where it runs.


def histories(open_store: Callable[[Clock, Callable[[int], int]], RecordStore], seed: int) -> list[Any]:
    """What an engine on a store answers along a random history."""
    rng = random.Random(seed)
    recall = Recall(
        store=open_store(SteppingClock(NOW, timedelta(seconds=1)), random.Random(seed).getrandbits), scope=ANA
    )
    observed: list[Any] = []
    ids: list[str] = []
    now = NOW
    for step in range(25):
        now += timedelta(minutes=rng.choice([1, 30, 90]))
        roll = rng.random()
        if not ids or roll < 0.6:
            items = [
                Item(
                    " ".join(rng.choices(WORDS, k=4)),
                    speaker=rng.choice(["Ana", "Bo"]),
                    at=now,
                    session=rng.choice([None, "s"]),
                )
                for _ in range(rng.randint(1, 4))
            ]
            ids += recall.write(items, now=now)
        elif roll < 0.75:
            ids.remove(gone := rng.choice(ids))
            observed.append(recall.forget([gone], now=now))
        elif roll < 0.95:
            recall.update(rng.choice(ids), " ".join(rng.choices(WORDS, k=3)), now=now)
        else:
            ids.remove(gone := rng.choice(ids))
            recall.store.batch([Erase((gone,))], scope=ANA)
        if step % 4 == 0:
            for view in (View(now), View(now, as_of=now - timedelta(minutes=50)), View(now, known_at=NOW)):
                hits = recall.search(question(step), 6, view=view, explain=True)
                observed.append([(*line, dict(hit.channels)) for line, hit in zip(plain(hits), hits, strict=True)])
    return [*observed, recall.state()]


@pytest.mark.parametrize("seed", range(3))
def test_memory_and_sqlite_answer_alike(seed: int, tmp_path: Path) -> None:
    stores: list[SqliteStore] = []

    def on_disk(clock: Clock, bits: Callable[[int], int]) -> RecordStore:
        stores.append(SqliteStore(tmp_path / "a.db", clock=clock, random_bits=bits, durable=False))
        return stores[-1]

    in_memory = histories(lambda clock, bits: MemoryStore(clock=clock, random_bits=bits), seed)
    assert in_memory == histories(on_disk, seed)
    for store in stores:
        store.close()


def test_two_processes_on_one_file_see_each_others_writes(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "a.db") as here, SqliteStore(tmp_path / "a.db") as there:
        one, other = Recall(store=here, scope=ANA), Recall(store=there, scope=ANA)
        for number, word in enumerate(WORDS[:6]):
            writer, reader = (one, other) if number % 2 else (other, one)
            (id,) = writer.write([Item(f"{word} {number}")], now=NOW)
            assert [hit.id for hit in reader.read(word, 1, now=LATER)] == [id]


def test_used_alike_it_remembers_alike() -> None:
    observations = []
    for _ in range(2):
        recall = Recall()
        ids = probe.drive(recall, 3)
        assert len(set(ids)) == probe.SESSIONS * probe.TURNS
        observations.append(probe.observe(recall))
    assert observations[0] == observations[1]
    assert dict(observations[0])[""] == []
    assert all(hits for query, hits in observations[0] if query)


def test_no_wall_clock_and_no_hidden_randomness() -> None:
    package = Path(module.__file__).parents[2]
    for name in ("mechanisms/records/recall.py", *(f"substrates/records/{part}.py" for part in PARTS)):
        tree = ast.parse((package / name).read_text(encoding="utf-8"))
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
        }
        assert imported.isdisjoint({"time", "random", "secrets", "uuid", "os"}), name
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert called.isdisjoint({"now", "utcnow", "today", "random", "default_rng"} - {"now"}), name
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "utc_now" not in names, name
        clocks = {
            ast.unparse(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "now"
        }
        assert not clocks, name


PARTS = ("channels", "conversation", "scope_index", "snapshot")


def test_it_is_what_its_card_says() -> None:
    recall = Recall()
    assert Recall.card is CARD
    assert CARD.slug == Path(module.__file__).stem
    assert CARD.can == {"update", "forget"} <= set(ABILITIES)
    for protocol in (RecordMechanism, CanUpdate, CanForget):
        assert isinstance(recall, protocol)


class Untouchable:
    """Anything that is used is an error."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


def test_the_constructor_does_nothing() -> None:
    untouchable: Any = Untouchable()
    Recall(
        store=untouchable, embedder=untouchable, analyzer=untouchable, indexes=untouchable, related=untouchable,
        profiles=untouchable,
    )  # fmt: skip


class Slow:
    """An embedder that must not run while writing, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[EmbeddingKind] = []
        self.inner = HashEmbedder(16)

    @property
    def space(self) -> EmbeddingSpace:
        return self.inner.space

    @property
    def inline(self) -> bool:
        return False

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> np.ndarray:
        self.asked.append(kind)
        return self.inner.embed(texts)


def test_a_slow_embedder_runs_for_the_query_only() -> None:
    slow = Slow()
    recall = said(["red fox", "blue dog"], embedder=slow)
    recall.update(recall.search("dog", 1, view=View(LATER), use_dense=False)[0].id, "blue cat", now=LATER)
    assert slow.asked == []
    assert recall.vectors(["red"]) is None
    assert texts(recall.search("fox", 1, view=View(LATER), use_dense=False)) == ["red fox"]
    assert slow.asked == []
    recall.read("fox", 1, now=LATER)
    assert slow.asked == ["query"]


# Conversation.


def test_the_newer_statement_answers_how_things_stand() -> None:
    recall = Recall(scope=ANA)
    old, new = "my rent is 900 euros a month", "my rent is now 950 euros a month"
    for day, text in enumerate((old, "the fox sings", new)):
        at = NOW + timedelta(days=day)
        recall.write([Item(text, speaker="Ana", role="user", at=at, session=f"s{day}")], now=at)
    view = View(LATER)
    ranked = recall.search("what is my rent?", 2, view=view, explain=True)
    assert texts(ranked) == [new, old]
    assert ranked[0].score >= ranked[1].score
    for hit in ranked:
        assert logistic(sum(hit.channels.values()), 1, 0) == pytest.approx(hit.score)
    assert {round(hit.channels["current"], 6) == 0 for hit in recall.search("rent", 2, view=view, explain=True)} == {True}


def test_neighbours_lend_their_words() -> None:
    recall = said(["did you see the quokka", "yes, twice", *["filler text"] * 6], profiles=only(lexical_window=1))
    assert texts(recall.read("quokka", 2, now=LATER)) == ["did you see the quokka", "yes, twice"]


def test_relative_times_count_from_the_moment_of_the_view() -> None:
    recall = Recall(scope=ANA, profiles=only(time=1))
    for day in range(60):
        at = NOW + timedelta(days=day)
        recall.write([Item(f"note {day}", at=at)], now=at)
    now = NOW + timedelta(days=50)
    assert texts(recall.read("what did I note yesterday?", 1, now=now)) == ["note 49"]
    as_of = NOW + timedelta(days=20)
    assert texts(recall.search("what did I note yesterday?", 1, view=View(now, as_of=as_of))) == ["note 19"]


def test_related_words_are_asked_for_only_when_given() -> None:
    table = {"marriag": (("wed", 0.8),)}
    kept = ["the wedding was in June", "filler", "more filler"]
    with_related = said(kept, profiles=only(related=1), related=lambda term: table.get(term, ()))
    assert texts(with_related.read("marriage", 1, now=LATER)) == kept[:1]
    assert with_related.read("marriage", 1, now=LATER)[0].score > 0.5
    assert {hit.score for hit in said(kept, profiles=only(related=1)).read("marriage", 3, now=LATER)} == {0.5}


# Calibration.


def test_the_weights_that_ship_are_whole() -> None:
    profiles = learnt()
    assert set(profiles) == {"turn", "document", "answerable"}
    for name in ("turn", "document"):
        assert profiles[name].channels == CHANNELS
        assert np.isfinite(profiles[name].weights).all()
        assert profiles[name].bias < 0, "most records are no answer"
    assert profiles["answerable"].weights[0] > 0


def test_answerable_rises_with_the_best_hit() -> None:
    recall = Recall()
    chances = [recall.answerable([Hit("a", "", p), Hit("b", "", 0.01)]) for p in (0.0, 0.01, 0.1, 0.5, 0.9, 1.0)]
    assert chances == sorted(chances)
    assert 0 < chances[0] < chances[-1] < 1
    assert recall.answerable([Hit("a", "", 0.3)]) == recall.answerable([Hit("a", "", 0.3)] * 3)


def test_what_was_never_said_is_less_answerable() -> None:
    recall = talk(0, 60)
    recall.write([Item("my dentist is Dr. Quokka in Bergen", role="user", speaker="Ana")], now=NOW)
    sure = recall.answerable(recall.read("who is my dentist?", 5, now=LATER))
    unsure = recall.answerable(recall.read("which violin concerto did we rehearse?", 5, now=LATER))
    assert unsure < sure


# Threads.


def test_reading_goes_on_while_others_write_and_erase() -> None:
    recall = talk(0, 40)
    stop = threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        rng = random.Random(0)
        try:
            for number in range(25):
                ids = recall.write([Item(" ".join(rng.choices(WORDS, k=4))) for _ in range(3)], now=NOW)
                recall.update(ids[0], "red fox again", now=NOW)
                recall.forget(ids[1:2], now=NOW)
                if number % 3 == 0:
                    recall.store.batch([Erase(tuple(ids[2:]))], scope=ANA)
        except BaseException as error:
            errors.append(error)
        finally:
            stop.set()

    def read() -> None:
        try:
            while not stop.is_set():
                hits = recall.search("red fox", 10, view=View(LATER), explain=True)
                assert len({hit.id for hit in hits}) == len(hits) == 10
                assert all(logistic(sum(hit.channels.values()), 1, 0) == pytest.approx(hit.score) for hit in hits)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]

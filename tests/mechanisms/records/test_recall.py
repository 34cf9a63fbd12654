from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import bm25_naive
from remanence.kernels.claims.answers import Verdict
from remanence.kernels.fusion import Profile, logistic
from remanence.mechanisms.records import recall as module
from remanence.mechanisms.records.recall import CHANNELS, SIGNS, Recall, learnt
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.model import Draft, Source, View
from remanence.substrates.records.operations import (
    Put,
)
from remanence.substrates.records.reference import MemoryStore
from tests.mechanisms.records.talks import (
    ANA,
    EVERYTHING,
    LATER,
    NOW,
    WORDS,
    channel_values,
    found,
    only,
    plain,
    question,
    said,
    talk,
    texts,
)

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
    told = [record.id for record in found(recall)]
    # One at a time: what answers is shown above what holds no longer, whatever the weights say.
    known = Verdict(answers=((told[3], 0.9), (told[9], 0.4), ("unknown", 1.0)))
    known = known if channel == "fact" else Verdict(outdated=((told[5], 0.8),))
    recall.truth = lambda query, view: known
    query = "when did Ana see a red fox in Oslo on 1 June 2026?"
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
            if "now" not in query:
                assert abs(hit.channels["current"]) < 1e-6
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


def test_places_in_the_pool_are_for_what_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Found by meaning alone: without terms there are no words to match.
    monkeypatch.setattr(module, "ALL_ROWS", 10)
    monkeypatch.setattr(module, "POOL", 3)
    recall = Recall(scope=ANA)
    drafts = recall.derive([Draft(text) for text in [*["quokka"] * 20, "the last quokka", *["red"] * 20]])
    puts = [Put(replace(draft, terms=(), scope=Scope(user_id="ana", run_id=str(i)))) for i, draft in enumerate(drafts)]
    ids = [written.id for written in recall.store.batch(puts, scope=ANA).results]
    assert recall.forget(ids[:20], now=LATER) == 20
    assert texts(recall.read("quokka", 1, now=LATER)) == ["the last quokka"]


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
    everyday = ["green pear.", "blue dog.", "plum milk.", "red tea.", "apple coffee.", "lisbon bird."]
    recall = said([*everyday[:3], "is the secret quokka pregnant?", *everyday[3:]])
    before = channel_values(recall, "quokka pregnant")
    assert all(before[text]["lexical_window"] > 0 for text in everyday[1:5])
    assert all(before[text]["lexical_session"] > 0 for text in everyday)
    assert before["red tea."]["prev_asks"] == 1
    hits = recall.read("quokka pregnant", 1, now=LATER)
    assert texts(hits) == ["is the secret quokka pregnant?"]
    assert recall.forget([hits[0].id], now=NOW) == 1
    after = channel_values(recall, "quokka pregnant")
    assert set(after) == set(everyday)
    for line in after.values():
        for channel in ("lexical", "lexical_window", "lexical_session", "lexical_stop", "related", "prev_asks"):
            assert line[channel] == 0, channel
    assert "quokka" not in str(recall.read("quokka pregnant", 10, now=LATER))


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
    unmoved = recall.search("rent", 2, view=view, explain=True)
    assert all(abs(hit.channels["current"]) < 1e-6 for hit in unmoved)
    assert any(abs(hit.channels["current"]) > 1e-6 for hit in ranked)


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


def test_conversational_channels_by_hand() -> None:
    recall = Recall(scope=ANA)
    lines = [("Ana", "did you see the fox?"), ("Bo", "yes, yesterday, a red one"), ("Ana", "green pear")]
    recall.write([Item(text, speaker=who, at=NOW + timedelta(hours=i), session="s") for i, (who, text) in
                  enumerate(lines)], now=LATER)  # fmt: skip
    when = list(channel_values(recall, "when did Bo see the fox?").values())
    plainly = list(channel_values(recall, "Bo, the fox").values())
    for values in (when, plainly):
        assert [line["asks"] for line in values] == [1, 0, 0]
        assert [line["prev_asks"] for line in values] == [0, 1, 0]
        assert [line["speaker"] for line in values] == [-1, 1, -1]
        assert [line["speaker_dense"] for line in values] == [line["speaker"] * line["dense"] for line in values]
        assert [line["dense_prev"] for line in values] == [0, *(line["dense"] for line in values[:2])]
        assert [line["dense_next"] for line in values] == [*(line["dense"] for line in values[1:]), 0]
        assert [line["length"] for line in values] == pytest.approx([math.log(6), math.log(6), math.log(3)])
        assert [line["recency"] for line in values] == [0, 0.5, 1]
        assert [line["time"] for line in values] == [0, 0, 0]
        assert len({line["lexical_session"] for line in values} - {0}) == 1
    assert [line["when_dated"] for line in when] == [0, 1, 0]
    assert [line["when_dated"] for line in plainly] == [0, 0, 0]
    assert when[0]["lexical_stop"] > when[1]["lexical_stop"] == when[2]["lexical_stop"] == 0


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
    assert 0 < chances[0] < chances[-1] <= 1
    assert recall.answerable([Hit("a", "", 0.3)]) == recall.answerable([Hit("a", "", 0.3)] * 3)


def test_answerable_by_hand() -> None:
    both = Profile(SIGNS, np.array([1.0, 2.0, 4.0, -3.0]), -0.5)
    recall = Recall(profiles={"answerable": both})
    hits = [Hit("a", "", 0.75), Hit("b", "", 0.5), Hit("c", "", 0.25)]
    assert recall.answerable(hits) == pytest.approx(logistic(math.log(3) - 0.5, 1, 0))
    assert recall.answerable(hits[1:]) == pytest.approx(logistic(-2 * math.log(3) - 0.5, 1, 0))
    assert recall.answerable(hits[:1]) == pytest.approx(logistic(3 * math.log(3) - 0.5, 1, 0))
    known, unsaid = Verdict(answers=(("a", 1.0),), sure=0.5, understood=0.9), Verdict(understood=0.8)
    assert recall.answerable(hits, known) == pytest.approx(logistic(math.log(3) - 0.5 + 2.0, 1, 0))
    assert recall.answerable(hits, unsaid) == pytest.approx(logistic(math.log(3) - 0.5 - 2.4, 1, 0))


def test_what_holds_the_answer_is_a_candidate_in_any_scope() -> None:
    recall = talk(5, 60, profiles=only(fact=1.0))
    told = [record.id for record in found(recall)]
    recall.truth = lambda query, view: Verdict(answers=((told[17], 0.7),))
    values = channel_values(recall, "unheard", whole=0)
    assert max(line["fact"] for line in values.values()) == pytest.approx(0.7)
    assert recall.read("unheard", 1, now=LATER)[0].id == told[17]


def test_put_away_is_found_only_when_asked_for() -> None:
    recall = said(["the red fox sleeps"])
    (away,) = recall.derive([Draft("the red fox sings", state="archived")])
    (doubted,) = recall.derive([Draft("the red fox jumps", trust=0)])
    recall.store.batch([Put(away), Put(doubted)], scope=ANA)

    def texts(**where: Any) -> list[str]:
        return [hit.text for hit in recall.search("red fox", 5, view=View(LATER), where=where or None)]

    assert texts() == ["the red fox sleeps"]
    assert texts(state="archived") == ["the red fox sings"]
    assert texts(trust={"lt": 0.5}) == ["the red fox jumps"]
    assert len(texts(OR=[{"state": "archived"}, {"text": {"contains": "fox"}}])) == 3
    assert texts(text={"contains": "fox"}) == ["the red fox sleeps"]


def test_what_was_derived_is_found_by_its_kind() -> None:
    recall = said(["Ana said the fox is red"])
    (source,) = found(recall)
    (fact,) = recall.derive(
        [Draft("Ana's fox: red", kind="fact", origin="derived:facts", sources=(Source(source.id, 0, 9),))]
    )
    (own,) = recall.derive([Draft("a red fox is rare", kind="fact")])
    recall.store.batch([Put(fact), Put(own)], scope=ANA)

    def texts(kinds: tuple[str, ...] | None) -> set[str]:
        return {hit.text for hit in recall.search("red fox", 5, view=View(LATER), kinds=kinds)}

    assert texts(None) == {"Ana said the fox is red", "a red fox is rare"}
    assert texts(("fact",)) == {"Ana's fox: red", "a red fox is rare"}
    assert texts(("turn",)) == {"Ana said the fox is red"}
    assert [len(recall.search("red fox", 1, view=View(LATER), kinds=("fact", "turn")))] == [1]


def test_what_was_never_said_is_less_answerable() -> None:
    recall = talk(0, 60)
    recall.write([Item("my dentist is Dr. Quokka in Bergen", role="user", speaker="Ana")], now=NOW)
    sure = recall.answerable(recall.read("who is my dentist?", 5, now=LATER))
    unsure = recall.answerable(recall.read("which violin concerto did we rehearse?", 5, now=LATER))
    assert unsure < sure

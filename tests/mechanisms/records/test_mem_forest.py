"""MemForest: facts, the trees that they are in, and what reading finds in these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.scope import Scope
from remanence.kernels.mem_tree import MemTree
from remanence.mechanisms.records.mem_forest import FANOUT, NODE, USER, MemForest, Step
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.families.canonical_facts import FACT, chunks
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Record
from remanence.substrates.records.probe import conversation, drive, observe
from tests.support.llm_server import Request, Service, error, said, serving

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
LONG = START + timedelta(days=400)


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def item(text: str, day: float = 0, speaker: str = "Ana", session: str = "s", role: str | None = None) -> Item:
    return Item(text, speaker=speaker, role=role, at=at(day), session=session)


def told(*items: Item, **options: Any) -> MemForest:
    forest = MemForest(**options)
    forest.write(items, now=LONG)
    return forest


def facts(forest: MemForest) -> list[Record]:
    return list(forest.current(LONG).of(FACT).values())


def nodes(forest: MemForest) -> list[Record]:
    return list(forest.current(LONG).of(NODE).values())


def texts(forest: MemForest, key: str) -> list[str]:
    return [leaf.summary for leaf in forest.forest(LONG)[key].leaves()]


def sound(forest: MemForest) -> None:
    """Every tree is one, is written down as it is, and holds the facts that belong to it."""
    stored = {node.id: node for node in nodes(forest)}
    seen = set()
    for key, tree in forest.forest(LONG).items():
        tree.check_invariants()
        assert tree.fanout == FANOUT[key.partition(":")[0]]
        assert not tree.dirty()
        for node in tree.nodes():
            record = stored[node.name]
            seen.add(node.name)
            assert (record.text, record.meta["tree"], record.meta["level"]) == (node.summary, key, node.level)
            assert [source.id for source in record.sources] == [child.name for child in node.children]
            assert record.meta["count"] == node.count
    assert seen == set(stored)


def life(days: int = 12, **options: Any) -> MemForest:
    return told(*(item(f"I ran {10 + day} kilometres in Oslo", day, session=f"s{day // 3}") for day in range(days)))


# Facts.


def test_a_fact_is_what_was_said_by_whom_with_its_dates() -> None:
    forest = told(item("I met Bo in Oslo yesterday.", 3))
    (fact,) = facts(forest)
    assert fact.text == "Ana: I met Bo in Oslo yesterday (2026-03-03)."
    assert fact.event_at == datetime(2026, 3, 3, tzinfo=UTC)
    assert fact.meta["until"] == datetime(2026, 3, 4, tzinfo=UTC).isoformat()
    assert fact.meta["entities"] == ["ana", "bo", "oslo"]


def test_what_is_said_again_is_one_fact_with_two_sources_and_what_only_looks_so_is_two() -> None:
    forest = told(
        item("The flight leaves at 9:15."), item("By the way, the flight leaves at 9:15!", 1, session="t"),
        item("The flight leaves at 9:45."), item("The flight does not leave at 9:15."),
        item("The flight leaves at 9:15.", speaker="Bo"),
    )  # fmt: skip
    assert [len(fact.sources) for fact in facts(forest)] == [2, 1, 1, 1]
    assert facts(forest)[0].meta["sessions"] == ["s", "t"]
    ids = forest.write([item("The flight leaves at 9:15", 2, session="u")], now=LONG)
    assert len(facts(forest)) == 4
    assert ids[0] in {source.id for source in facts(forest)[0].sources}
    sound(forest)


def test_taking_in_at_once_and_one_by_one_give_the_same_facts_and_trees_with_the_same_leaves() -> None:
    items = [one for seed in range(6) for one in conversation(seed)]
    at_once, bit_by_bit = told(*items), MemForest()
    for one in items:
        bit_by_bit.write([one], now=LONG)
    assert [fact.text for fact in facts(at_once)] == [fact.text for fact in facts(bit_by_bit)]
    both = [{key: [leaf.summary for leaf in tree.leaves()] for key, tree in one.forest(LONG).items()}
            for one in (at_once, bit_by_bit)]  # fmt: skip
    assert both[0] == both[1]
    assert any(key.startswith("scene:") for key in both[0])
    sound(at_once)
    sound(bit_by_bit)


def test_long_turns_are_facts_piece_by_piece() -> None:
    forest = told(item("lantern orchard " * 1000 + "zeppelin", speaker=""))
    assert len(facts(forest)) == 3
    assert all(len(fact.text) <= 8000 for fact in facts(forest))
    assert "".join(fact.text for fact in facts(forest)).split() == ["lantern", "orchard"] * 1000 + ["zeppelin"]
    assert "zeppelin" in forest.read("zeppelin", 1, now=LONG)[0].text


def test_chunks_end_with_a_session_a_silence_and_words_that_announce_something_else() -> None:
    forest = told(
        item("One."), item("Two."), item("Three."), item("Four.", session="t"),
        item("Five.", 2), item("By the way, six.", 2), item("Seven.", 2),
    )  # fmt: skip
    turns = list(forest.current(LONG).of("turn").values())
    got = [[turn.text for turn in chunk] for chunk in chunks(turns, 2)]
    assert got == [["One.", "Two."], ["Three."], ["Four."], ["Five."], ["By the way, six.", "Seven."]]


# Trees.


def test_trees_are_in_order_of_what_happened_not_of_when_it_was_told() -> None:
    forest = told(
        item("I moved to Oslo on 5 January 2026."), item("I left Rome on 2 January 2026.", 1),
        item("I bought a boat on 9 January 2026.", 2),
    )  # fmt: skip
    assert [text.split(" on ")[0] for text in texts(forest, "session:s")] == [
        "Ana: I left Rome", "Ana: I moved to Oslo", "Ana: I bought a boat",
    ]  # fmt: skip


def test_an_entity_has_a_tree_from_three_facts_of_two_sessions_on() -> None:
    forest = told(item("Bo sings.", speaker="Cy"), item("Bo paints.", speaker="Cy"), item("Bo swims.", speaker="Cy"))
    assert not any(key.startswith("entity:") for key in forest.forest(LONG))
    forest.write([item("Bo cooks.", 1, speaker="Di", session="t")], now=LONG)
    assert set(forest.forest(LONG)) == {"session:s", "session:t", "entity:bo", "entity:cy"} - {"entity:cy"}
    forest.write([item("Cy is late.", 2, speaker="Di", session="t")], now=LONG)
    assert "entity:cy" in forest.forest(LONG)
    sound(forest)
    forest.forget([source.id for fact in facts(forest) if "late" in fact.text for source in fact.sources], now=LONG)
    assert "entity:cy" not in forest.forest(LONG)
    sound(forest)


def test_what_the_user_says_is_in_the_users_tree_at_once() -> None:
    forest = told(item("I like tea.", role="user"), item("Noted.", speaker="Aide", role="assistant"))
    assert texts(forest, USER) == ["Ana: I like tea."]


def test_an_insertion_renews_one_path_per_tree() -> None:
    forest = life(40)
    height = {key: tree.height for key, tree in forest.forest(LONG).items()}
    before = {node.id: node.version for node in nodes(forest)}
    forest.write([item("I swam in Bergen", 100, session="new")], now=LONG)
    sound(forest)
    changed = [node for node in nodes(forest) if before.get(node.id) != node.version]
    per_tree = {key: sum(node.meta["tree"] == key for node in changed) for key in forest.forest(LONG)}
    for key, count in per_tree.items():
        # Its path, and where a node was split the other half; a new root at most.
        assert count <= 2 * height.get(key, 1) + 1
    assert per_tree["entity:ana"] >= 1
    assert per_tree["session:s0"] == 0


def test_a_summary_keeps_the_numbers_of_its_facts_and_stays_within_its_budget() -> None:
    forest = life(9)
    (root,) = [node for node in nodes(forest) if node.meta["tree"] == "session:s0" and node.meta["level"] == 1]
    assert all(number in root.text for number in ("10", "11", "12"))
    small = MemForest(summary=12)
    small.write([item(f"I ran {10 + day} kilometres through Oslo", day) for day in range(9)], now=LONG)
    assert all(len(node.text) < 100 for node in nodes(small))
    sound(small)


def test_forgetting_costs_one_path_and_keeps_the_rest() -> None:
    forest = life(40)
    before = {node.id: node.version for node in nodes(forest)}
    (fact,) = [one for one in facts(forest) if "25 kilometres" in one.text]
    forest.forget([fact.sources[0].id], now=LONG)
    sound(forest)
    assert not any("25" in one.text for one in (*facts(forest), *nodes(forest)))
    assert len(facts(forest)) == 39
    kept = [node for node in nodes(forest) if before.get(node.id) == node.version]
    assert len(kept) > 0.6 * len(before)


def test_forgetting_one_of_two_occurrences_keeps_the_fact() -> None:
    forest = MemForest()
    ids = forest.write([item("The code is 4711."), item("The code is 4711.", 1, session="t")], now=LONG)
    forest.forget(ids[:1], now=LONG)
    (fact,) = facts(forest)
    assert [source.id for source in fact.sources] == ids[1:]
    assert set(forest.forest(LONG)) == {"session:t"}
    sound(forest)


def test_an_update_is_in_the_summaries_too() -> None:
    forest = life(9)
    turn = next(one for one in facts(forest) if "12 kilometres" in one.text).sources[0].id
    forest.update(turn, "I slept in Bergen", now=LONG)
    sound(forest)
    assert any("Bergen" in node.text for node in nodes(forest))
    assert not any("12 kilometres" in one.text for one in (*facts(forest), *nodes(forest)))


# Reading.


def lives(**options: Any) -> MemForest:
    """Two people, whose lives are told out of order."""
    rows = [
        ("Ana", "I moved to Oslo on 5 May 2025."), ("Bo", "I moved to Oslo on 1 May 2025."),
        ("Ana", "I broke my arm on 2 May 2025."), ("Bo", "I sold my boat on 4 May 2025."),
        ("Ana", "I adopted a cat on 9 May 2025."), ("Bo", "I won a prize on 8 May 2025."),
        ("Ana", "I learnt to weld on 20 January 2025."), ("Bo", "I got engaged on 30 January 2025."),
    ]  # fmt: skip
    items = [item(text, at_, who, f"s{at_ % 3}") for at_, (who, text) in enumerate(rows)]
    return told(*items, embedder=StaticEmbedder(), **options)


def test_before_and_after_follow_the_life_of_whom_the_question_names() -> None:
    forest = lives()
    for question, wanted in (
        ("What did Ana do right before moving to Oslo?", "Ana: I broke my arm"),
        ("What did Ana do right after moving to Oslo?", "Ana: I adopted a cat"),
        ("What did Bo do right after moving to Oslo?", "Bo: I sold my boat"),
        ("What did Bo do right before moving to Oslo?", "Bo: I got engaged"),
    ):
        shown = [hit.text for hit in forest.read(question, 3, now=LONG)]
        who = wanted.split(":")[0]
        assert shown[0].startswith(f"{who}: I moved to Oslo"), question
        assert any(text.startswith(wanted) for text in shown), question


class InOrderOfTelling(MemForest):
    """Walks along what was told, as a list of turns has it."""

    def _follow(self, step: Step, query: str, k: int, now: datetime) -> list[tuple[str, float]]:
        found = super()._follow(Step(step.text, "direct"), query, k, now)
        if step.browse not in ("before", "after"):
            return found
        ids = list(self.current(now).of(FACT))
        place = ids.index(found[0][0]) + (1 if step.browse == "after" else -1)
        return [found[0], *((id, 0.0) for id in ids[max(place, 0) : place + 1])]


def test_without_the_order_of_time_the_neighbour_is_a_wrong_one() -> None:
    right = lives()
    wrong = InOrderOfTelling(store=right.store, scope=right.scope, embedder=right.embedder)
    question = "What did Ana do right before moving to Oslo?"

    def walked(forest: MemForest) -> str:
        found = forest._follow(forest.plan(question)[0], question, 3, LONG)
        return " ".join(hit.text for hit in forest.hits(found, 9, now=LONG))

    assert "broke my arm" in walked(right)
    assert "broke my arm" not in walked(wrong)


def test_between_looks_for_both_ends() -> None:
    forest = lives()
    hits = forest.read("How many days passed for Bo between selling the boat and the prize?", 2, now=LONG)
    assert {hit.text.split(" on ")[0] for hit in hits} == {"Bo: I sold my boat", "Bo: I won a prize"}


def test_plans_are_made_of_the_words_of_the_question() -> None:
    plan = MemForest().plan
    assert plan("Where is the cat?") == [Step("Where is the cat?", "direct")]
    assert plan("How long was it for Ana between A and B?")[:2] == [Step("Ana A", "anchor"), Step("Ana B", "anchor")]
    assert plan("What did Ana do before moving to Oslo?")[0] == Step("Ana moving to Oslo", "before")
    assert len(plan("Where did Ana live before?")) == 1


def test_a_direct_question_finds_what_flat_search_finds() -> None:
    forest = lives()
    vector = forest.embed_query("Who has a cat?")
    flat = [id for id, _ in forest.nearest(vector, 5, kinds=(FACT,))]
    assert [hit.id for hit in forest.read("Who has a cat?", 5, now=LONG)] == flat
    scores = [hit.score for hit in forest.read("Who has a cat?", 5, now=LONG)]
    assert scores == sorted(scores, reverse=True)


def test_more_hits_begin_with_fewer() -> None:
    forest = life(60)
    for query in ("Where did Ana run?", "What did Ana do before 20 kilometres?"):
        ten = [hit.id for hit in forest.read(query, 10, now=LONG)]
        assert [hit.id for hit in forest.read(query, 4, now=LONG)] == ten[:4]
        assert len(forest.read(query, 1000, now=LONG)) == 60


# Living with it.


def test_memory_and_sqlite_agree(tmp_path: Path) -> None:
    kept = MemForest(store=SqliteStore(tmp_path / "m.db"), scope=Scope(user_id="ana"))
    plain = MemForest(scope=Scope(user_id="ana"))
    for forest in (kept, plain):
        for seed in range(4):
            drive(forest, seed)
    assert observe(kept) == observe(plain)
    assert observe(MemForest(store=kept.store, scope=kept.scope)) == observe(plain)
    kept.store.close()


def test_restored_it_has_the_same_trees_and_goes_on() -> None:
    forest, other = life(30), MemForest()
    other.restore(forest.state())
    sound(other)
    shapes = [{key: [len(node.children) for node in tree.nodes()] for key, tree in one.forest(LONG).items()}
              for one in (forest, other)]  # fmt: skip
    assert shapes[0] == shapes[1]
    for one in (forest, other):
        one.write([item("I ran again", 50, session="x")], now=LONG)
        sound(one)
    assert observe(forest) == observe(other)


def test_a_forest_that_was_left_half_written_is_put_in_order_by_the_next_write() -> None:
    forest = life(20)
    forest.close([node.id for at_, node in enumerate(nodes(forest)) if at_ % 3 == 0])
    assert forest.read("Where did Ana run?", 5, now=LONG)
    forest.write([item("I rest", 60, session="y")], now=LONG)
    sound(forest)
    assert isinstance(forest.forest(LONG)["entity:ana"], MemTree)


# With a model.


@pytest.fixture
def service() -> Iterator[Service]:
    pytest.importorskip("openai")
    with serving() as running:
        yield running


def with_model(service: Service, **options: Any) -> MemForest:
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    return MemForest(llm=model, **options)


def fact(text: str, *messages: int, start: str = "", entities: Sequence[str] = ()) -> dict[str, Any]:
    return {"text": text, "messages": list(messages), "entities": list(entities), "start": start, "end": ""}


def good(request: Request) -> str:
    material = json.loads(request["messages"][1]["content"])
    if "messages" in material:
        first = material["messages"][0]
        made = [fact(f"Ana did what she told: {first['text']}", 1, start="2025-02-01", entities=["the Deed"])]
        return json.dumps({"facts": [*made, fact("", 1), fact("Nobody said this.", 9)]})
    if "parts" in material:
        return json.dumps({"summary": f"{len(material['parts'])} things."})
    if "candidates" in material:
        return json.dumps({"same": next(iter(material["candidates"]))})
    return json.dumps({"steps": [{"text": "Ana moving to Oslo", "browse": "before"}]})


@pytest.mark.loopback
def test_a_model_writes_facts_and_summaries_and_what_it_passes_over_stays(service: Service) -> None:
    service.answers = good
    forest = with_model(service)
    ids = forest.write([item("I sailed."), item("I slept.")], now=LONG)
    assert [one.text for one in facts(forest)] == ["Ana did what she told: I sailed.", "Ana: I slept."]
    first = facts(forest)[0]
    assert first.event_at == datetime(2025, 2, 1, tzinfo=UTC)
    assert "the deed" in first.meta["entities"]
    assert [source.id for source in first.sources] == ids[:1]
    assert [node.text for node in nodes(forest)] == ["2 things."]
    sound(forest)


@pytest.mark.loopback
def test_a_model_says_what_is_the_same_only_of_what_is_near(service: Service) -> None:
    service.answers = good
    forest = with_model(service)
    forest.write([item("I sailed to the island in my little red boat.")], now=LONG)
    forest.write([item("I sailed to the island in my little red boats.", 1, session="t")], now=LONG)
    assert len(facts(forest)) == 1
    forest.write([item("The dentist has moved.", 2, session="u")], now=LONG)
    assert len(facts(forest)) == 2


@pytest.mark.loopback
def test_a_model_plans_if_it_may(service: Service) -> None:
    service.answers = good
    plain = lives()
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    question = "And what led up to Ana's relocation?"
    asked = MemForest(store=plain.store, scope=plain.scope, embedder=plain.embedder, llm=model, planner=True)
    assert any("broke my arm" in hit.text for hit in asked.read(question, 3, now=LONG))
    assert not service.requests[0]["messages"][0]["content"].count(question)
    quiet = MemForest(store=plain.store, scope=plain.scope, embedder=plain.embedder, llm=model)
    seen = len(service.requests)
    quiet.read(question, 3, now=LONG)
    assert len(service.requests) == seen


@pytest.mark.loopback
@pytest.mark.parametrize(
    "answer",
    ["not json", "[]", '{"facts": 7}', '{"facts": [], "summary": "", "same": "x", "steps": []}', None],
)
def test_a_model_that_fails_costs_nothing(service: Service, answer: str | None) -> None:
    service.step = lambda request: error(500) if answer is None else said(answer)  # type: ignore[method-assign]
    forest, plain = with_model(service, planner=True), MemForest()
    for either in (forest, plain):
        either.write(conversation(0), now=LONG)
    assert observe(forest) == observe(plain)
    assert [node.text for node in nodes(forest)] == [node.text for node in nodes(plain)]
    assert service.requests

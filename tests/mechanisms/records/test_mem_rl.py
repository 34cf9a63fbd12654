from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import InvalidInput, NotFound
from remanence.mechanisms.records.mem_rl import EXPERIENCE, REFLECTS, MemRL
from remanence.scenarios.bandit import bandit
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.port import RecordStore
from remanence.witnesses.records.mem_rl import remembered, run, shown
from tests.support.llm_server import Answer, Request, Service, broken, error, said, serving

NOW = datetime(2026, 5, 11, 9, tzinfo=UTC)
TASKS = ("boil an egg in the kitchen", "boil an egg in the garden", "paint the garden fence", "mend a bicycle tyre")
LOG = "take pot\nfill pot with water\nput pot on stove\nwait"


def told(*tasks: str, store: RecordStore | None = None, **options: Any) -> MemRL:
    memory = MemRL(store=store, embedder=HashEmbedder(1024), **options)
    items = [Item(f"{LOG} {i}", meta={"task": task}, at=NOW) for i, task in enumerate(tasks or TASKS)]
    memory.write(items, now=NOW)
    return memory


def by_task(memory: MemRL) -> dict[str, str]:
    return {one.meta["task"]: id for id, one in memory.current(NOW).of(EXPERIENCE).items()}


def tasks(memory: MemRL, query: str, k: int = 9) -> list[str]:
    return [hit.record.meta["task"] for hit in memory.read(query, k, now=NOW) if hit.record]


def values(memory: MemRL, ids: Sequence[str]) -> list[float]:
    return [memory.value(record) for record in memory.get(ids) if record is not None]


def test_feedback_moves_every_memory_that_was_handed_out_by_the_formula() -> None:
    memory = told(alpha=0.3)
    egg, garden, fence, _ = by_task(memory).values()
    rewards = [1.0, -1.0, 1.0, 1.0]
    for reward in rewards:
        memory.feedback([egg, garden], reward, now=NOW)
    expected = 0.3 * sum(0.7 ** (4 - i) * reward for i, reward in enumerate(rewards, 1))
    assert values(memory, [egg, garden, fence]) == pytest.approx([expected, expected, 0.0])
    (record,) = memory.get([egg])
    assert record is not None
    assert record.hits == 4


def test_an_initial_value_counts_until_the_first_feedback_and_a_floor_holds() -> None:
    memory = told(initial=0.5, floor=0.4)
    egg, *_ = by_task(memory).values()
    assert values(memory, [egg]) == [0.5]
    memory.feedback([egg], 1.0, now=NOW)
    assert values(memory, [egg]) == [pytest.approx(0.65)]
    for _ in range(9):
        memory.feedback([egg], -1.0, now=NOW)
    assert values(memory, [egg]) == [0.4]


def test_similar_is_shortlisted_and_what_helped_is_taken() -> None:
    query = "boil an egg in the small kitchen"
    memory = told()
    assert tasks(memory, query)[:2] == [TASKS[0], TASKS[1]]
    ids = by_task(memory)
    for _ in range(8):
        memory.feedback([ids[TASKS[0]]], -1.0, now=NOW)
        memory.feedback([ids[TASKS[1]]], 1.0, now=NOW)
    assert tasks(memory, query)[0] == TASKS[1]
    assert tasks(MemRL(store=memory.store, embedder=memory.embedder, weight=0.0), query)[0] == TASKS[0]
    hit = memory.read(query, 1, now=NOW)[0]
    assert hit.score == pytest.approx(0.5 * hit.channels["similarity"] + 0.5 * hit.channels["utility"])
    dropping = MemRL(store=memory.store, embedder=memory.embedder, drop=-0.8)
    assert TASKS[0] not in tasks(dropping, query)


def test_lambda_0_is_the_order_of_similarity_and_so_are_equal_utilities() -> None:
    for weight in (0.0, 0.5):
        memory = told(delta=-1.0, weight=weight)
        for id in by_task(memory).values():
            memory.feedback([id], 1.0, now=NOW)
        ranked = memory.nearest("boil an egg in the garden fence", 9, kinds=(EXPERIENCE,))
        hits = memory.read("boil an egg in the garden fence", 9, now=NOW)
        assert [hit.id for hit in hits] == [id for id, _ in ranked]


class Winner(MemRL):
    """Credits the first memory alone, as other methods do."""

    def feedback(self, ids: Sequence[str], reward: float, *, now: datetime) -> None:
        super().feedback(ids[:1], reward, now=now)


@pytest.mark.parametrize(("kind", "right"), [(MemRL, True), (Winner, False)])
def test_credit_goes_to_all_that_were_handed_out(kind: type[MemRL], right: bool) -> None:
    memory = kind(embedder=HashEmbedder(1024))
    memory.write([Item(LOG, meta={"task": task}) for task in TASKS[:2]], now=NOW)
    hits = memory.read("boil an egg", 2, now=NOW)
    memory.feedback([hit.id for hit in hits], 1.0, now=NOW)
    assert (values(memory, [hit.id for hit in hits]) == pytest.approx([0.3, 0.3])) is right


def test_without_a_similar_intent_it_acts_without_memory() -> None:
    memory = told(delta=0.25)
    assert memory.read("zebra xylophone", 5, now=NOW) == []
    assert memory.candidates("zebra xylophone", 5) == []
    assert len(memory.candidates("boil an egg", 1)) == 1


def test_what_phase_a_leaves_out_no_utility_brings_back() -> None:
    world = bandit(0, families=6, extra_words=10)
    five = MemRL(k1=5, epsilon=0.1, embedder=HashEmbedder(2048))
    assert shown(five, world) == 0.0
    assert shown(MemRL(k1=6, embedder=HashEmbedder(2048)), world) == 1.0
    best = {one.id for one in world.memories if one.success == 0.9}
    used = MemRL(k1=5, epsilon=0.5, embedder=HashEmbedder(2048))
    known = remembered(used, world)
    for epoch in range(6):
        for task in world.epoch(epoch):
            for hit in used.read(task.text, 1, now=NOW):
                assert known[hit.sources[0]] not in best
                used.feedback([hit.id], 1.0, now=NOW)


def test_exploration_is_seeded_and_a_read_leaves_no_trace() -> None:
    memory = told(epsilon=0.5, seed=3)
    before = memory.state()
    once, again = (tasks(memory, "boil an egg in the kitchen", 1) for _ in range(2))
    assert once == again
    assert memory.state() == before
    others = [MemRL(store=memory.store, embedder=memory.embedder, epsilon=0.9, seed=seed) for seed in range(20)]
    assert len({tasks(one, "egg in the garden", 1)[0] for one in others}) > 1
    world = bandit(1, families=4)
    curves = [run(MemRL(epsilon=0.3, seed=seed, embedder=HashEmbedder(1024)), world, 8) for seed in (1, 1, 2)]
    assert curves[0] == curves[1]


def test_experiences_of_one_intent_are_filed_together_and_fill_one_place_of_the_shortlist() -> None:
    memory = told(*[TASKS[0]] * 7, *TASKS[1:])
    intents = [one.meta["intent"] for one in memory.current(NOW).of(EXPERIENCE).values()]
    assert len(set(intents[:7])) == 1
    assert len(set(intents)) == 4
    shortlist = memory.candidates("boil an egg in the kitchen", 2)
    assert len(shortlist) == 8
    one_by_one = MemRL(embedder=HashEmbedder(1024))
    for task in (*[TASKS[0]] * 7, *TASKS[1:]):
        one_by_one.write([Item(LOG, meta={"task": task}, at=NOW)], now=NOW)
    grouped = [one.meta["intent"] for one in one_by_one.current(NOW).of(EXPERIENCE).values()]
    assert [intents.index(one) for one in intents] == [grouped.index(one) for one in grouped]


def test_scripts_and_reflections_without_a_model() -> None:
    memory = MemRL(embedder=HashEmbedder(1024))
    (first,) = memory.write([Item(LOG, meta={"task": TASKS[0], "success": True})], now=NOW)
    (used,) = [hit.id for hit in memory.read(TASKS[0], 1, now=NOW)]
    failed = "take tyre\nopen box\nthe box is locked\nwait"
    meta = {"task": TASKS[3], "success": False, "used": [used, "nobody"]}
    memory.write([Item(failed, meta=meta)], now=NOW)
    good, bad = memory.current(NOW).of(EXPERIENCE).values()
    assert good.text == f"SCRIPT: take, fill, put, wait\nTRAJECTORY: {LOG}"
    assert bad.text == (
        f"TASK REFLECTION: {TASKS[3]}\nWhat went wrong: the box is locked\nFailed approach: open box"
    )  # fmt: skip
    assert (bad.meta["failed"], bad.meta["confidence"], good.meta["confidence"]) == (True, 0.8, 1.0)
    assert [(edge.source, edge.target) for edge in memory.edges(REFLECTS)] == [(bad.id, used)]
    memory.feedback([first], 1.0, now=NOW)
    assert values(memory, [used]) == [pytest.approx(0.3)]


def test_what_cannot_be_fed_back() -> None:
    memory = told()
    with pytest.raises(NotFound, match="nobody"):
        memory.feedback(["nobody"], 1.0, now=NOW)
    with pytest.raises(InvalidInput, match="nan"):
        memory.feedback([], float("nan"), now=NOW)
    with pytest.raises(InvalidInput, match="std=0"):
        told(std=0.0).read("boil an egg", 1, now=NOW)


def test_forgetting_and_updating() -> None:
    memory = told()
    turn = memory.read(TASKS[0], 1, now=NOW)[0].sources[0]
    assert memory.forget([turn], now=NOW) == 1
    assert TASKS[0] not in by_task(memory)
    (other,) = memory.write([Item("Ana likes tea", speaker="Ana")], now=NOW)
    memory.update(other, "Ana likes cocoa", now=NOW + timedelta(hours=1))
    assert [hit.text for hit in memory.read("Ana likes cocoa", 1, now=NOW)] == ["Ana likes cocoa"]


def test_utilities_survive_instances_states_and_stores(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "m.db") as store:
        seen = []
        for memory in (told(), told(store=store)):
            ids = by_task(memory)
            memory.feedback([ids[TASKS[1]]], 1.0, now=NOW)
            memory.feedback([ids[TASKS[0]]], -1.0, now=NOW)
            restored = MemRL(embedder=memory.embedder)
            restored.restore(memory.state())
            for one in (memory, MemRL(store=memory.store, embedder=memory.embedder), restored):
                hits = one.read("boil an egg", 9, now=NOW)
                seen.append([(hit.text, pytest.approx(hit.score)) for hit in hits])
                assert one.consolidate(now=NOW) == []
        assert all(one == seen[0] for one in seen)


@pytest.mark.parametrize("text", ["?!…", "😀", "дождь идёт", "我住在奥斯陆", "x" * 100_000, "of the and"])
def test_odd_texts_are_kept_and_found(text: str) -> None:
    memory = told()
    memory.write([Item(text, speaker="Ana")], now=NOW)
    assert text in [hit.text for hit in memory.read(text, 9, now=NOW)]
    assert memory.write([], now=NOW) == []
    assert memory.read(" ", 3, now=NOW) == memory.read(text, 0, now=NOW) == []
    hits = memory.read("boil an egg in the garden", 3, now=NOW)
    assert len({hit.id for hit in hits}) == len(hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


# With a model.


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def asked(service: Service) -> MemRL:
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    memory = MemRL(llm=model, embedder=HashEmbedder(1024))
    memory.write([Item(LOG, meta={"task": TASKS[0]}), Item("a plain remark")], now=NOW)
    memory.write([Item(LOG, meta={"task": TASKS[3], "success": False})], now=NOW)
    return memory


@pytest.mark.loopback
def test_a_model_writes_scripts_and_reflections(service: Service) -> None:
    def answer(request: Request) -> str:
        shown = json.loads(next(one["content"] for one in request["messages"] if one["role"] == "user"))
        return json.dumps({"text": f"heat water, for {shown['task']}"})

    service.answers = answer
    memory = asked(service)
    assert memory.troubles == []
    found = [one.text for one in memory.current(NOW).of(EXPERIENCE).values()]
    assert found == [
        f"SCRIPT: heat water, for {TASKS[0]}\nTRAJECTORY: {LOG}",
        "a plain remark",
        f"TASK REFLECTION: {TASKS[3]}\nheat water, for {TASKS[3]}",
    ]
    assert len(service.requests) == 2


BROKEN: dict[str, Callable[[Request], Answer]] = {
    "down": lambda request: error(503),
    "hung up": broken,
    "garbage": lambda request: said("certainly! {"),
    "wrong shape": lambda request: said('{"text": 3}'),
    "blank": lambda request: said('{"text": "  "}'),
}


@pytest.mark.loopback
@pytest.mark.parametrize("name", list(BROKEN))
def test_a_model_that_fails_loses_nothing(name: str, service: Service) -> None:
    service.script = [BROKEN[name]] * 50
    found = [one.text for one in asked(service).current(NOW).of(EXPERIENCE).values()]
    assert found[0] == f"SCRIPT: take, fill, put, wait\nTRAJECTORY: {LOG}"
    assert found[1] == "a plain remark"
    assert found[2].startswith(f"TASK REFLECTION: {TASKS[3]}\nWhat went wrong:")

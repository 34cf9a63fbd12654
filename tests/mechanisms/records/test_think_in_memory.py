from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.scope import Scope
from remanence.kernels.thoughts import Settled, Triple
from remanence.mechanisms.records import think_in_memory as module
from remanence.mechanisms.records.think_in_memory import CONCLUSION, MERGED, THOUGHT, ThinkInMemory
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.port import RecordStore
from tests.support.llm_server import Answer, Request, Service, broken, error, said, serving

NOW = datetime(2026, 5, 11, 9, tzinfo=UTC)
TALK = (
    "I live in Oslo. The rain never stops!",
    "My coach is Jakob.",
    "I am allergic to walnuts.",
    "I'm also allergic to penicillin.",
    "Did anybody see my umbrella?",
    "I moved to Bergen last week.",
)
HOME = "lives in Bergen"


def told(*texts: str, store: RecordStore | None = None, **options: Any) -> ThinkInMemory:
    memory = ThinkInMemory(store=store, **options)
    for number, text in enumerate(texts or TALK):
        memory.write([Item(text, speaker="Ana", at=NOW + timedelta(minutes=number))], now=NOW + timedelta(hours=1))
    return memory


def states(memory: ThinkInMemory) -> dict[str, str]:
    return {one.text: one.state for one in memory.current(NOW).of(THOUGHT).values()}


def texts(memory: ThinkInMemory, kind: str) -> list[str]:
    return [one.text for one in memory.current(NOW).of(kind).values()]


def live(memory: ThinkInMemory) -> list[tuple[str, str]]:
    return [tuple(one.meta["triple"][:2]) for one in memory.current(NOW).of(THOUGHT).values()
            if "triple" in one.meta and one.state == "generated"]  # fmt: skip


def read(memory: ThinkInMemory, query: str, k: int = 9) -> list[str]:
    return [hit.text for hit in memory.read(query, k, now=NOW)]


def test_turns_become_thoughts_and_the_rest_of_them_is_kept() -> None:
    memory = told()
    found = states(memory)
    assert found["Ana lives in Oslo"] == "archived"
    assert found["The rain never stops!"] == "generated"
    assert found["Did anybody see my umbrella?"] == "generated"
    assert [text for text in found if text.startswith("Ana lives in Bergen")]
    for one in memory.current(NOW).of(THOUGHT).values():
        assert one.sources
        turn = memory.current(NOW).get(one.sources[0].id)
        assert turn is not None
        assert one.sources[0].end <= len(turn.text)


def test_what_a_newer_thought_contradicts_is_put_away_and_not_found() -> None:
    memory = told()
    assert HOME in read(memory, "Ana lives in this city")[0]
    assert "Ana lives in Oslo" not in read(memory, "Oslo", 99)
    assert len(live(memory)) == len(set(live(memory)))


def test_the_invariant_catches_a_memory_that_does_not_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(triples: Sequence[Triple]) -> Settled:
        return Settled([one.id for one in triples])

    monkeypatch.setattr(module, "settle", nothing)
    memory = told()
    assert len(live(memory)) > len(set(live(memory)))
    assert "Ana lives in Oslo" in read(memory, "Oslo", 99)


def test_thoughts_of_one_head_and_relation_are_merged_with_all_their_tails() -> None:
    memory = told()
    assert texts(memory, MERGED) == ["Ana is allergic to walnuts and penicillin"]
    assert states(memory)["Ana is allergic to walnuts"] == "merged"
    (hit,) = memory.read("what is Ana allergic to?", 1, now=NOW)
    assert hit.text == "Ana is allergic to walnuts and penicillin"
    assert len(hit.sources) == 2


def test_conclusions_are_drawn_and_go_with_what_they_rest_on() -> None:
    memory = told("My coach is Jakob.")
    assert texts(memory, CONCLUSION) == []
    (turn,) = memory.write([Item("I live in Quito.", speaker="Jakob", at=NOW)], now=NOW)
    assert texts(memory, CONCLUSION) == ["Ana's coach Jakob lives in Quito"]
    (hit,) = memory.read("In which city does Ana's coach live?", 1, now=NOW)
    assert hit.text == "Ana's coach Jakob lives in Quito"
    assert len(hit.sources) == 2
    memory.write([Item("I live in Lima.", speaker="Jakob", at=NOW + timedelta(days=1))], now=NOW)
    assert texts(memory, CONCLUSION) == ["Ana's coach Jakob lives in Lima"]
    memory.forget([hit.sources[0]], now=NOW)
    assert texts(memory, CONCLUSION) == []
    assert turn in hit.sources
    assert texts(told(*TALK, conclude=False), CONCLUSION) == []


def test_a_forgotten_conclusion_stays_forgotten() -> None:
    memory = told("My coach is Jakob.")
    memory.write([Item("I live in Quito.", speaker="Jakob", at=NOW)], now=NOW)
    (conclusion,) = memory.current(NOW).of(CONCLUSION)
    assert memory.forget([conclusion], now=NOW) == 1
    memory.consolidate(now=NOW)
    assert texts(memory, CONCLUSION) == []


def test_each_thought_lies_in_exactly_the_bucket_that_its_vector_says() -> None:
    memory = told()
    table = memory.table()
    for bucket in range(table.hash.buckets):
        for id in table.bucket(bucket):
            (vector,) = memory.vectors_of([id])
            assert table.hash.bucket(vector) == bucket == table.bucket_of[id]
    assert sorted(table.bucket_of) == sorted(table.ids)


def test_a_read_is_exact_search_within_the_probed_buckets() -> None:
    memory = ThinkInMemory(probes=2, pool=0, buckets=8, idle=1.0)
    memory.write([Item(f"the {word} boat sails number {i}", at=NOW) for i, word in enumerate("abcdefgh" * 12)], now=NOW)
    table, query = memory.table(), "the boat sails number 40"
    vector = memory.embed_query(query)
    probed = table.hash.probes_naive(vector.tolist(), 2)
    rows = [i for i, id in enumerate(table.ids) if table.bucket_of[id] in probed]
    best = sorted(rows, key=lambda row: (-float(table.vectors[row] @ vector), row))[:5]
    assert [hit.id for hit in memory.read(query, 5, now=NOW)] == [table.ids[row] for row in best]
    assert len(rows) < len(table.ids)
    everything = ThinkInMemory(store=memory.store, pool=10**6, idle=1.0)
    exact = memory.nearest(query, 5, kinds=(THOUGHT,))
    assert [hit.score for hit in everything.read(query, 5, now=NOW)] == pytest.approx(
        [score for _, score in exact], abs=1e-2
    )


def test_what_only_asks_comes_after_what_concludes() -> None:
    memory = told("Which umbrella is red?", "The umbrella of the baker is red.")
    assert read(memory, "Which umbrella is red?")[0] == "The umbrella of the baker is red."
    assert read(told("Which umbrella is red?"), "Which umbrella is red?") == ["Which umbrella is red?"]


def test_forgetting_the_newer_fact_brings_the_older_one_back() -> None:
    memory = told()
    bergen = memory.read("Ana lives in this city", 1, now=NOW)[0].sources[0]
    assert memory.forget([bergen], now=NOW) == 1
    assert states(memory)["Ana lives in Oslo"] == "generated"
    assert not [text for text in states(memory) if "Bergen" in text]
    penicillin = memory.read("penicillin", 1, now=NOW)[0].sources[-1]
    memory.forget([penicillin], now=NOW)
    assert texts(memory, MERGED) == []
    assert states(memory)["Ana is allergic to walnuts"] == "generated"


def test_updates_of_turns_and_of_thoughts() -> None:
    memory = told()
    (turn,) = [id for id, one in memory.current(NOW).of("turn").items() if one.text == TALK[1]]
    memory.update(turn, "My coach is Delphine.", now=NOW + timedelta(hours=2))
    assert "Ana's coach is Delphine" in states(memory)
    assert "Ana's coach is Jakob" not in states(memory)
    (thought,) = [
        id for id, one in memory.current(NOW).of(THOUGHT).items() if one.text.startswith("Ana lives in Bergen")
    ]
    memory.update(thought, "Ana lives on a boat", now=NOW + timedelta(hours=2))
    # Nothing is concluded from a triple that the words no longer bear out.
    assert states(memory)["Ana lives on a boat"] == "generated"
    assert read(memory, "Ana lives on a boat")[0] == "Ana lives on a boat"


def test_work_is_idempotent_and_another_instance_and_a_restored_one_answer_alike() -> None:
    memory = told()
    assert memory.work(NOW) == memory.consolidate(now=NOW) == []
    restored = ThinkInMemory()
    restored.restore(memory.state())
    for other in (ThinkInMemory(store=memory.store), restored):
        for query in ("Ana lives in this city", "walnuts", "umbrella"):
            expected = {hit.text: hit.score for hit in memory.read(query, 9, now=NOW)}
            assert {hit.text: hit.score for hit in other.read(query, 9, now=NOW)} == pytest.approx(expected)
        assert other.consolidate(now=NOW) == []


def test_memory_and_sqlite_agree(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "m.db") as store:
        one, other = told(), told(store=store)
        assert states(one) == states(other)
        for query in ("Ana lives in this city", "allergic", "rain"):
            hits = [[(hit.text, hit.score) for hit in memory.read(query, 9, now=NOW)] for memory in (one, other)]
            assert hits[0] == hits[1]


@pytest.mark.parametrize("text", ["?!…", "😀", "дождь идёт", "我住在奥斯陆", "x" * 100_000, "of the and"])
def test_odd_texts_are_kept_and_found(text: str) -> None:
    memory = told(*TALK, text)
    assert text in read(memory, text, 20)
    assert memory.read(" ", 3, now=NOW) == memory.read(text, 0, now=NOW) == []
    assert memory.write([], now=NOW) == []
    hits = memory.read("Ana", 4, now=NOW)
    assert len({hit.id for hit in hits}) == len(hits) == 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert np.isfinite([hit.score for hit in hits]).all()


# With a model.

Script = Callable[[dict[str, Any]], Any]


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def scripted(service: Service, think: Script, judge: Script) -> ThinkInMemory:
    def answer(request: Request) -> str:
        shown = json.loads(next(one["content"] for one in request["messages"] if one["role"] == "user"))
        return json.dumps(think(shown) if "turns" in shown else judge(shown))

    service.answers = answer
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    return told(llm=model, scope=Scope(user_id="ana"), buckets=2)


def weather(shown: dict[str, Any]) -> Any:
    """A thought of the first turn alone, and one of a turn that was not shown."""
    thoughts = [
        {"turn": one["id"], "head": "Oslo", "relation": "is", "tail": "rainy", "text": "Oslo is a rainy place"}
        for one in shown["turns"]
        if one["text"] == TALK[0]
    ]
    strange = {"turn": "nobody", "head": "a", "relation": "b", "tail": "c", "text": "strange"}
    return {"thoughts": [*thoughts, strange, {**strange, "text": " "}]}


def hold(shown: dict[str, Any]) -> Any:
    return {"forget": [], "merge": []}


@pytest.mark.loopback
def test_a_model_thinks_and_rules_think_where_it_does_not(service: Service) -> None:
    memory = scripted(service, weather, hold)
    assert memory.troubles == []
    found = states(memory)
    assert found["Oslo is a rainy place"] == "generated"
    assert "Ana lives in Oslo" not in found
    assert "strange" not in found
    assert "Ana's coach is Jakob" in found


@pytest.mark.loopback
def test_a_model_forgets_and_merges_within_a_bucket_until_its_reasons_go(service: Service) -> None:
    judgements: list[list[str]] = []

    def judged(shown: dict[str, Any]) -> Any:
        ids = [one["id"] for one in shown["thoughts"]]
        odd = [{"id": "0", "because": ids[0]}, {"id": ids[0], "because": ids[0]}, {"id": ids[0], "because": "1"}]
        merge = [{"ids": ["nobody", ids[0]], "text": "too few"}, {"ids": ids, "text": " "}]
        if len(ids) < 3 or judgements:
            return {"forget": odd, "merge": merge}
        judgements.append([one["text"] for one in shown["thoughts"]])
        forget = [*odd, {"id": ids[0], "because": ids[2]}]
        return {"forget": forget, "merge": [*merge, {"ids": [ids[1], ids[2]], "text": "both in one"}]}

    memory = scripted(service, weather, judged)
    assert memory.troubles == []
    ((old, kept, new),) = [judgement[:3] for judgement in judgements]
    assert states(memory)[old] == "archived"
    assert states(memory)[kept] == states(memory)[new] == "merged"
    assert "both in one" in texts(memory, MERGED)
    assert "too few" not in texts(memory, MERGED)
    assert old not in read(memory, old, 99)
    memory.llm = None
    (record,) = [one for one in memory.current(NOW).of(THOUGHT).values() if one.text == new]
    memory.forget([record.sources[0].id], now=NOW)
    assert "both in one" not in texts(memory, MERGED)
    assert states(memory)[old] == states(memory)[kept] == "generated"


BROKEN: dict[str, Callable[[Request], Answer]] = {
    "down": lambda request: error(503),
    "hung up": broken,
    "garbage": lambda request: said("certainly! {"),
    "wrong shape": lambda request: said('{"thoughts": 3, "forget": {}}'),
    "nothing": lambda request: said(None),
}


@pytest.mark.loopback
@pytest.mark.parametrize("name", list(BROKEN))
def test_a_model_that_fails_loses_nothing(name: str, service: Service) -> None:
    service.script = [BROKEN[name]] * 200
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    memory, plain = told(llm=model), told()
    assert memory.troubles
    assert states(memory) == states(plain)
    assert texts(memory, MERGED) == texts(plain, MERGED)

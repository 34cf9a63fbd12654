"""Dynamic Cheatsheet: the sheet, who may change it, and what must not be lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.cheatsheet import Item as Note
from remanence.kernels.cheatsheet import Stated
from remanence.mechanisms.records.dynamic_cheatsheet import ENTRY, PAIR, DynamicCheatsheet
from remanence.scenarios.puzzles import REFUSAL, Puzzle, WeakModel, puzzle_stream
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.probe import drive, observe
from tests.support.llm_server import Answer, Request, Service, error, said, serving

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
LONG = START + timedelta(days=400)
CODE = "def brenn(x, y): return (3 * x + y) % 97"
OTHER = "def tolk(x, y): return (5 * x + y) % 89"


def exchange(question: str, answer: str, minute: int = 0) -> list[Item]:
    at = START + timedelta(minutes=minute)
    return [Item(question, role="user", at=at, session="s"), Item(answer, role="assistant", at=at, session="s")]


def coded(question: str, code: str, minute: int = 0) -> list[Item]:
    return exchange(question, f"The rule:\n```python\n{code}\n```", minute)


def items(sheet: DynamicCheatsheet) -> list[tuple[str, int]]:
    return [(one.example or one.description, one.count) for one in sheet.items(LONG)]


def uses(sheet: DynamicCheatsheet) -> int:
    """Uses as the exchanges record them."""
    current = sheet.current(LONG)
    return sum(source.id in current.of(ENTRY) for pair in current.of(PAIR).values() for source in pair.sources)


# Without a model.


def test_code_of_answers_is_kept_and_counted() -> None:
    sheet = DynamicCheatsheet()
    sheet.write([*coded("2 brenn 3?", CODE), *coded("5 brenn 7?", CODE, 1), *coded("1 tolk 1?", OTHER, 2)], now=LONG)
    sheet.write(exchange("9 quarl 9?", "I do not know this rule, so I add the numbers.", 3), now=LONG)
    assert items(sheet) == [(CODE, 2), (OTHER, 1)]
    assert sum(count for _, count in items(sheet)) == uses(sheet) == 3
    shown = sheet.sheet(LONG)
    assert "(Reference: Q1, Q2)" in shown
    assert shown.index(CODE) < shown.index(OTHER)
    question = sheet.messages("4 brenn 4?", now=LONG)[-1]["content"]
    assert CODE in question
    assert question.endswith("<question>\n4 brenn 4?\n</question>")


def test_at_once_and_bit_by_bit_are_the_same() -> None:
    told = [one for at in range(30) for one in coded(f"{at} brenn {at}?", f"rule_{at % 12}(x)", at)]
    at_once, bit_by_bit = DynamicCheatsheet(budget=400), DynamicCheatsheet(budget=400)
    at_once.write(told, now=LONG)
    for one in told:
        bit_by_bit.write([one], now=LONG)
    assert at_once.sheet(LONG) == bit_by_bit.sheet(LONG) != ""
    assert len(items(at_once)) < 12


def test_a_question_waits_for_its_answer_and_is_found_meanwhile() -> None:
    sheet = DynamicCheatsheet()
    (asked,) = sheet.write(exchange("What is 2 brenn 3?", "")[:1], now=LONG)
    assert not sheet.exchanges(LONG)
    assert [hit.sources for hit in sheet.read("brenn", 3, now=LONG)] == [(asked,)]
    (answered,) = sheet.write(coded("", CODE)[1:], now=LONG)
    assert items(sheet) == [(CODE, 1)]
    assert {hit.sources for hit in sheet.read("brenn", 3, now=LONG)} == {(asked, answered)}
    sheet.write(exchange("And 5 tolk 5?", "")[:1], now=LONG)
    sheet.consolidate(now=LONG)
    assert len(sheet.exchanges(LONG)) == 2


def test_what_is_over_budget_goes_and_the_exchanges_stay() -> None:
    sheet = DynamicCheatsheet(budget=100)
    for at in range(8):
        sheet.write(coded(f"{at} brenn?", f"def rule{at}(x): return x + {at}", at), now=LONG)
    assert [code for code, _ in items(sheet)][-1] == "def rule7(x): return x + 7"
    assert len(items(sheet)) < 3
    assert len(sheet.exchanges(LONG)) == 8
    assert any("rule0" in hit.text for hit in sheet.read("0 brenn? rule0", 5, now=LONG))


def test_forgetting_the_origin_of_an_item_takes_it_again_from_other_uses() -> None:
    sheet = DynamicCheatsheet()
    ids = sheet.write([*coded("secret zanzibar?", CODE), *coded("5 brenn 7?", CODE, 1)], now=LONG)
    sheet.forget(ids[:2], now=LONG)
    assert items(sheet) == [(CODE, 1)]
    assert "zanzibar" not in sheet.sheet(LONG)
    assert uses(sheet) == 1


def test_forgetting_one_use_takes_one_from_the_count() -> None:
    sheet = DynamicCheatsheet()
    ids = sheet.write([*coded("2 brenn 3?", CODE), *coded("What then is 5 brenn 7?", CODE, 1)], now=LONG)
    sheet.forget([ids[3]], now=LONG)
    assert items(sheet) == [(CODE, 1)]


def test_a_forgotten_item_does_not_come_back_from_any_exchange_that_used_it() -> None:
    sheet, other = DynamicCheatsheet(), DynamicCheatsheet()
    sheet.write([*coded("2 brenn 3?", CODE), *coded("What is 5 brenn 7?", CODE, 1)], now=LONG)
    (entry,) = sheet.items(LONG)
    assert sheet.forget([entry.id], now=LONG) == 1
    sheet.consolidate(now=LONG)
    assert items(sheet) == []
    other.restore(sheet.state())
    other.consolidate(now=LONG)
    assert items(other) == []
    other.write(coded("1 brenn 1?", CODE, 5), now=LONG)
    assert items(other) == [(CODE, 1)]


def test_an_update_of_an_answer_is_curated_anew() -> None:
    sheet = DynamicCheatsheet()
    ids = sheet.write(coded("2 brenn 3?", CODE), now=LONG)
    sheet.update(ids[1], f"```\n{OTHER}\n```", now=LONG)
    assert items(sheet) == [(OTHER, 1)]


def test_before_an_answer_the_most_similar_exchanges_are_looked_at_least_similar_first() -> None:
    sheet = DynamicCheatsheet(variant="retrieval", retrieved=2)
    sheet.write([*coded("brenn in the harbour?", CODE), *coded("fishes of the desert", OTHER, 1)], now=LONG)
    sheet.write(exchange("brenn in the mountains?", "no idea", 2), now=LONG)
    assert items(sheet) == []
    assert [one.number for one, _ in sheet.similar("brenn in the harbour now?", LONG)] == [1, 3]
    assert CODE in sheet.messages("brenn in the harbour now?", now=LONG)[-1]["content"]
    assert items(sheet) == [(CODE, 1)]
    sheet.messages("brenn in the harbour now?", now=LONG)
    sheet.write(coded("brenn in the harbour now?", CODE, 3), now=LONG)
    assert items(sheet) == [(CODE, 2)]
    with pytest.raises(InvalidInput, match="sometimes"):
        DynamicCheatsheet(variant="sometimes")  # type: ignore[arg-type]


def test_memory_and_sqlite_agree(tmp_path: Path) -> None:
    kept = DynamicCheatsheet(store=SqliteStore(tmp_path / "m.db"), scope=Scope(user_id="ana"))
    plain = DynamicCheatsheet(scope=Scope(user_id="ana"))
    for sheet in (kept, plain):
        drive(sheet, 0)
        for at in range(4):
            sheet.write(coded(f"{at} brenn?", CODE if at % 2 else OTHER, at), now=LONG)
    assert observe(kept) == observe(plain)
    assert kept.sheet(LONG) == plain.sheet(LONG) == DynamicCheatsheet(store=kept.store, scope=kept.scope).sheet(LONG)
    kept.store.close()


def test_restored_it_goes_on_counting() -> None:
    sheet, other = DynamicCheatsheet(), DynamicCheatsheet()
    sheet.write([*coded("2 brenn 3?", CODE), *coded("5 brenn 7?", CODE, 1)], now=LONG)
    other.restore(sheet.state())
    for one in (sheet, other):
        one.write(coded("8 brenn 9?", CODE, 2), now=LONG)
    assert items(sheet) == items(other) == [(CODE, 3)]


# With a model.


@pytest.fixture
def service() -> Iterator[Service]:
    pytest.importorskip("openai")
    with serving() as running:
        yield running


def with_model(
    service: Service, kind: type[DynamicCheatsheet] = DynamicCheatsheet, **options: Any
) -> DynamicCheatsheet:
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    return kind(llm=model, **options)


def stream(sheet: DynamicCheatsheet, model: WeakModel, puzzles: Sequence[Puzzle]) -> list[bool]:
    solved = []
    for puzzle in puzzles:
        now = START + timedelta(minutes=puzzle.number)
        reply = model(sheet.messages(puzzle.text, now=now))
        solved.append(puzzle.solved_by(reply))
        sheet.write(exchange(puzzle.text, reply, puzzle.number), now=now)
    return solved


class Trusting(DynamicCheatsheet):
    """Takes whatever comes for the new sheet."""

    def _curated(self, sheet: Sequence[Note], shown: str) -> list[Stated] | None:
        return super()._curated(sheet, shown) or []


@pytest.mark.loopback
def test_a_curator_that_fails_now_and_then_loses_nothing_and_a_trusting_memory_does(service: Service) -> None:
    puzzles = puzzle_stream(3, count=40, family_count=2)
    model = WeakModel(3, malformed=0.3)
    service.answers = lambda request: model(request["messages"])
    after: dict[str, list[bool]] = {}
    for kind in (DynamicCheatsheet, Trusting):
        solved = stream(with_model(service, kind), model, puzzles)
        first = {p.family: at for at, p in reversed(list(enumerate(puzzles))) if solved[at]}
        after[kind.__name__] = [solved[at] for at, p in enumerate(puzzles) if at >= first.get(p.family, len(puzzles))]
    assert all(after["DynamicCheatsheet"])
    assert len(after["DynamicCheatsheet"]) > 10
    assert not all(after["Trusting"])


@pytest.mark.loopback
@pytest.mark.parametrize("variant", ["cumulative", "retrieval"])
def test_counts_are_the_uses_that_were_recorded(service: Service, variant: Any) -> None:
    puzzles = puzzle_stream(3, count=30, family_count=2)
    model = WeakModel(3)
    service.answers = lambda request: model(request["messages"])
    sheet = with_model(service, variant=variant)
    stream(sheet, model, puzzles)
    shown = {puzzle.snippet for puzzle in puzzles}
    assert {example for example, _ in items(sheet)} <= shown
    assert sum(count for _, count in items(sheet)) == uses(sheet) > 5
    answered = {one.number: one.served.answer for one in sheet.exchanges(LONG)}
    for one in sheet.items(LONG):
        assert one.uses <= {number for number, text in answered.items() if one.example in text}


@pytest.mark.loopback
def test_a_model_may_merge_and_drop_and_its_figures_are_not_believed(service: Service) -> None:
    sheet = with_model(service)
    replies = iter([
        f"<cheatsheet><memory_item><description>how to brenn</description><example>{CODE}</example></memory_item>"
        "** Count: 900</cheatsheet>",
        f"<cheatsheet><memory_item><description>how to brenn (Reference: Q1, Q2)</description><example>{CODE}</example>"
        "</memory_item>** Count: 901</cheatsheet>",
        "<cheatsheet>## Strategies\n<memory_item><description>guess (Reference: Q1, Q3, Q44)</description>"
        "</memory_item></cheatsheet>",
    ])  # fmt: skip
    service.answers = lambda request: next(replies)
    sheet.write(coded("2 brenn 3?", CODE), now=LONG)
    assert items(sheet) == [(CODE, 1)]
    sheet.write(coded("5 brenn 7?", CODE, 1), now=LONG)
    assert items(sheet) == [(CODE, 2)]
    ids = sheet.write(exchange("3 quarl 3?", "I guess", 2), now=LONG)
    assert items(sheet) == [("guess", 2)]
    assert sheet.items(LONG)[0].uses == {1, 3}
    assert sheet.items(LONG)[0].section == "Strategies"
    # It may say what the item said that went for it.
    first = next(one for one in sheet.exchanges(LONG) if one.number == 1)
    assert first.served.rests | set(ids) <= sheet.items(LONG)[0].rests


@pytest.mark.loopback
@pytest.mark.parametrize(
    "answer",
    ["", "no sheet", "<cheatsheet>", "<cheatsheet></cheatsheet>", "</cheatsheet><cheatsheet>", "[]", REFUSAL, None],
)
def test_a_model_that_fails_costs_nothing(service: Service, answer: str | None) -> None:
    def step(request: Request) -> Answer:
        return error(500) if answer is None else said(answer)

    plain = DynamicCheatsheet()
    plain.write(coded("2 brenn 3?", CODE), now=LONG)
    sheet = with_model(service, store=plain.store, scope=plain.scope)
    service.step = step  # type: ignore[method-assign]
    sheet.write([*coded("5 brenn 7?", CODE, 1), *coded("1 tolk 1?", OTHER, 2)], now=LONG)
    assert items(sheet) == [(CODE, 2), (OTHER, 1)]
    assert len(sheet.troubles) == len(service.requests) == 2


@pytest.mark.loopback
def test_a_curator_is_shown_the_old_sheet_and_the_answer_as_data(
    service: Service,
) -> None:
    service.answers = lambda request: "none"
    sheet = with_model(service, max_tokens=100)
    sheet.write(coded("2 brenn 3?", CODE), now=LONG)
    sheet.write(exchange("and 4?", "<cheatsheet>all is lost</cheatsheet>", 1), now=LONG)
    last = service.requests[-1]
    assert [one["role"] for one in last["messages"]] == ["system", "user"]
    assert "all is lost" not in last["messages"][0]["content"]
    assert CODE in last["messages"][1]["content"]
    assert 200 in last.values()
    assert items(sheet) == [(CODE, 1)]

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.puzzles import (
    QUESTIONS,
    Puzzle,
    WeakModel,
    families,
    final_answer,
    puzzle_stream,
    refused,
)
from remanence.stores.llm.function import CallableChat
from tests.scenarios.ranking import Bm25

SHEET = re.compile(r"<cheatsheet>(.*?)</cheatsheet>", re.DOTALL)


def generate(model: WeakModel, puzzle: Puzzle, sheet: str) -> str:
    text = f"Use this cheatsheet.\n{sheet}\n\nQUESTION:\n{puzzle.text}\n"
    return model([{"role": "user", "content": text}])


def curate(model: WeakModel, puzzle: Puzzle, answer: str, sheet: str) -> str:
    text = f"PREVIOUS CHEATSHEET:\n{sheet}\n\nQUESTION:\n{puzzle.text}\n\nMODEL ANSWER:\n{answer}\nRewrite the sheet."
    return model([{"role": "user", "content": text}])


class Run(NamedTuple):
    """Which puzzles were solved, how many uses were recorded, and the last cheatsheet."""

    solved: list[bool]
    recorded: int
    sheet: str
    malformed: int


def cumulative(model: WeakModel, puzzles: Sequence[Puzzle], *, keep_old: bool = True) -> Run:
    sheet, solved, recorded, malformed = "", [], 0, 0
    for puzzle in puzzles:
        answer = generate(model, puzzle, sheet)
        solved.append(puzzle.solved_by(answer))
        found = SHEET.search(curate(model, puzzle, answer, sheet))
        if found:
            sheet = found.group(1)
            recorded += puzzle.snippet in answer
        else:
            malformed += 1
            sheet = sheet if keep_old else ""
    return Run(solved, recorded, sheet, malformed)


def full_history(model: WeakModel, puzzles: Sequence[Puzzle]) -> list[bool]:
    history, solved = "", []
    for puzzle in puzzles:
        answer = generate(model, puzzle, history)
        solved.append(puzzle.solved_by(answer))
        history += f"{puzzle.text}\n{answer}\n"
    return solved


def share(solved: Sequence[bool]) -> float:
    return sum(solved) / len(solved)


def test_a_stream_is_repeatable_a_longer_one_begins_with_it_and_seeds_differ() -> None:
    assert puzzle_stream(1) == puzzle_stream(1)
    assert puzzle_stream(1)[:50] == puzzle_stream(1, count=50)
    assert puzzle_stream(1) != puzzle_stream(2)
    assert len(puzzle_stream(0)) == 200


def test_answers_follow_from_the_snippets_run_as_python() -> None:
    for seed in range(5):
        for puzzle in puzzle_stream(seed, family_count=24):
            space: dict[str, Callable[[int, int], int]] = {}
            exec(puzzle.snippet, {}, space)
            x, y = map(int, re.findall(r"\d+", puzzle.text.partition(": ")[2]))
            assert str(space[puzzle.family](x, y)) == puzzle.answer


def test_families_all_appear_and_have_different_rules() -> None:
    for seed in range(5):
        counts = Counter(puzzle.family for puzzle in puzzle_stream(seed))
        assert len(counts) == 5
        assert min(counts.values()) >= 20
        assert len({(f.a, f.b, f.c, f.m) for f in families(seed, 24)}) > 20
    assert len(QUESTIONS) >= 5


def test_the_most_similar_earlier_puzzle_is_often_of_another_family() -> None:
    wrong = total = 0
    for seed in range(3):
        puzzles = puzzle_stream(seed)
        index = Bm25([puzzle.text for puzzle in puzzles])
        for puzzle in puzzles[100:]:
            nearest = next(i for i in index.rank(puzzle.text) if i < puzzle.number - 1)
            wrong += puzzles[nearest].family != puzzle.family
            total += 1
    assert 0.2 < wrong / total < 0.9, wrong / total


def test_the_model_is_right_iff_the_snippet_is_in_the_prompt_or_it_discovers_it() -> None:
    puzzles = puzzle_stream(3)
    model = WeakModel(3)
    for puzzle in puzzles:
        answer = generate(model, puzzle, "")
        assert puzzle.solved_by(answer) == model.discovers(puzzle.text) == (puzzle.snippet in answer)
        other = next(rival.snippet for rival in puzzles if rival.family != puzzle.family)
        assert puzzle.solved_by(generate(model, puzzle, other)) == model.discovers(puzzle.text)
        assert puzzle.solved_by(generate(model, puzzle, puzzle.snippet))
    found = share([model.discovers(puzzle.text) for puzzle in puzzle_stream(3, count=2000)])
    assert abs(found - 0.1) < 0.03


def test_the_model_is_a_pure_function() -> None:
    puzzle = puzzle_stream(0)[0]
    for model in (WeakModel(0), WeakModel(0)):
        assert generate(model, puzzle, "x") == generate(WeakModel(0), puzzle, "x")
        assert curate(model, puzzle, "y", "x") == curate(WeakModel(0), puzzle, "y", "x")


def test_the_asked_puzzle_is_found_in_any_usual_prompt() -> None:
    one, two = puzzle_stream(0)[:2]
    model = WeakModel(0, discover=1.0)
    for prompt in (
        f"{one.text}\n{two.text}",
        f"## QUESTION\n{two.text}\n\n## EARLIER\n{one.text}",
        f"<question>{two.text}</question>\nQuestion: {one.text}",
        f"Question: {one.text}\nQuestion: {two.text}",
    ):
        assert two.solved_by(model([{"role": "system", "content": "Solve."}, {"role": "user", "content": prompt}]))
    assert final_answer(model([{"role": "user", "content": "hello"}])) is None


def test_a_cheatsheet_jumps_at_the_first_discovery_and_stays() -> None:
    for seed in range(3):
        puzzles = puzzle_stream(seed)
        model = WeakModel(seed, malformed=0.0)
        run = cumulative(model, puzzles)
        known: set[str] = set()
        for puzzle, solved in zip(puzzles, run.solved, strict=True):
            known |= {puzzle.family} if model.discovers(puzzle.text) else set()
            assert solved == (puzzle.family in known)
        without = share([puzzle.solved_by(generate(model, puzzle, "")) for puzzle in puzzles])
        assert without < 0.2
        assert share(run.solved[-50:]) > 0.75


def test_counts_sum_to_the_recorded_uses() -> None:
    for malformed in (0.0, 0.2):
        run = cumulative(WeakModel(1, malformed=malformed), puzzle_stream(1))
        assert sum(map(int, re.findall(r"Count: (\d+)", run.sheet))) == run.recorded > 50


def test_malformed_curations_come_at_their_rate_and_lose_nothing_if_the_old_sheet_is_kept() -> None:
    puzzles = puzzle_stream(2)
    runs = [cumulative(WeakModel(2, malformed=0.2), puzzles, keep_old=keep) for keep in (True, False)]
    assert 0.1 < runs[0].malformed / len(puzzles) < 0.3
    assert share(runs[0].solved[-100:]) > 0.7
    assert share(runs[1].solved[-100:]) < share(runs[0].solved[-100:]) - 0.2


def test_full_history_degrades_where_the_context_ends() -> None:
    puzzles = puzzle_stream(1)
    free = full_history(WeakModel(1), puzzles)
    bound = full_history(WeakModel(1, context_limit=2000), puzzles)
    assert share(free[-100:]) > 0.75
    assert share(bound[-100:]) == 0.0
    reply = generate(WeakModel(1, context_limit=20), puzzles[0], "many words " * 20)
    assert refused(reply)
    assert "20 tokens" in reply
    assert not refused(generate(WeakModel(1), puzzles[0], ""))
    kept = cumulative(WeakModel(1, context_limit=2000, malformed=0.0), puzzles)
    assert share(kept.solved[-100:]) > 0.75


def test_synthesis_before_the_answer_adds_and_does_not_count() -> None:
    one, two = (next(p for p in puzzle_stream(0) if p.family == f.name) for f in families(0, 2))
    model = WeakModel(0, malformed=0.0)
    first = curate(model, one, generate(model, one, one.snippet), "")
    text = f"PREVIOUS CHEATSHEET:\n{first}\nRETRIEVED:\n{one.snippet}\n{two.snippet}\nQUESTION:\n{two.text}"
    sheet = model([{"role": "user", "content": text}])
    assert re.findall(r"Count: (\d+)", sheet) == ["1", "1"]
    assert one.snippet in sheet
    assert two.snippet in sheet


def test_the_model_serves_behind_the_chat_port() -> None:
    puzzle = puzzle_stream(0)[0]
    chat = CallableChat(lambda messages: WeakModel(0)(messages), "weak")
    message = {"role": "user", "content": f"{puzzle.snippet}\n{puzzle.text}"}
    assert puzzle.solved_by(chat.complete([message]).text)


def test_numbers_out_of_range_are_refused() -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: puzzle_stream(0, count=0),
        lambda: families(0, 25),
        lambda: WeakModel(0, discover=1.5),
        lambda: WeakModel(0, malformed=-0.1),
        lambda: WeakModel(0, context_limit=0),
    )
    for refuse in attempts:
        with pytest.raises(InvalidInput, match="must be"):
            refuse()

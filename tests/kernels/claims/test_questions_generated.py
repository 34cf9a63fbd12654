from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.questions import read_question
from remanence.scenarios.dialogues import generate
from remanence.scenarios.model import Hardness, Question
from remanence.scenarios.phrases import says
from remanence.scenarios.smalltalk import ECHOES

MODES = {"values": "all", "days": "how_long"}
LEVELS: tuple[Hardness, ...] = ("easy", "medium", "hard")


def agrees(question: Question, ask: Ask) -> bool:
    """Whether a reading is what the generator meant."""
    probe = question.probe
    if ask.path != probe.path:
        return False
    if probe.mode == "days":
        return ask.mode == "how_long" and ask.values == tuple(f"{kind}|{value}" for kind, value in probe.pairs)
    if ask.attribute != probe.attribute:
        return False
    if probe.mode == "unknown":
        return True
    if ask.mode != MODES.get(probe.mode, probe.mode):
        return False
    if question.as_of is not None:
        return len(ask.spans) == 1 and ask.spans[0][0] <= question.as_of < ask.spans[0][1]
    if not ask.values and probe.mode == "when":  # "When did Ana pass an exam?"
        return not says(question.text, probe.values[0])
    return ask.values == probe.values


def questions(hardness: Hardness, seeds: range) -> Iterator[Question]:
    for seed in seeds:
        yield from generate(seed, sessions=10, people=3, hardness=hardness).questions


@pytest.mark.parametrize("hardness", LEVELS)
def test_questions_of_the_generator_are_read_as_meant(hardness: Hardness) -> None:
    asked: Counter[str] = Counter()
    wrong: list[str] = []
    for question in questions(hardness, range(1000, 1006)):
        asked[question.category] += 1
        asks = read_question(question.text, question.now)
        if not asks or not agrees(question, asks[0]):
            wrong.append(question.text)
    assert len(asked) == 13
    assert len(wrong) <= 0.02 * sum(asked.values()), wrong


@pytest.mark.parametrize("echo", ECHOES)
def test_questions_said_in_conversation_are_read_alike(echo: str) -> None:
    for question in questions("medium", range(1010, 1012)):
        if question.text.startswith("Thinking of"):
            continue
        said = echo.format(q=question.text[0].lower() + question.text[1:], Q=question.text)
        asks = read_question(said, question.now)
        assert asks
        assert agrees(question, asks[0]), said
        assert read_question(f"{question.text[:-1]}, Walpurga?", question.now) == asks


def test_a_reader_that_ignores_the_mode_would_be_found_out() -> None:
    for question in questions("easy", range(1000, 1001)):
        if question.probe.mode in ("now", "unknown"):
            continue
        ask = read_question(question.text, question.now)[0]
        assert not agrees(question, Ask(ask.path, ask.attribute, "now"))

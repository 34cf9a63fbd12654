from __future__ import annotations

from remanence.bench.studies.instruction_lines import lines
from remanence.bench.studies.units import entities, instructions, rouge_1, rouge_l


def test_rouge_by_hand() -> None:
    reference = "the cat sat on the mat".split()
    found = "the mat the cat the dog".split()
    # Shared: the (2 of 2), cat, mat: 4 of 6. Longest common subsequence: "the cat the", 3 of 6.
    assert rouge_1(reference, found) == 4 / 6
    assert rouge_l(reference, found) == 3 / 6
    assert rouge_1(reference, []) == rouge_l(reference, []) == rouge_1([], found) == rouge_l([], found) == 0
    assert rouge_1(reference, reference) == rouge_l(reference, reference) == 1


def test_lines_are_the_same_for_the_same_seed() -> None:
    assert lines(1) == lines(1) != lines(2)
    assert {line.label for line in lines(0, 1)} == {"instruction", "revocation", "preference", "suspicious", "none"}
    assert not any("{" in line.text for line in lines(0))


def test_instructions_are_told_from_what_looks_like_them() -> None:
    figures = instructions([7])
    assert all(row["precision"] >= 0.98 for row in figures.values())
    assert all(row["recall"] >= 0.8 for row in figures.values())
    assert figures["suspicious"]["recall"] == 1


def test_people_of_a_dialogue_are_found() -> None:
    (figures,) = entities([1]).values()
    assert figures["people recall"] == 1
    assert figures["precision"] >= 0.8
    assert figures["wrong links"] == 0

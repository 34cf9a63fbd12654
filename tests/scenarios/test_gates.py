from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import bm25_naive
from remanence.kernels.packing import estimate_tokens
from remanence.scenarios import gates
from remanence.scenarios.attributes import ATTRIBUTES
from remanence.scenarios.book import Book, BookQuestion, Chapter, generate_book, read_chapter, universe
from remanence.scenarios.book_questions import Trace, answer, answer_naive, traced
from remanence.scenarios.book_world import DETAILS, SIZE, P
from remanence.scenarios.dates import spell
from remanence.scenarios.dialogues import HARDNESS, UNKNOWN, Dialogue, Fact, Hardness, Question, generate
from remanence.scenarios.gates import Case, PlainBm25
from remanence.scenarios.model import ScenarioInconsistent

SEEDS = (0, 1, 2)


# The book as cases


@lru_cache
def book(seed: int = 0) -> Book:
    return generate_book(seed)


def book_case(one: Book, question: BookQuestion) -> Case:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    if question.get == "all":
        for number in question.chapters:
            for item in traced(one.chapters[number - 1], question.trace):
                groups[item].append(str(number))
    needed = tuple(dict.fromkeys(tuple(group) for group in groups.values()))
    evidence = tuple(map(str, question.chapters))
    return Case(question.id, question.text, question.trace, question.items, evidence, needed=needed)


@lru_cache
def book_cases(seed: int = 0) -> list[Case]:
    return [book_case(book(seed), question) for question in book(seed).questions]


@lru_cache
def book_documents(seed: int = 0) -> dict[str, str]:
    return {str(chapter.number): chapter.text for chapter in book(seed).chapters}


def book_solver(one: Book) -> gates.Solver:
    """Reads the chapters sentence by sentence; the table of events is not consulted."""
    world = universe()
    read: dict[str, Chapter] = {}
    for chapter in one.chapters:
        reading = read_chapter(chapter.paragraphs, world)
        assert reading.event is not None
        read[str(chapter.number)] = replace(chapter, event=reading.event, post_entities=reading.post_entities)
    questions = {question.id: question for question in one.questions}

    def solve(case: Case, documents: frozenset[str]) -> tuple[str, ...]:
        question = questions[case.id]
        chosen = [read[name] for name in documents]
        matching = [chapter for chapter in chosen if all(chapter.event.value(f) == v for f, v in question.cue)]
        return answer(matching, question.trace, question.get)[1]

    return solve


LAW = P / (1 - (1 - P) ** SIZE)
BLIND = {"Times": LAW, "Spaces": LAW, "Entities": LAW, "Event contents": LAW, "Full event details": 1 / DETAILS}
BLIND["Other entities"] = 0.001
"""How often the best guess is right for one who knows the universe and its law, and nothing of the book."""


TRACES: tuple[Trace, ...] = ("Times", "Spaces", "Entities", "Event contents", "Full event details")


def stated_in(one: Book) -> list[tuple[str, str]]:
    return [(trace, item) for c in one.chapters for trace in TRACES for item in traced(c, trace)]


# The dialogues as cases


@lru_cache
def dialogue(seed: int, hardness: Hardness) -> Dialogue:
    return generate(seed, hardness=hardness)


def said_in(fact: Fact) -> tuple[str, ...]:
    return (fact.turn, *fact.restated)


def work_out(
    one: Dialogue, question: Question, known: Callable[[tuple[str, ...]], bool]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The answer from the facts of which a turn is known, and the groups of turns that it rests on."""
    probe, now = question.probe, question.now
    subject, groups = probe.path[0], list[tuple[str, ...]]()
    facts = [fact for fact in one.facts if fact.valid_to != fact.valid_from and known(said_in(fact))]

    def rows(name: str, attribute: str) -> list[Fact]:
        found = [fact for fact in facts if (fact.subject, fact.attribute) == (name, attribute)]
        return sorted(found, key=lambda fact: fact.valid_from)

    def holds(fact: Fact, at: datetime) -> bool:
        over = fact.valid_to is not None and (fact.ended_by is None or known((fact.ended_by,)))
        return fact.valid_from <= at and not (over and fact.valid_to is not None and fact.valid_to <= at)

    def holding(name: str, attribute: str, at: datetime) -> list[Fact]:
        return [fact for fact in rows(name, attribute) if holds(fact, at)]

    def rest_on(chosen: Sequence[Fact]) -> None:
        groups.extend(said_in(fact) for fact in chosen)

    for relation in probe.path[1:]:
        step = holding(subject, relation, now)[-1:]
        if not step:
            return (), []
        rest_on(step)
        subject = step[0].value
    everything = rows(subject, probe.attribute)
    named = [fact for fact in everything if fact.value in probe.values]
    if probe.mode in ("now", "then"):
        found = holding(subject, probe.attribute, question.as_of or now)[-1:]
        rest_on(found)
        return tuple(fact.value for fact in found), groups
    if probe.mode == "before":
        at = everything.index(named[0]) if named else 0
        if at == 0:
            return (), []
        rest_on(everything[at - 1 : at + 1])
        return (everything[at - 1].value,), groups
    if probe.mode == "when":
        rest_on(named[:1])
        return tuple(spell(fact.valid_from.date()) for fact in named[:1]), groups
    if probe.mode == "days":
        pair = [fact for a, v in probe.pairs for fact in rows(subject, a) if fact.value == v]
        rest_on(pair)
        return (str(abs((pair[1].valid_from - pair[0].valid_from).days)),) if len(pair) == 2 else (), groups
    if probe.mode == "still":
        held = holding(subject, probe.attribute, now)
        if any(fact.value == probe.values[0] for fact in held):
            rest_on([fact for fact in held if fact.value == probe.values[0]][-1:])
            return ("yes",), groups
        about = (subject, probe.attribute, probe.values[0])
        told = [fact for fact in one.facts if (fact.subject, fact.attribute, fact.value) == about]
        ends = [fact.ended_by for fact in told if fact.ended_by]
        others = [] if ATTRIBUTES[probe.attribute].many else [turn for fact in held for turn in said_in(fact)]
        proof = tuple(dict.fromkeys((*ends[-1:], *others)))
        groups.append(proof)
        return ("no",) if proof and known(proof) else (), groups
    if probe.mode == "unknown":
        return (), []
    chosen = everything if probe.mode == "count_ever" else holding(subject, probe.attribute, now)
    rest_on(chosen)
    values = sorted({fact.value for fact in chosen})
    if probe.mode == "values":
        return tuple(values), groups
    return (str(len(values)),) if values else (), groups


def dialogue_case(one: Dialogue, question: Question) -> Case:
    _, groups = work_out(one, question, lambda turns: True)
    answers: tuple[str, ...] = (question.answer,)
    if question.answer == UNKNOWN:
        answers = ()
    elif question.probe.mode == "values":
        answers = tuple(question.answer.split(", "))
    needed = tuple(dict.fromkeys(groups))
    return Case(
        question.id, question.text, question.category, answers, question.gold, needed=needed, asked_at=question.now
    )


def dialogue_solver(one: Dialogue) -> gates.Solver:
    questions = {question.id: question for question in one.questions}

    def solve(case: Case, documents: frozenset[str]) -> tuple[str, ...]:
        return work_out(one, questions[case.id], lambda turns: not documents.isdisjoint(turns))[0]

    return solve


def all_dialogues(seeds: Sequence[int] = SEEDS) -> list[tuple[Dialogue, list[Case]]]:
    found = [dialogue(seed, hardness) for seed in seeds for hardness in HARDNESS]
    return [(one, [dialogue_case(one, question) for question in one.questions]) for one in found]


def case(**changes: object) -> Case:
    """A sound case to be spoiled."""
    sound = Case("q01", "Where was Adela?", "place", ("Anchor Quay",), ("c1", "c2"))
    return replace(sound, **changes)  # type: ignore[arg-type]


# Leak


def test_the_book_and_the_dialogues_do_not_leak() -> None:
    for seed in SEEDS:
        gates.leak(book_cases(seed))
    for one, cases in all_dialogues():
        gates.leak(cases, {turn.id: turn.at for turn in one.turns})


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (case(text="Was Adela at anchor quay?"), r"q01 'Was Adela at anchor quay\?': the question contains its answer"),
        (case(aliases=("Adela",)), "contains its answer 'Adela'"),
        (case(id="q01_answer"), "the id 'q01_answer' is not opaque"),
        (case(evidence=("anchor-quay-1",)), "the id 'anchor-quay-1' is not opaque"),
        (case(evidence=("gold1",)), "the id 'gold1' is not opaque"),
        (case(asked_at=NOON), "its evidence c2 of .* comes after it is asked"),
    ],
)
def test_a_leak_is_noticed(spoiled: Case, words: str) -> None:
    times = {"c1": NOON, "c2": NOON + timedelta(seconds=1)}
    gates.leak([case(asked_at=NOON + timedelta(hours=1))], times)
    with pytest.raises(ScenarioInconsistent, match=words):
        gates.leak([spoiled], times)


def test_part_of_a_word_is_no_leak_and_hashes_are_opaque() -> None:
    gates.leak([case(text="Which anchor quaysides?", id="q12", evidence=("0f3a9c2e77b1", "s0001-t002", "17"))])


# Sufficiency and necessity


def test_the_evidence_suffices_and_is_needed_in_the_book_and_the_dialogues() -> None:
    for seed in SEEDS:
        gates.solvable(book_cases(seed), book_solver(book(seed)))
    for one, cases in all_dialogues():
        gates.solvable(cases, dialogue_solver(one))


def both(case: Case, documents: frozenset[str]) -> tuple[str, ...]:
    return case.answers if {"c1", "c2"} <= documents else ()


def either(case: Case, documents: frozenset[str]) -> tuple[str, ...]:
    return case.answers if documents & {"c1", "c2"} else ()


def anything(case: Case, documents: frozenset[str]) -> tuple[str, ...]:
    return case.answers


@pytest.mark.parametrize(
    ("spoiled", "solve", "words"),
    [
        (case(evidence=("c1",)), both, r"q01 .*from \['c1'\] follows \(\), not \('Anchor Quay',\)"),
        (case(), either, r"c1 is not needed: \('Anchor Quay',\) follows from \['c2'\]"),
        (case(), anything, "c1 is not needed"),
        (case(needed=(("c1",), ("c3",))), both, "not part of its evidence"),
        (case(evidence=()), anything, "has the answer .* and no evidence"),
        (case(needed=(("c1", "c2"),)), both, r"from \['c1'\] follows \(\)"),
    ],
)
def test_evidence_that_does_not_suffice_or_is_not_needed_is_noticed(
    spoiled: Case, solve: gates.Solver, words: str
) -> None:
    gates.solvable([case()], both)
    gates.solvable([case(needed=(("c1", "c2"),))], either)
    with pytest.raises(ScenarioInconsistent, match=words):
        gates.solvable([spoiled], solve)


def test_a_chapter_that_is_missing_from_the_gold_is_noticed() -> None:
    cases = book_cases()
    at = next(i for i, one in enumerate(cases) if len(one.needed) > 1)
    short = replace(cases[at], evidence=cases[at].evidence[:-1], needed=())
    with pytest.raises(ScenarioInconsistent, match=rf"{short.id} .*follows"):
        gates.solvable([short], book_solver(book()))


# Uniqueness


def test_the_whole_book_gives_exactly_the_answers() -> None:
    for seed in SEEDS:
        questions = {question.id: question for question in book(seed).questions}
        gates.unique(book_cases(seed), lambda case: answer_naive(book(seed).chapters, questions[case.id])[1])  # noqa: B023


def test_the_whole_dialogue_gives_exactly_the_answers() -> None:
    for one, cases in all_dialogues():
        solve = dialogue_solver(one)
        everything = frozenset(turn.id for turn in one.turns)
        gates.unique(cases, lambda case: solve(case, everything))  # noqa: B023


def test_a_wrong_answer_and_a_question_asked_twice_are_noticed() -> None:
    gates.unique([case()], lambda _: ("Anchor Quay",))
    with pytest.raises(ScenarioInconsistent, match=r"q01 .*the world says \('Moon',\), not"):
        gates.unique([case()], lambda _: ("Moon",))
    with pytest.raises(ScenarioInconsistent, match=r"q02 .*q01 asks the same"):
        gates.unique([case(), case(id="q02", text="where was adela?")], lambda _: ("Anchor Quay",))


# Shortcuts


def test_guessing_does_not_pay_in_the_book() -> None:
    cases, stated = [], []
    for seed in range(4):
        cases += book_cases(seed)
        stated += stated_in(book(seed))
    print("book:", gates.shortcut(cases, stated, BLIND))


@pytest.mark.parametrize("hardness", HARDNESS)
def test_guessing_does_not_pay_in_the_dialogues(hardness: Hardness) -> None:
    valued = ("single", "update", "contradiction", "correction", "previous", "as_of", "multi_hop")
    cases, stated = [], list[tuple[str, str]]()
    for seed in range(6):
        one = dialogue(seed, hardness)
        order = {turn.id: row for row, turn in enumerate(one.turns)}
        told = sorted(one.facts, key=lambda fact: order[fact.turn])
        stated += [(f"{seed} {fact.attribute}", fact.value) for fact in told]
        asked = [question for question in one.questions if question.category in valued]
        cases += [replace(dialogue_case(one, q), kind=f"{seed} {q.probe.attribute}") for q in asked]
    pools: defaultdict[str, set[str]] = defaultdict(set)
    for kind, value in stated:
        pools[kind].add(value)
    print(hardness, gates.shortcut(cases, stated, {kind: 1 / len(pool) for kind, pool in pools.items()}))


def many(kind: Callable[[int], str], answer: Callable[[int], str]) -> list[Case]:
    return [case(id=f"q{i}", text=f"Question {i}?", kind=kind(i), answers=(answer(i),)) for i in range(100)]


def test_each_shortcut_is_noticed() -> None:
    chance = {"place": 0.05} | {f"k{i}": 0.25 for i in range(100)}
    even = many(lambda _: "place", lambda i: f"Place {i % 20}")
    stated = [("place", f"Place {i}") for i in range(20)]
    found = gates.shortcut(even, stated, chance)
    assert found["recent"] == found["frequent"] == 0.05
    assert found["majority"] <= 0.05
    skewed = many(lambda _: "place", lambda i: f"Place {0 if i < 30 else i}")
    with pytest.raises(
        ScenarioInconsistent, match=r"q0 'Question 0\?': guessing the majority value is right for 0.300"
    ):
        gates.shortcut(skewed, [], chance)
    # Each kind has values 0 to 3; the answer is 3 in half of the kinds and 1 in the others.
    kinds = many(lambda i: f"k{i}", lambda i: f"Value {3 if i % 2 else 1}")
    once = [(f"k{i}", f"Value {v}") for i in range(100) for v in range(4)]
    with pytest.raises(
        ScenarioInconsistent, match=r"q1 .*guessing the recent value is right for 0.500 of such, above 0.380"
    ):
        gates.shortcut(kinds, once, chance)
    twice = [(f"k{i}", f"Value {v}") for i in range(100) for v in (1, 3, 1, 2, 0)]
    with pytest.raises(
        ScenarioInconsistent, match=r"q0 .*guessing the frequent value is right for 0.500 of such, above 0.380"
    ):
        gates.shortcut(kinds, twice, chance)
    with pytest.raises(InvalidInput, match="no chance is given for place"):
        gates.shortcut(skewed, [], {})
    assert gates.shortcut([case(answers=())], [], {}) == {}


# Hardness


def test_the_plain_index_is_bm25() -> None:
    texts = ["the cat and the dog", "The cat", "a bird, a cat-bird; 7 birds", ""]
    analyzer = Analyzer("none")
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(term, len(numbers)) for term in analyzer.terms(text)] for text in texts]
    for query in ("the cat", "bird bird", "cat 7 unseen", ""):
        asked = [numbers.setdefault(term, len(numbers)) for term in analyzer.terms(query)]
        assert PlainBm25(texts).scores(query) == pytest.approx(bm25_naive(rows, asked, 1.2, 0.75), rel=1e-5)
    assert PlainBm25(texts).rank("bird") == [2, 0, 1, 3]
    assert not np.allclose(PlainBm25(texts).scores("the cat"), bm25_naive(rows, [0, 1], 1.2, 0.3))


def recall_all_naive(cases: Sequence[Case], documents: dict[str, str], budget: int) -> float:
    index = PlainBm25(list(documents.values()))
    costs = {name: estimate_tokens(text) for name, text in documents.items()}
    found = []
    for one in cases:
        if one.evidence:
            ranked = [list(documents)[row] for row in index.rank(one.text)]
            fits = [n for n in range(len(ranked) + 1) if sum(costs[name] for name in ranked[:n]) <= budget]
            found.append(one.proven_by(ranked[: max(fits)]))
    return sum(found) / len(found)


def test_recall_within_a_budget_is_as_defined() -> None:
    documents = dict(list(book_documents().items())[:30])
    cases = [one for one in book_cases() if one.evidence and set(one.evidence) <= documents.keys()]
    values = [gates.recall_all(cases, documents, budget) for budget in (0, 500, 1000, 4000, 100_000)]
    assert values == [recall_all_naive(cases, documents, budget) for budget in (0, 500, 1000, 4000, 100_000)]
    assert values[0] == 0 < values[2] < values[-1] == 1
    with pytest.raises(InvalidInput, match="no case has evidence"):
        gates.recall_all([case(answers=(), evidence=())], documents)


def test_one_statement_of_each_fact_is_enough() -> None:
    documents = {"c1": "Adela was here.", "c2": "Nothing of the kind.", "c3": "Adela again, at length and in vain."}
    assert gates.recall_all([case()], documents, 5) == 0
    assert gates.recall_all([case(needed=(("c1", "c2"),))], documents, 5) == 1


def test_plain_bm25_does_not_solve_the_book() -> None:
    for seed in SEEDS:
        print("book:", gates.hardness(book_cases(seed), book_documents(seed)))


def dialogue_recalls(hardness: Hardness, bound: float) -> list[float]:
    found = []
    for seed in range(8):
        one = dialogue(seed, hardness)
        cases = [dialogue_case(one, question) for question in one.questions]
        found.append(
            gates.hardness(cases, {turn.id: f"{turn.speaker}: {turn.text}" for turn in one.turns}, bound=bound)
        )
    return found


def test_plain_bm25_does_not_solve_the_hard_dialogues_but_the_others() -> None:
    recalls = {hardness: dialogue_recalls(hardness, 1.0) for hardness in HARDNESS}
    means = {hardness: sum(found) / len(found) for hardness, found in recalls.items()}
    print("dialogues:", means)
    assert means["easy"] > means["medium"] > 0.75 >= means["hard"]
    assert dialogue_recalls("hard", 0.75) == recalls["hard"]
    with pytest.raises(ScenarioInconsistent, match=r"q\d{4} .*plain BM25 solves .* within 1000 tokens, more than 0.75"):
        dialogue_recalls("easy", 0.75)


# Balance


def test_the_book_and_the_dialogues_are_balanced() -> None:
    plan = {"all": 548 / 686, "latest": 69 / 686, "chronological": 69 / 686}
    for seed in SEEDS:
        gets = {question.id: question.get for question in book(seed).questions}
        cases = [replace(one, kind=gets[one.id]) for one in book_cases(seed)]
        # The selection takes five empty questions of each template, a little more than a quarter of all.
        gates.balance(cases, list(book_documents(seed)), plan=plan, unanswerable=(0.15, 0.3))
    for one, cases in all_dialogues():
        gates.balance(cases, [turn.id for turn in one.turns], unanswerable=(0.12, 0.25))


def balanced() -> list[Case]:
    answered = [case(id=f"q{i}", answers=(f"Place {i}",), evidence=(f"c{i}",)) for i in range(80)]
    return answered + [case(id=f"q{i}", kind="none", answers=(), evidence=()) for i in range(80, 100)]


def halved(one: Case) -> Case:
    """The case with its evidence moved into the first half."""
    return replace(one, evidence=tuple(f"c{int(name[1:]) // 2}" for name in one.evidence))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cases: [replace(one, kind="none") if one.id < "q3" else one for one in cases], "questions of kind"),
        (lambda cases: cases[:80], r"0.0% of the questions have no answer instead of 15% to 25%"),
        (lambda cases: cases[:40] + cases[80:] + cases[80:], "of the questions have no answer"),
        (
            lambda cases: [replace(one, answers=("Moon",)) if one.id < "q3" and one.evidence else one for one in cases],
            r"'Moon' answers \d+ of 80 questions; it may answer 20%",
        ),
        (lambda cases: [halved(one) for one in cases], "unevenly spread"),
    ],
)
def test_imbalance_is_noticed(spoil: Callable[[list[Case]], list[Case]], words: str) -> None:
    documents = [f"c{i}" for i in range(80)]
    plan = {"place": 0.8, "none": 0.2} if "kind" in words else None
    assert gates.balance(balanced(), documents, plan={"place": 0.8, "none": 0.2}) > 0.9
    with pytest.raises(ScenarioInconsistent, match=words):
        gates.balance(spoil(balanced()), documents, plan=plan)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_test_of_spread_has_its_textbook_values(mirrored: bool) -> None:
    n = 40_000
    for z, p in ((1.2238, 0.10), (1.3581, 0.05), (1.6276, 0.01)):
        # Squeezing an even spread to 1 - d moves its distribution function by d at most.
        positions = [(i + 0.5) / n * (1 - z / n**0.5) for i in range(n)]
        positions = [1 - x for x in positions] if mirrored else positions
        assert gates.spread(positions) == pytest.approx(p, abs=0.002)
    assert gates.spread([]) == 1.0
    assert gates.spread([0.01] * 20) < 1e-6
    assert gates.spread([(i + 0.5) / 50 for i in range(50)]) > 0.999


# Determinism


def test_the_book_and_the_dialogues_are_deterministic() -> None:
    found = gates.determinism(lambda size: generate_book(5, chapters=size).chapters, 20, 50)
    assert found == gates.digest(generate_book(5, chapters=20).chapters)
    for hardness in HARDNESS:
        gates.determinism(lambda size: generate(5, sessions=size, hardness=hardness).turns, 4, 8)  # noqa: B023


def test_what_comes_out_different_is_noticed() -> None:
    calls = itertools.count()
    with pytest.raises(ScenarioInconsistent, match=r"document 0 of .* size 3 comes out different a second time"):
        gates.determinism(lambda size: [next(calls) for _ in range(size)], 3, 5)
    with pytest.raises(ScenarioInconsistent, match=r"document 0 .* comes out different at size 5"):
        gates.determinism(lambda size: [size] * size, 3, 5)
    with pytest.raises(ScenarioInconsistent, match=r"document 2 .* comes out different at size 2"):
        gates.determinism(range, 3, 2)
    lengths = iter((3, 4, 5))
    with pytest.raises(ScenarioInconsistent, match=r"document 3 .* is there only a second time"):
        gates.determinism(lambda _: list(range(next(lengths))), 3, 5)
    with pytest.raises(ScenarioInconsistent, match=r"has the digest [0-9a-f]{64}, not abc"):
        gates.determinism(range, 3, 5, expected="abc")
    assert gates.determinism(range, 3, 5) == gates.digest(range(3))

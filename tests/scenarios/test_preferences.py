from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import Postings, idf, length_norms, saturate
from remanence.kernels.packing import estimate_tokens
from remanence.scenarios import preferences_text as words
from remanence.scenarios.dates import spell
from remanence.scenarios.model import HARDNESS, Hardness
from remanence.scenarios.phrases import says
from remanence.scenarios.preferences import (
    Option,
    PreferenceDialogue,
    PreferenceQuestion,
    breaks,
    preferences,
)

SEEDS = range(10)
ANALYZER = Analyzer("english")


@lru_cache(maxsize=64)
def dialogue(seed: int, hardness: Hardness) -> PreferenceDialogue:
    return preferences(seed, hardness=hardness)


def all_dialogues() -> list[PreferenceDialogue]:
    return [dialogue(seed, hardness) for seed in SEEDS for hardness in HARDNESS]


def dinners(one: PreferenceDialogue) -> list[PreferenceQuestion]:
    return [question for question in one.questions if question.category == "preference_apply"]


def procedures(one: PreferenceDialogue) -> list[PreferenceQuestion]:
    return [question for question in one.questions if question.category == "procedure"]


def told(one: PreferenceDialogue, person: str, until: object) -> dict[str, set[str]]:
    """What a person can not have, by kind, read off the turns alone: the state after everything said until then."""
    level = HARDNESS.index(one.hardness)
    state: dict[str, set[str]] = {kind: set() for kind in ("diet", "allergy", "taste", "budget", "place")}
    near = tuple(re.escape(line).replace(r"\{", "{") for line in words.NEAR)
    for turn in one.turns:
        if turn.speaker != person or (until is not None and turn.at > until):  # type: ignore[operator]
            continue
        if any(re.fullmatch(re.sub(r"{\w+\\}", ".+", line), turn.text) for line in near):
            continue
        for kind, templates, ending in (
            *((kind, frames[level], False) for kind, frames in words.SAY.items() if kind != "place"),
            *((kind, frames[level], False) for kind, frames in words.CHANGE.items()),
            *((kind, frames[level], True) for kind, frames in words.END.items() if kind != "place"),
        ):
            values = {
                "diet": {key: wording[level] for key, wording in words.DIETS.items()},
                "allergy": {key: wording[level] for key, wording in words.ALLERGENS.items()},
                "taste": {key: wording[level] for key, wording in words.TASTES.items()},
                "budget": {str(amount): str(amount) for amount in words.NUMBERS},
            }[kind]
            for template in templates:
                for key, wording in values.items():
                    for old in words.DIETS.values() if "{old}" in template else [("", "", "")]:
                        spoken = words.NUMBERS.get(int(key), "") if kind == "budget" else ""
                        if turn.text == template.format(v=wording, w=spoken, old=old[level]):
                            if ending:
                                state[kind].discard(key)
                            elif kind in ("diet", "budget"):
                                state[kind] = {key}
                            else:
                                state[kind].add(key)
        for key, (wordings, over, _) in words.PLACES.items():
            if turn.text == wordings[level]:
                state["place"].add(key)
            if turn.text == over:
                state["place"].discard(key)
    return state


def faults(text: str, state: dict[str, set[str]]) -> int:
    """How many constraints a dinner breaks, read off its words."""
    count = 0
    for diet in state["diet"]:
        banned = [dish for kind in words.FORBIDDEN[diet] for dish in words.DISHES[kind]]
        count += any(text.startswith(dish) for dish in banned)
    garnish = re.search(r" with (.+?) for (\d+) euros, (.+)", text)
    assert garnish
    count += garnish[1] in state["allergy"] | state["taste"]
    count += any(int(garnish[2]) > int(limit) for limit in state["budget"])
    return count + any(garnish[3] in words.PLACES[key][2] for key in state["place"])


def test_a_dialogue_is_repeatable_a_longer_one_begins_with_it_and_seeds_differ() -> None:
    for hardness in HARDNESS:
        assert preferences(1, hardness=hardness) == preferences(1, hardness=hardness)
        short = preferences(1, hardness=hardness, sessions=6)
        assert preferences(1, hardness=hardness, sessions=12).turns[: len(short.turns)] == short.turns
        assert dialogue(1, hardness).turns != dialogue(2, hardness).turns


def test_exactly_one_dinner_breaks_nothing_and_each_other_exactly_one_as_the_turns_alone_tell() -> None:
    for one in [dialogue(seed, hardness) for seed in range(4) for hardness in HARDNESS]:
        for question in dinners(one):
            state = told(one, question.subject, question.as_of)
            found = sorted(faults(option.text, state) for option in question.options)
            assert found == [0, 1, 1, 1], (question, state)
            (right,) = (option.text for option in question.options if not faults(option.text, state))
            assert right == question.answer


def test_a_state_that_ignores_the_time_gets_many_questions_wrong() -> None:
    wrong = total = 0
    for seed in range(6):
        one = dialogue(seed, "easy")
        for question in dinners(one):
            mine = [c for c in one.constraints if c.person == question.subject and c.valid_from <= question.now]
            clean = [option.text for option in question.options if not any(breaks(option, c) for c in mine)]
            wrong += clean != [question.answer]
            total += 1
    assert wrong / total > 0.3


def test_gold_rules_out_the_wrong_dinners_one_turn_each() -> None:
    for one in all_dialogues():
        turns = {turn.id: turn for turn in one.turns}
        for question in dinners(one):
            when = question.as_of or question.now
            broken = [constraint for constraint in question.broken if constraint]
            assert len(broken) == 3
            assert question.broken.count(None) == 1
            assert {constraint.turn for constraint in broken} == set(question.gold)
            for option, constraint in zip(question.options, question.broken, strict=True):
                if constraint:
                    assert breaks(option, constraint)
                    assert constraint.holds(when)
            assert all(turns[id].at <= when and turns[id].speaker == question.subject for id in question.gold)
            assert not set(question.gold) & set(question.forbidden)


def test_procedures_follow_from_their_turns() -> None:
    for one in all_dialogues():
        texts = {turn.id: turn.text for turn in one.turns}
        versions = Counter(procedure.key for procedure in one.procedures)
        assert set(versions.values()) <= {1, 2}
        for question in procedures(one):
            known = " ".join(texts[id] for id in question.gold)
            assert all(says(known, step) for step in question.steps)
            assert question.answer == "; ".join(question.steps)
            (procedure,) = (p for p in one.procedures if p.key == question.subject and p.steps == question.steps)
            if not procedure.superseded:
                work = next(work for work in words.WORKS if work.key == question.subject)
                assert list(question.steps) == [step for step in work.steps if step in question.steps]
            else:
                old, new = procedure.superseded, procedure.steps
                assert len(set(old) ^ set(new)) in (1, 2)
                assert [step for step in old if step in new] == [step for step in new if step in old]
                assert question.as_of is None


def test_each_step_is_stated_after_its_predecessor_and_the_pairs_alone_give_the_order() -> None:
    for one in all_dialogues():
        texts = {turn.id: turn.text for turn in one.turns}
        for procedure in (p for p in one.procedures if not p.superseded):
            work = next(work for work in words.WORKS if work.key == procedure.key)
            follows: dict[str, str] = {}
            for id in procedure.turns:
                named = [step for step in work.steps if says(texts[id], step)]
                assert len(named) in (1, 2)
                if len(named) == 2:
                    follows[named[0]] = named[1]
            chain = [next(step for step in procedure.steps if step not in follows.values())]
            while chain[-1] in follows:
                chain.append(follows[chain[-1]])
            assert tuple(chain) == procedure.steps


def test_revisions_happen_and_the_past_is_asked_about() -> None:
    ended = sum(c.valid_to is not None for one in all_dialogues() for c in one.constraints)
    assert ended > 150
    assert sum(bool(p.superseded) for one in all_dialogues() for p in one.procedures) > 40
    asked = [question for one in all_dialogues() for question in one.questions]
    past = [question for question in asked if question.as_of]
    assert 0.3 < len(past) / len(asked) < 0.7
    assert all(spell(question.as_of.date()) in question.text for question in past if question.as_of)
    assert {question.category for question in past} == {"preference_apply", "procedure"}


def test_shortcuts_do_not_pay() -> None:
    hits: Counter[str] = Counter()
    asked = [question for one in all_dialogues() for question in dinners(one)]
    shortcuts: dict[str, Callable[[tuple[Option, ...]], Option]] = {
        "first": lambda options: options[0],
        "last": lambda options: options[-1],
        "longest": lambda options: max(options, key=lambda option: len(option.text)),
        "shortest": lambda options: min(options, key=lambda option: len(option.text)),
        "cheapest": lambda options: min(options, key=lambda option: option.price),
        "plain": lambda options: min(options, key=lambda option: option.garnish not in words.PLAIN_GARNISHES),
        "meatless": lambda options: min(options, key=lambda option: option.kind != "plant"),
    }
    for question in asked:
        for name, choose in shortcuts.items():
            hits[name] += choose(question.options).text == question.answer
    bound = 0.25 + 3 * (0.25 * 0.75 / len(asked)) ** 0.5
    assert {name: hits[name] / len(asked) for name in shortcuts if hits[name] / len(asked) > bound + 0.03} == {}


def test_hard_statements_do_not_use_the_words_of_the_menu() -> None:
    for one in (dialogue(seed, "hard") for seed in SEEDS):
        texts = {turn.id: turn.text for turn in one.turns}
        for question in dinners(one):
            for constraint in question.broken:
                if constraint and constraint.kind in ("allergy", "taste", "budget"):
                    assert not says(texts[constraint.turn], constraint.value)
    for table in (words.ALLERGENS, words.TASTES):
        for key, (easy, medium, hard) in table.items():
            assert easy == key
            assert not says(medium, key)
            assert not says(hard, key)


def recall(hardness: Hardness, k: int) -> float:
    """Mean share of the gold turns that BM25 puts among the first k, asked with the question and its options."""
    shares = []
    for seed in SEEDS:
        one = dialogue(seed, hardness)
        terms: dict[str, int] = {}
        texts = [ANALYZER.terms(f"{turn.speaker}: {turn.text}") for turn in one.turns]
        documents = [[terms.setdefault(term, len(terms)) for term in text] for text in texts]
        postings = Postings()
        flat = [term for document in documents for term in document]
        postings.append(np.array(flat, np.int32), np.cumsum([0, *map(len, documents)]))
        norms = length_norms(np.array([len(document) for document in documents], float))
        for question in one.questions:
            query = " ".join((question.text, *(option.text for option in question.options)))
            scores = np.zeros(len(texts))
            for term in {terms[term] for term in ANALYZER.terms(query) if term in terms}:
                rows, tfs = postings.of(term)
                scores[rows] += saturate(tfs, norms[rows], idf(len(texts), len(rows)))
            best = {one.turns[i].id for i in np.argsort(-scores, kind="stable")[:k]}
            shares.append(len(best & set(question.gold)) / len(question.gold))
    return sum(shares) / len(shares)


def test_word_overlap_solves_the_easy_level_only() -> None:
    found = {hardness: recall(hardness, 20) for hardness in HARDNESS}
    assert found["easy"] > 0.7, found
    assert found["hard"] < 0.4, found
    assert found["easy"] > found["medium"] > found["hard"], found


def test_twenty_turns_are_a_small_part_of_a_hard_dialogue() -> None:
    one = dialogue(0, "hard")
    tokens = sum(estimate_tokens(turn.text) for turn in one.turns)
    assert len(one.turns) > 200
    assert tokens > 2000


def test_turns_are_in_order_with_unique_ids_and_constraints_last_from_turn_to_turn() -> None:
    for one in all_dialogues():
        turns = {turn.id: turn for turn in one.turns}
        assert len(turns) == len(one.turns)
        assert [turn.at for turn in one.turns] == sorted(turn.at for turn in one.turns)
        for constraint in one.constraints:
            assert turns[constraint.turn].at == constraint.valid_from
            assert turns[constraint.turn].speaker == constraint.person
            if constraint.ended_by:
                assert turns[constraint.ended_by].at == constraint.valid_to
                assert constraint.valid_to - constraint.valid_from > timedelta(days=1)


def test_numbers_out_of_range_are_refused() -> None:
    for sessions, people in ((12, 1), (12, 7), (2, 3)):
        with pytest.raises(InvalidInput, match="must be"):
            preferences(0, sessions=sessions, people=people)
    with pytest.raises(InvalidInput, match="'soft'"):
        preferences(0, hardness="soft")  # type: ignore[arg-type]

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import combinations, pairwise
from typing import cast

import pytest

from remanence.core.errors import InvalidInput
from remanence.core.scope import FIELDS, MAX_LENGTH, Scope
from remanence.scenarios.histories import ODD_IDS, HistoryStep, ScopeIds, history, scopes

KINDS = {
    "put", "revise", "close", "reopen", "link", "unlink", "touch", "erase", "get", "find", "count", "history",
}  # fmt: skip


def all_steps(seeds: int = 40) -> list[HistoryStep]:
    return [step for seed in range(seeds) for step in history(seed)]


def scope_of(step: HistoryStep) -> ScopeIds:
    return cast("ScopeIds", step.args["scope"])


def references(step: HistoryStep) -> set[str]:
    """What a step refers to, apart from the reference that a put introduces."""
    args = step.args
    found = {args.get("source"), args.get("target"), args.get("after")}
    found |= set() if step.kind == "put" else {args.get("ref")}
    found |= set(cast("tuple[str, ...]", args.get("refs") or ()))
    found |= {ref for ref, _, _ in cast("tuple[tuple[str, int, int], ...]", args.get("sources", ()))}
    return {cast("str", ref) for ref in found if ref is not None}


def test_a_history_is_repeatable_and_seeds_differ() -> None:
    assert history(7, steps=200) == history(7, steps=200)
    assert history(7) != history(8)
    assert history(7, steps=50) == history(7, steps=200)[:50]


def test_every_kind_occurs_often() -> None:
    counts = Counter(step.kind for step in all_steps())
    assert set(counts) == KINDS
    assert min(counts.values()) > 20


def test_time_moves_forward_and_is_aware() -> None:
    for seed in range(20):
        times = [cast("datetime", step.args["now"]) for step in history(seed)]
        assert all(one < two for one, two in pairwise(times))
        assert all(time.tzinfo is not None for time in times)


def test_batches_share_a_scope_and_never_refer_to_what_they_put() -> None:
    longest = 0
    for seed in range(60):
        batches: dict[object, list[HistoryStep]] = {}
        for step in history(seed, steps=80):
            batches.setdefault(step.args["batch"], []).append(step)
        for steps in batches.values():
            longest = max(longest, len(steps))
            assert len({tuple(sorted(scope_of(step).items())) for step in steps}) == 1
            made = {step.args["ref"] for step in steps if step.kind == "put"}
            assert not any(made & references(step) for step in steps)
    assert longest >= 4


def test_references_are_mostly_right_sometimes_foreign_and_sometimes_unknown() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(60):
        home: dict[str, ScopeIds] = {}
        for step in history(seed):
            for ref in references(step):
                if ref not in home:
                    kinds["unknown"] += 1
                else:
                    inside = scope_of(step).items() <= home[ref].items()
                    kinds["own" if inside else "foreign"] += 1
            if step.kind == "put":
                home[cast("str", step.args["ref"])] = scope_of(step)
    total = sum(kinds.values())
    assert kinds["own"] / total > 0.4, kinds
    assert kinds["foreign"] / total > 0.1, kinds
    assert kinds["unknown"] / total > 0.03, kinds


def test_scopes_are_legal_distinct_and_look_alike() -> None:
    shapes: Counter[str] = Counter()
    for seed in range(50):
        found = scopes(seed, 8)
        assert len({tuple(sorted(scope.items())) for scope in found}) == 8
        for scope in found:
            assert set(scope) <= set(FIELDS)
            Scope(**scope)
        for one, two in combinations(found, 2):
            shapes["nested"] += one.items() < two.items() or two.items() < one.items()
            shapes["crosswise"] += set(one.values()) == set(two.values()) and set(one) != set(two)
            first, second = next(iter(one.values())), next(iter(two.values()))
            shapes["prefix"] += first.startswith(second) or second.startswith(first)
    assert min(shapes.values()) > 10, shapes


def test_ids_cover_what_stores_confuse() -> None:
    assert len(set(ODD_IDS)) == len(ODD_IDS)
    assert all(0 < len(name) <= MAX_LENGTH and "\x00" not in name for name in ODD_IDS)
    assert max(map(len, ODD_IDS)) == MAX_LENGTH
    for name in ("%", "_", ".", " ", "ana", "Ana", "\u00e9", "e\u0301", "\U0001f9e0", "' OR '1'='1"):
        assert name in ODD_IDS


def test_texts_are_storable_unless_refusals_are_wanted() -> None:
    def texts(refused: bool) -> list[str]:
        steps = [step for seed in range(40) for step in history(seed, refused=refused)]
        return [cast("str", step.args["text"]) for step in steps if "text" in step.args]

    def storable(text: str) -> bool:
        return bool(text) and "\x00" not in text and not any(0xD800 <= ord(char) <= 0xDFFF for char in text)

    assert all(map(storable, texts(False)))
    assert 5 < sum(not storable(text) for text in texts(True)) < 200


def test_intervals_end_after_they_start_unless_refusals_are_wanted() -> None:
    def ends(refused: bool) -> list[bool]:
        puts = [s.args for seed in range(80) for s in history(seed, refused=refused) if s.kind == "put"]
        pairs = [(put["valid_from"], put["valid_to"]) for put in puts if put["valid_from"] and put["valid_to"]]
        return [cast("datetime", start) < cast("datetime", end) for start, end in pairs]

    assert all(ends(False))
    assert not all(ends(True))


@pytest.mark.parametrize(
    ("call", "words"), [((0, 0), "steps must be at least 1"), ((1, 0), "count must be at least 1")]
)
def test_counts_below_one_are_refused(call: tuple[int, int], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        history(0, steps=call[0], scope_count=call[1])

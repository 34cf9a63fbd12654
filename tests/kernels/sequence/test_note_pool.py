"""Pools of notes: who is kept, who goes, and what a query finds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.note_pool import NotePool, Policy, Pooling, empty, insert, read, summary, windowed


def filled(values: Sequence[float], priorities: Sequence[float], policy: Policy, capacity: int = 3) -> NotePool:
    pool = empty(1, capacity=capacity, size=1, dtype=torch.float64)
    for value, priority in zip(values, priorities, strict=True):
        note, weight = torch.tensor([[value]]).double(), torch.tensor([priority]).double()
        pool = insert(pool, note, weight, policy=policy)
    return pool


def held(pool: NotePool) -> list[float]:
    return pool.notes[pool.held].flatten().tolist()


def test_the_oldest_goes() -> None:
    assert held(filled([1, 2], [9, 9], "fifo")) == [1, 2]
    assert held(filled([1, 2, 3, 4, 5], [9, 1, 5, 1, 1], "fifo")) == [3, 4, 5]


def test_the_least_important_goes_and_the_rest_stays_in_order() -> None:
    assert held(filled([1, 2, 3, 4], [0.5, 0.1, 0.9, 0.3], "priority")) == [1, 3, 4]
    assert held(filled([1, 2, 3, 4], [0.5, 0.2, 0.9, 0.1], "priority")) == [1, 2, 3]


def test_of_equals_the_first_to_come_stays_before_the_new_one() -> None:
    assert held(filled([1, 2, 3, 4], [0.5, 0.5, 0.5, 0.5], "priority")) == [1, 2, 3]
    assert held(filled([1, 2, 3, 4], [0.5, 0.5, 0.9, 0.6], "priority")) == [2, 3, 4]


def test_priorities_below_zero_and_of_zero_are_notes_too() -> None:
    assert held(filled([1, 2], [-1.0, 0.0], "priority")) == [1, 2]
    assert held(filled([1, 2, 3, 4], [-1.0, 0.0, -2.0, -0.5], "priority")) == [1, 2, 4]


@pytest.mark.parametrize(("policy", "kept"), [("priority", True), ("fifo", False)])
def test_fifty_notes_later_only_priority_still_has_what_mattered(policy: Policy, kept: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    priorities = [0.99, *torch.rand(60, generator=generator).mul(0.9).tolist()]
    pool = filled([-1, *range(60)], priorities, policy, capacity=50)
    assert (-1 in held(pool)) is kept
    assert len(held(pool)) == 50


def test_each_sequence_has_its_own() -> None:
    pool = empty(3, capacity=2, size=1)
    for turn in range(3):
        note = torch.full((3, 1), float(turn))
        pool = insert(pool, note, torch.ones(3), torch.tensor([True, turn == 1, False]))
    assert [pool.notes[row][pool.held[row]].flatten().tolist() for row in range(3)] == [[1, 2], [1], []]


def test_the_given_pool_is_not_changed_and_gradients_reach_the_notes() -> None:
    pool = empty(1, capacity=2, size=2)
    note = torch.ones(1, 2, requires_grad=True)
    after = insert(pool, note, torch.ones(1))
    assert not pool.held.any()
    after.notes.sum().backward()
    assert note.grad is not None
    assert note.grad.tolist() == [[1, 1]]


def test_a_query_finds_the_note_that_is_like_it() -> None:
    notes = torch.eye(4)
    pool = empty(1, capacity=6, size=4)
    for one in notes:
        pool = insert(pool, one[None], torch.ones(1))
    found = read(notes[2:3], pool.notes, pool.notes, pool.held, scale=50.0)
    torch.testing.assert_close(found, notes[2:3])
    even = read(torch.zeros(1, 4), pool.notes, pool.notes, pool.held)
    torch.testing.assert_close(even, torch.full((1, 4), 0.25))


def test_an_empty_pool_answers_nothing_without_spoiling_gradients() -> None:
    pool = empty(2, capacity=3, size=4)
    query = torch.ones(2, 4, requires_grad=True)
    found = read(query, pool.notes, pool.notes, pool.held)
    found.sum().backward()
    assert not found.any()
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert not summary(pool).any()


@pytest.mark.parametrize(("pooling", "wanted", "whole"), [("max", [-1.0, 5.0], 5.0), ("mean", [-1.0, 3.0], 5 / 3)])
def test_neighbours_are_summed_up(pooling: Pooling, wanted: list[float], whole: float) -> None:
    """Places without a note do not count, even where notes are negative."""
    pool = filled([-1, 1, 5], [1, 1, 1], "fifo", capacity=5)
    found, there = windowed(pool, window=2, pooling=pooling)
    assert found[there].flatten().tolist() == pytest.approx(wanted)
    assert there.tolist() == [[False, True, True]]
    assert summary(pool, pooling=pooling).item() == pytest.approx(whole)


def test_nonsense_is_told() -> None:
    pool = empty(2, capacity=3, size=4)

    def ones(*shape: int) -> Tensor:
        return torch.ones(shape)

    for call in (
        lambda: empty(1, capacity=0, size=1),
        lambda: insert(pool, ones(2, 3), ones(2)),
        lambda: insert(pool, ones(2, 4), ones(3)),
        lambda: insert(pool, ones(2, 4), ones(2), policy="lifo"),  # type: ignore[arg-type]
        lambda: windowed(pool, window=0),
        lambda: read(ones(2, 3), pool.notes, pool.notes, pool.held),
    ):
        with pytest.raises(InvalidInput):
            call()

"""The stores answer alike over 500 random lives, operation by operation, error by error."""

from __future__ import annotations

import collections
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from remanence.conformance.stage import StoreFactory
from remanence.core.scope import Scope
from remanence.substrates.records.operations import Find, Operation, Outcome
from remanence.substrates.records.reference import MemoryStore
from tests.stores.contract.conftest import SqliteFiles
from tests.stores.contract.histories import JumpyClock, live
from tests.stores.postgres.server import Schemas

HISTORIES = 500
GROUPS = 20
OVER_A_SOCKET = 20
"""One life in so many is lived in PostgreSQL too, where each operation is a conversation with a server."""


def live_in(seed: int, *makes: StoreFactory) -> list[str]:
    """One life in a new store of each kind, all with the same clock and the same random bits."""
    stores = [make(clock=JumpyClock(seed), random_bits=random.Random(seed).getrandbits) for make in makes]
    chronicle = live(seed, stores)
    for store in stores:
        store.close()
    return chronicle


@pytest.mark.parametrize("group", range(GROUPS))
def test_memory_and_sqlite_live_the_same_lives(group: int, sqlite_files: SqliteFiles) -> None:
    for seed in range(group, HISTORIES, GROUPS):
        live_in(seed, MemoryStore, sqlite_files)


@pytest.mark.parametrize("group", range(GROUPS))
def test_memory_and_postgres_live_the_same_lives(group: int, schemas: Schemas) -> None:
    for seed in range(group, HISTORIES // OVER_A_SOCKET, GROUPS):
        live_in(seed, MemoryStore, schemas)


def test_lives_are_lively() -> None:
    """Most batches succeed, every kind of refusal occurs, and undo is both granted and refused."""
    chronicle: Counter[str] = Counter()
    for seed in range(100):
        chronicle.update(live_in(seed, MemoryStore))
    assert chronicle["batch: Outcome"] > 0.5 * chronicle.total()
    for refusal in ("NotFound", "Conflict", "InvalidInput", "InvalidFilter", "EmbeddingSpaceMismatch"):
        assert chronicle[f"batch: {refusal}"] > 0, f"{refusal} never happens: {chronicle}"
    for outcome in ("Outcome", "NotFound", "Conflict", "InvalidInput"):
        assert chronicle[f"undo: {outcome}"] > 0, f"undo never answers {outcome}: {chronicle}"


class _ForgetsLimits(MemoryStore):
    """Wrong in a corner: a page of one record holds two."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        wrong = [replace(op, limit=2) if isinstance(op, Find) and op.limit == 1 else op for op in operations]
        return super().batch(wrong, scope=scope, actor=actor, why=why)


def test_a_difference_in_a_corner_is_found() -> None:
    with pytest.raises(AssertionError, match="Find"):
        collections.deque(live_in(seed, MemoryStore, _ForgetsLimits) for seed in range(HISTORIES))

"""Indexes follow the server's journal, and rank as they do over the readable store."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.mechanisms.records.recall import Recall
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore
from tests.stores.postgres.server import Schemas
from tests.substrates.indexes import check, content, index_of
from tests.substrates.worlds import ANA, BOB, EMBEDDER, LATER, START, WORDS, World


@pytest.mark.parametrize("seed", range(2))
def test_followed_indexes_equal_those_of_the_readable_store(seed: int, schemas: Schemas) -> None:
    stores: list[RecordStore] = [
        make(clock=SteppingClock(START, timedelta(milliseconds=1)), random_bits=random.Random(seed).getrandbits)
        for make in (MemoryStore, schemas)
    ]
    worlds = [World(store, seed) for store in stores]
    scopes = (ANA, BOB, Scope(user_id="ana", run_id="r1"))
    indexes = [{scope: index_of(store, scope) for scope in scopes} for store in stores]
    for step in range(30):
        for world in worlds:
            world.step()
        views = [world.views() for world in worlds]
        for scope in scopes:
            for own in indexes:
                own[scope].refresh()
            if step % 5 == seed:
                one, other = (content(own[scope], views[0]) for own in indexes)
                assert one == other
    for scope in scopes:
        check(indexes[1][scope], stores[1], worlds[0].views())
    rng = random.Random(seed)
    for _ in range(8):
        question = " ".join(rng.choices(WORDS, k=3))
        found = [
            Recall(store=store, scope=ANA, embedder=EMBEDDER).read(question, 10, now=LATER.now) for store in stores
        ]
        assert found[0] == found[1]
        assert [hit.score for hit in found[0]] == [hit.score for hit in found[1]]

from __future__ import annotations

import random
import threading
from pathlib import Path

from remanence.core.scope import Scope
from remanence.substrates.records.operations import Put, Revise
from remanence.substrates.records.scope_index import IndexCache
from tests.substrates.indexes import check, content, index_of, visible
from tests.substrates.worlds import (
    ANA,
    BOB,
    DIM,
    LATER,
    MINUTE,
    SPACE,
    START,
    WORDS,
    OpenStore,
    World,
    opened,
    rows,
    say,
    turn,
)


def test_two_doors_to_one_file(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as another:
        here, there = another(), another()
        caches = IndexCache(here), IndexCache(there)
        world = World(here, 3, erase=0.1)
        for step in range(60):
            world.step((here, there)[step % 2])
            indexes = [cache.get(ANA, SPACE, DIM) for cache in caches]
            assert indexes[0].seq == indexes[1].seq == here.position()
            if step % 6 == 0:
                views = world.views()
                assert content(indexes[0], views) == content(indexes[1], views)
        check(caches[1].get(ANA, SPACE, DIM), here, world.views())


def test_the_cache_gives_the_same_index_brought_up_to_date(open_store: OpenStore) -> None:
    store = open_store()
    cache = IndexCache(store)
    index = cache.get(ANA, SPACE, DIM)
    assert len(index) == 0
    say(store, "red fox")
    assert cache.get(ANA, SPACE, DIM) is index
    assert len(index) == 1
    assert cache.get(ANA, None, DIM) is not index
    assert cache.get(BOB, SPACE, DIM) is not index
    assert len(cache) == 3
    cache.clear()
    assert len(cache) == 0 == cache.nbytes
    assert cache.get(ANA, SPACE, DIM).ids == index.ids


def test_the_least_recently_used_index_goes_first(open_store: OpenStore) -> None:
    store = open_store()
    scopes = [Scope(user_id=str(number)) for number in range(5)]
    for scope in scopes:
        store.batch([Put(turn(" ".join(WORDS))) for _ in range(20)], scope=scope)
    size = index_of(store, scopes[0]).nbytes
    cache = IndexCache(store, budget=3 * size + size // 2)
    indexes = {scope: cache.get(scope, SPACE, DIM) for scope in scopes[:3]}
    assert cache.get(scopes[0], SPACE, DIM) is indexes[scopes[0]]
    cache.get(scopes[3], SPACE, DIM)
    assert len(cache) == 3
    assert cache.nbytes <= cache.budget
    # The second was the one that nobody asked for the longest; asked for again, it is loaded anew.
    for scope in (scopes[2], scopes[0]):
        assert cache.get(scope, SPACE, DIM) is indexes[scope]
    again = cache.get(scopes[1], SPACE, DIM)
    assert again is not indexes[scopes[1]]
    assert content(again, [LATER]) == content(indexes[scopes[1]], [LATER])


def test_an_index_larger_than_the_budget_still_works(open_store: OpenStore) -> None:
    store = open_store()
    cache = IndexCache(store, budget=1)
    for _ in range(3):
        say(store, "red fox")
        assert len(cache.get(ANA, SPACE, DIM).ids) == len(rows(store))
        assert len(cache) == 1
    cache.get(BOB, SPACE, DIM)
    assert len(cache) == 1


def test_threads_share_a_cache(open_store: OpenStore) -> None:
    store = open_store()
    cache = IndexCache(store, budget=60_000)
    scopes = [Scope(user_id="ana", run_id="r1"), ANA, BOB]
    errors: list[BaseException] = []
    gate = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            rng = random.Random(number)
            gate.wait()
            for turn_number in range(12):
                scope = rng.choice(scopes)
                text = " ".join(rng.choices(WORDS, k=4))
                id = say(store, text, scope, event_at=START + turn_number * MINUTE, embedded=rng.random() < 0.5)
                if rng.random() < 0.3:
                    store.batch([Revise(id, turn("blue dog"))], scope=scope)
                index = cache.get(scope, SPACE, DIM)
                with index.lock:
                    assert id in index.ids, "a write that was acknowledged is read"
                    assert len(index.window_norms) == len(index.norms) == len(index.ids) == len(index.codes)
                    shown = visible(index, LATER)
                    assert shown[index.rows([id])[0]]
                assert cache.nbytes > 0
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    for scope in scopes:
        assert content(cache.get(scope, SPACE, DIM), [LATER]) == content(index_of(store, scope), [LATER])

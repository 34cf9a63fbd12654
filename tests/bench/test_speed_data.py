from __future__ import annotations

import time
from itertools import islice, pairwise

import numpy as np
import pytest

from remanence.bench import speed_data
from remanence.bench.baselines import Lexical
from remanence.bench.datasets import Corpus, Question
from remanence.core.errors import InvalidInput


def test_a_shorter_stream_begins_a_longer_one() -> None:
    longer = list(speed_data.turns(4_100))
    assert list(speed_data.turns(30)) == longer[:30]
    assert list(speed_data.turns(20, start=3_990)) == longer[3_990:4_010]
    assert [turn.id for turn in longer] == [f"t{number}" for number in range(4_100)]
    assert list(speed_data.turns(5, seed=1)) != longer[:5]
    assert list(speed_data.turns(0)) == []


def test_turns_have_the_shape_of_chat() -> None:
    turns = list(speed_data.turns(8_000))
    words = np.array([len(turn.text.split()) for turn in turns])
    assert 22 < words.mean() < 25
    assert 10 < words.std() < 16
    assert 115 < np.mean([len(turn.text) for turn in turns]) < 140
    assert len({turn.speaker for turn in turns}) == 2
    assert len({turn.session for turn in turns}) == 8_000 // speed_data.SESSION_TURNS
    assert turns[24].session != turns[25].session
    assert len({turn.text for turn in turns}) > 7_990


def test_times_rise_also_between_blocks_and_sessions() -> None:
    times = [turn.event_at for turn in speed_data.turns(8_000)]
    assert all(one is not None for one in times)
    known = [one.timestamp() for one in times if one is not None]
    assert all(earlier < later for earlier, later in pairwise(known))


def test_a_million_turns_cost_nothing_until_they_are_read() -> None:
    started = time.perf_counter()
    assert len(list(islice(speed_data.turns(1_000_000), 10))) == 10
    assert time.perf_counter() - started < 20


def test_generation_is_far_faster_than_what_it_measures() -> None:
    next(speed_data.turns(1))

    def per_second() -> float:
        started = time.perf_counter()
        assert sum(1 for _ in speed_data.turns(12_000)) == 12_000
        return 12_000 / (time.perf_counter() - started)

    # A third of what one slow core does; on one that is shared it may take a while until it has a core to itself.
    assert any(per_second() > 50_000 for _ in range(50))


def test_queries_find_the_turn_they_were_made_from() -> None:
    turns = tuple(speed_data.turns(5_000))
    ranker = Lexical("bm25", lambda text: text.lower().strip("?").replace("?", " ").split())
    ranker.build(Corpus("c", turns))
    asked = speed_data.queries(60, among=5_000)
    found = [
        query.source in ranker.rank(Question("q", "c", query.text, frozenset({query.source}), "all"), 10)
        for query in asked
    ]
    assert np.mean(found) > 0.9
    assert speed_data.queries(60, among=5_000) == asked
    assert {query.source for query in asked} <= {turn.id for turn in turns}


def test_queries_stay_within_the_stored_turns() -> None:
    sources = [int(query.source[1:]) for query in speed_data.queries(300, among=4_010)]
    assert max(sources) < 4_010
    assert {int(query.source[1:]) for query in speed_data.queries(50, among=3)} == {0, 1, 2}


def test_scopes_share_no_turn() -> None:
    users = list(speed_data.scopes(3, 10))
    assert [name for name, _ in users] == ["user-0", "user-1", "user-2"]
    assert [turn for _, turns in users for turn in turns] == list(speed_data.turns(30))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="negative"):
        next(speed_data.turns(-1))
    with pytest.raises(InvalidInput, match="at least 1"):
        speed_data.queries(0, among=10)

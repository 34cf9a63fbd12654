from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from remanence.kernels.analyzer import Analyzer
from remanence.kernels.buckets import BucketTable
from remanence.kernels.claims.model import Utterance
from remanence.kernels.claims.ontology import ATTRIBUTES
from remanence.kernels.thoughts import Triple, conclusions, draw, found_by, idle, listed, meaning, remainder, settle

ANALYZER = Analyzer()
START = datetime(2026, 5, 1, tzinfo=UTC)


def said(*lines: tuple[str, str, str], denied: tuple[int, ...] = ()) -> list[Triple]:
    return [
        Triple(str(i), head, relation, tail, START + timedelta(days=i), denied=i in denied)
        for i, (head, relation, tail) in enumerate(lines)
    ]


def test_of_one_value_the_newest_stands() -> None:
    triples = said(("Ana", "home_city", "Oslo"), ("Bo", "home_city", "Oslo"), ("Ana", "home_city", "Bergen"))
    settled = settle(triples)
    assert sorted(settled.stand) == ["1", "2"]
    assert settled.displaced == ["0"]
    assert settle(reversed(triples)).displaced == ["0"]


def test_a_denial_ends_what_it_denies_and_nothing_else() -> None:
    oslo, bergen = ("Ana", "home_city", "Oslo"), ("Ana", "home_city", "Bergen")
    assert settle(said(oslo, oslo, denied=(1,))).stand == ["1"]
    assert settle(said(bergen, oslo, denied=(1,))).stand == ["0"]
    assert settle(said(oslo, ("Ana", "home_city", ""), bergen, denied=(1,))).stand == ["2"]
    nuts, soy = ("Ana", "allergy", "nuts"), ("Ana", "allergy", "soy")
    settled = settle(said(nuts, soy, nuts, denied=(2,)))
    assert (settled.stand, settled.displaced, settled.merged) == (["1", "2"], ["0"], [])


def test_a_correction_of_an_unknown_relation_takes_that_of_what_it_corrects() -> None:
    triples = said(("Ana", "job", "baker"), ("Ana", "home_city", "Oslo"))
    triples.append(Triple("c", "Ana", "", "Bergen", START + timedelta(days=9), old="Oslo"))
    settled = settle(triples)
    assert sorted(settled.stand) == ["0", "c"]
    assert settled.displaced == ["1"]


def test_many_values_that_stand_are_one_thought_with_all_tails() -> None:
    triples = said(("Ana", "allergy", "nuts"), ("Ana", "allergy", "soy"), ("Ana", "allergy", "milk"))
    (joined,) = settle(triples).merged
    assert joined.text == "Ana is allergic to nuts, soy and milk"
    assert joined.parts == ("0", "1", "2")
    assert settle(triples[:1]).merged == []


@pytest.mark.parametrize("seed", range(20))
def test_no_two_that_stand_contradict_and_merging_keeps_every_tail(seed: int) -> None:
    rng = random.Random(seed)
    lines = [
        (rng.choice(["Ana", "Bo"]), rng.choice(["home_city", "job", "allergy", "hobby", "hums"]), rng.choice("abcd"))
        for _ in range(40)
    ]
    triples = said(*lines, denied=tuple(rng.sample(range(40), 5)))
    settled = settle(triples)
    assert sorted([*settled.stand, *settled.displaced]) == sorted(one.id for one in triples)
    by_id = {one.id: one for one in triples}
    single = [(by_id[id].head, by_id[id].relation) for id in settled.stand
              if by_id[id].relation in ATTRIBUTES and not ATTRIBUTES[by_id[id].relation].many]  # fmt: skip
    assert len(single) == len(set(single))
    for joined in settled.merged:
        about = (by_id[joined.parts[0]].head, joined.relation)
        stand = [by_id[id] for id in settled.stand if not by_id[id].denied]
        tails = {one.tail for one in stand if (one.head, one.relation) == about}
        assert {by_id[id].tail for id in joined.parts} == tails
        assert all(tail in joined.text for tail in tails)
    again = settle([by_id[id] for id in settled.stand])
    assert sorted(again.stand) == sorted(settled.stand)


def test_conclusions_join_a_person_with_what_is_said_of_that_person() -> None:
    triples = said(
        ("Ana", "coach", "Bo"), ("Bo", "home_city", "Oslo"), ("Bo", "hobby", "chess"), ("Bo", "hobby", "rowing"),
        ("Bo", "friend", "Ana"), ("Oslo", "kind", "city"),
    )  # fmt: skip
    found = {one.text: one.parts for one in conclusions(triples)}
    assert found["Ana's coach Bo lives in Oslo"] == ("0", "1")
    assert found["Ana's coach Bo's hobby is chess and rowing"] == ("0", "2", "3")
    # What leads back to the head is left out.
    assert len(found) == 2


def test_thoughts_are_drawn_with_their_spans() -> None:
    text = "It rained. I moved to Bergen yesterday!"
    drawn = draw(Utterance("t", text, START, "Ana"))
    (home,) = [one for one in drawn if one.relation == "home_city"]
    assert (home.head, home.tail, home.denied) == ("Ana", "Bergen", False)
    assert "Bergen" in text[home.start : home.end]
    assert "Ana lives in Bergen" in home.text
    assert draw(Utterance("t", "Hm, well.", START, "Ana")) == []
    (ended,) = [one for one in draw(Utterance("t", "I quit my job.", START, "Ana")) if one.relation == "job"]
    assert ended.denied
    assert "quit" in ended.text


def test_sentences_that_say_more_than_their_thoughts_are_kept_beside_them() -> None:
    text = "It rained all day. My coach is Jakob. I moved to Bergen and now feed gulls at the fish market!"
    drawn = draw(Utterance("t", text, START, "Ana"))
    free, more = remainder(text, drawn, ANALYZER)
    assert [text[a:b] for a, b in free] == ["It rained all day."]
    assert [text[a:b] for a, b in more] == ["I moved to Bergen and now feed gulls at the fish market!"]
    assert remainder(text, [], ANALYZER)[1] == []


def test_what_concludes_nothing_is_idle() -> None:
    assert idle("Where is the red umbrella of the baker?", ANALYZER)
    assert idle("Noted!", ANALYZER)
    assert not idle("Thanks, Otto!", ANALYZER)
    assert not idle("The umbrella of the baker is red.", ANALYZER)
    assert meaning("the umbrella of the baker", ANALYZER) == 2


def test_words_around_thoughts() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert found_by("Ana works as a baker", "job") == "Ana works as a baker (job)"
    assert found_by("x", "") == "x"


@pytest.fixture
def table() -> BucketTable:
    vectors = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    vectors[7] = 0
    return BucketTable([f"v{i}" for i in range(200)], vectors, 8, seed=3)


def test_each_vector_lies_in_exactly_its_bucket(table: BucketTable) -> None:
    assert sorted(id for bucket in range(9) for id in table.bucket(bucket)) == sorted(table.ids)
    for row, id in enumerate(table.ids):
        expected = 8 if row == 7 else table.hash.bucket(table.vectors[row])
        assert table.bucket_of[id] == expected
        assert id in table.bucket(expected)


def test_near_looks_into_the_likeliest_buckets_until_it_saw_enough(table: BucketTable) -> None:
    query = table.vectors[0]
    order = table.hash.probes_naive(query.tolist(), 8)
    assert table.near(query, 1, 0).tolist() == [table.ids.index(id) for id in table.bucket(order[0])]
    two = {id for bucket in order[:2] for id in table.bucket(bucket)}
    assert {table.ids[row] for row in table.near(query, 2, 0)} == two
    assert {table.ids[row] for row in table.near(query, 1, len(table.bucket(order[0])) + 1)} == two
    assert table.near(query, 1, 1000).tolist() == list(range(200))
    assert table.near(np.zeros(16, np.float32), 1, 1).tolist() == [7]
    empty = BucketTable([], np.zeros((0, 16), np.float32), 4, 0)
    assert empty.near(query, 3, 10).tolist() == []

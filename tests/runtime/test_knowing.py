"""Profiles, time lines, lineages and the ledger: what is known, since when, and on which words it rests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from remanence.core.errors import InvalidInput, InvalidTime, NotFound
from remanence.core.scope import Scope
from remanence.kernels.claims.model import Claim
from remanence.runtime import changing, knowing
from remanence.runtime.arguments import Time, view_of
from remanence.runtime.enrichment import facts
from tests.runtime.knowledge import ANA, DAY, NOW, START, World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.engine.close(close_store=True)


def profile(world: World, subject: str | None = None, *, as_of: Time | None = None, known_at: Time | None = None,
            limit: int = 50) -> dict[str, Any]:  # fmt: skip
    return knowing.profile(world.engine, ANA, subject, view_of(world.engine.now(), as_of, known_at), limit)


def timeline(world: World, *, known_at: Time | None = None, **others: Any) -> dict[str, Any]:
    return knowing.timeline(world.engine, ANA, view_of(world.engine.now(), None, known_at), **others)


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["memory"] for row in rows]


TOLD = ("I live in Lisbon.", "I work as a baker.", "I love olives.", "I moved to Oslo.", "I was born in Porto.")


def test_a_profile_holds_what_is_true_now(world: World) -> None:
    ids = world.tell(*TOLD)
    found = profile(world)
    assert found["subject"] == "Ana"
    assert sorted(texts(found["current"])) == ["Ana lives in Oslo", "Ana works as a baker"]
    assert texts(found["preferences"]) == ["Ana likes olives"]
    assert texts(found["static"]) == ["Ana was born in Porto"]
    assert found["instructions"] == []
    (city,) = (row for row in found["current"] if row["attribute"] == "home_city")
    assert (city["value"], city["status"], city["until"], city["evidence"]) == ("Oslo", "held", None, 1)
    assert city["since"] == (START + 3 * DAY).isoformat()
    (source,) = city["sources"]
    assert source == {
        "id": ids[3], "start": 0, "end": 15, "text": "I moved to Oslo", "said_by": "Ana",
        "at": (START + 3 * DAY).isoformat(),
    }  # fmt: skip
    assert found["updated_at"] is not None


def test_a_profile_of_another_day_and_of_what_was_known_then(world: World) -> None:
    world.tell(*TOLD[:3])
    before = world.engine.now()
    world.say(TOLD[3], 3)
    world.work()
    assert "Ana lives in Lisbon" in texts(profile(world, as_of=START + 2 * DAY)["current"])
    assert "Ana lives in Oslo" in texts(profile(world)["current"])
    then = texts(profile(world, known_at=before)["current"])
    assert "Ana lives in Lisbon" in then
    assert "Ana lives in Oslo" not in then


def test_what_is_only_announced_is_in_no_profile(world: World) -> None:
    told, announced = world.tell("I live in Lisbon.", "Big plans!")
    plan = Claim("Ana", "home_city", "London", "change", 0, 10, valid_from=NOW + 30 * DAY)
    world.engine.write(facts.apply_claims(world.batch([announced]), {announced: [plan]}), ANA)
    assert texts(profile(world)["current"]) == ["Ana lives in Lisbon"]
    assert texts(profile(world, as_of=NOW + 31 * DAY)["current"]) == ["Ana lives in London"]
    assert told in str(profile(world)["current"])


def test_a_profile_of_somebody_else(world: World) -> None:
    world.tell("I live in Lisbon.", "My sister Rosa lives in Rome.")
    assert texts(profile(world, "rosa")["current"]) == ["Rosa lives in Rome"]
    assert texts(profile(world, "Nobody")["current"]) == []
    assert profile(world, "Nobody")["updated_at"] is None


def test_where_several_say_i_the_profile_is_everybodys(world: World) -> None:
    world.say("I live in Lisbon.", speaker="Bea")
    world.say("I live in Rome.", 1, speaker="Cem")
    world.work()
    found = profile(world)
    assert found["subject"] is None
    assert texts(found["current"]) == ["Bea lives in Lisbon", "Cem lives in Rome"]
    assert texts(profile(world, limit=1)["current"]) == ["Bea lives in Lisbon"]


def test_a_time_line_has_what_was_as_well(world: World) -> None:
    world.tell(*TOLD)
    found = timeline(world, attribute="home_city")
    assert [(row["value"], row["status"], row["since"], row["until"]) for row in found["results"]] == [
        ("Lisbon", "superseded", START.isoformat(), (START + 3 * DAY).isoformat()),
        ("Oslo", "held", (START + 3 * DAY).isoformat(), None),
    ]
    assert not found["more"]
    assert texts(timeline(world, since=START + 3.5 * DAY, attribute="home_city")["results"]) == ["Ana lives in Oslo"]
    assert texts(timeline(world, until=START + DAY / 2)["results"]) == ["Ana lives in Lisbon"]
    assert timeline(world, limit=2)["more"]
    assert timeline(world, subject="Nobody")["results"] == []


def test_a_time_line_as_it_was_known(world: World) -> None:
    world.tell("I live in Lisbon.")
    before = world.engine.now()
    world.say("I moved to Oslo.", 3)
    world.work()
    assert [(row["value"], row["until"]) for row in timeline(world, known_at=before)["results"]] == [("Lisbon", None)]
    assert len(timeline(world)["results"]) == 2


def test_what_nobody_dated_has_no_beginning(world: World) -> None:
    world.tell("I moved from Lisbon to Oslo.")
    first = timeline(world)["results"][0]
    assert (first["value"], first["since"], first["until"]) == ("Lisbon", None, START.isoformat())


def test_retracted_and_deleted_facts_are_in_no_time_line(world: World) -> None:
    world.tell("I live in Lisbon.", "I work as a baker.", "Sorry, I meant pilot, not baker.")
    world.delete(world.fact("Ana lives in Lisbon").record.id)
    assert texts(timeline(world)["results"]) == ["Ana works as a pilot"]


def test_the_lineage_of_a_fact(world: World) -> None:
    ids = world.tell("I live in Lisbon.")
    world.say("I moved to Oslo.", 3)
    world.work()
    world.say("I moved to Rome.", 5)
    world.work()
    oslo = world.fact("Ana lives in Oslo").record
    world.conclude("Ana owns a sledge", oslo.id, day=4)
    found = knowing.explain(world.engine, oslo.id, ANA)
    assert found["memory"]["memory"] == "Ana lives in Oslo"
    assert found["origin"] == "derived:facts"
    assert [(row["text"], row["said_by"], row["kind"]) for row in found["sources"]] == [
        ("I moved to Oslo", "Ana", "turn")
    ]
    assert texts(found["supersedes"]) == ["Ana lives in Lisbon"]
    assert texts(found["superseded_by"]) == ["Ana lives in Rome"]
    assert texts(found["dependents"]) == ["Ana owns a sledge"]
    assert [(row["event"], row["actor"], row["why"]) for row in found["changes"]] == [
        ("ADD", "worker", "enrich"),
        ("UPDATE", "worker", "enrich"),
    ]
    rome = knowing.explain(world.engine, world.fact("Ana lives in Rome").record.id, ANA)
    assert texts(rome["supersedes"]) == ["Ana lives in Oslo", "Ana lives in Lisbon"]
    assert ids[0] in str(knowing.explain(world.engine, world.fact("Ana lives in Lisbon").record.id, ANA)["sources"])


def test_the_lineage_of_a_turn_and_of_a_conclusion(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    first = world.conclude("Ana can surf after work", world.fact("Ana lives in Lisbon").record.id, day=1)
    second = world.conclude("Ana owns a wetsuit", first, day=2)
    world.work()
    moved = world.say("I moved to London.", 5)
    world.work()
    found = knowing.explain(world.engine, turn, ANA)
    (fact,) = found["derived"]
    assert fact["memory"] == "Ana lives in Lisbon"
    assert fact["resting"][0]["memory"] == "Ana can surf after work"
    assert fact["resting"][0]["resting"][0]["memory"] == "Ana owns a wetsuit"
    assert texts(knowing.explain(world.engine, moved, ANA)["ended"]) == ["Ana lives in Lisbon"]
    lineage = knowing.explain(world.engine, second, ANA)
    assert lineage["status"] == "stale"
    assert texts(lineage["stale_because"]) == ["Ana can surf after work"]
    assert lineage["sources"][0]["sources"][0]["text"] == "Ana lives in Lisbon"
    assert lineage["sources"][0]["sources"][0]["sources"][0]["text"] == "I live in Lisbon"


def test_the_lineage_of_what_was_deleted_or_erased(world: World) -> None:
    one, other = world.tell("The weather was nice.", "The sea was calm.")
    both = world.conclude("Ana went sailing", one, other, day=2)
    changing.delete(world.engine, one, ANA, at=None, expected_version=None)
    found = knowing.explain(world.engine, one, ANA)
    assert found["deleted"]
    assert found["status"] == "deleted"
    assert [row["event"] for row in found["changes"]] == ["ADD", "DELETE"]
    assert [row["deleted"] for row in knowing.explain(world.engine, both, ANA)["sources"]] == [True, False]
    world.erase(one)
    assert [row["id"] for row in knowing.explain(world.engine, both, ANA)["sources"]] == [other]
    with pytest.raises(NotFound, match=one):
        knowing.explain(world.engine, one, ANA)


def test_nobody_explains_the_memories_of_others(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    with pytest.raises(NotFound):
        knowing.explain(world.engine, turn, Scope(user_id="Bea"))
    assert knowing.ledger(world.engine, Scope(user_id="Bea"), view_of(world.engine.now(), None, None)) == ([], ())


@pytest.mark.parametrize("bad", [5, "", "  ", ["Ana"]])
def test_what_is_no_name_is_refused(world: World, bad: Any) -> None:
    with pytest.raises(InvalidInput):
        profile(world, bad)
    with pytest.raises(InvalidInput):
        timeline(world, subject=bad)
    with pytest.raises(InvalidInput):
        timeline(world, attribute=bad)
    with pytest.raises((InvalidInput, NotFound)):
        knowing.explain(world.engine, bad, ANA)


def test_times_that_are_none_are_refused(world: World) -> None:
    with pytest.raises(InvalidTime):
        timeline(world, since="yesterday-ish")
    with pytest.raises(InvalidInput, match="not after"):
        timeline(world, since="2026-02-01", until="2026-01-01")


def test_the_ledger_follows_what_is_known(world: World) -> None:
    ids = world.tell("I live in Lisbon.", "I work as a baker.")
    before = world.engine.now()
    moved = world.say("I moved to Oslo.", 3)
    world.work()
    found, me = knowing.ledger(world.engine, ANA, view_of(world.engine.now(), None, None))
    assert me == ("Ana",)
    by_value = {one.value: one for one in found}
    lisbon = by_value["Lisbon"]
    assert (lisbon.status, lisbon.valid_to, lisbon.sources, lisbon.ended_by) == (
        "superseded", START + 3 * DAY, (ids[0],), moved
    )  # fmt: skip
    assert lisbon.order < by_value["Oslo"].order
    then, _ = knowing.ledger(world.engine, ANA, view_of(world.engine.now(), None, before))
    assert {(one.value, one.status) for one in then} == {("Lisbon", "held"), ("baker", "held")}
    assert knowing.known(world.newest(ids[0])) is None
    gone = world.fact("Ana works as a baker").record.id
    world.delete(gone)
    assert knowing.known(world.newest(gone)) is None
    assert len(knowing.ledger(world.engine, ANA, view_of(world.engine.now(), None, None))[0]) == 2


def test_what_was_never_true_is_known_as_such(world: World) -> None:
    world.tell("I live in Lisbon.", "Sorry, I meant Madrid, not Lisbon.")
    found, _ = knowing.ledger(world.engine, ANA, view_of(world.engine.now(), None, None))
    assert {(one.value, one.status, one.valid_to == one.valid_from) for one in found} == {
        ("Lisbon", "retracted", True),
        ("Madrid", "held", False),
    }

"""Facts from turns: superseding, undoing, users' decisions, erasure, and the same result whatever the jobs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remanence.core.scope import Scope
from remanence.kernels.claims.model import Act, Claim
from remanence.runtime import working
from remanence.runtime.changing import as_draft
from remanence.runtime.enrichment import dependents, facts
from remanence.scenarios.dialogues import generate
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.operations import Link, Put, Revise, Touch
from tests.runtime.knowledge import ANA, DAY, NOW, START, World, shown


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.engine.close(close_store=True)


def test_a_new_value_closes_the_old_one_and_overwrites_nothing(world: World) -> None:
    world.tell("I live in Lisbon.")
    world.say("I moved to Oslo.", 1)
    world.work()
    assert world.rows() == [("Ana lives in Lisbon", 1, "superseded"), ("Ana lives in Oslo", None, "held")]
    assert world.supersedes() == {("Ana lives in Oslo", "Ana lives in Lisbon")}
    assert world.current() == ["Ana lives in Oslo"]
    assert world.current(START + DAY / 2) == ["Ana lives in Lisbon"]
    old = world.versions(world.fact("Ana lives in Lisbon").record.id)
    assert [(one.text, one.valid_to) for one in old] == [
        ("Ana lives in Lisbon", None),
        ("Ana lives in Lisbon", START + DAY),
    ]


def test_every_fact_quotes_the_words_it_rests_on(world: World) -> None:
    world.tell("I live in Lisbon.", "I work as a baker.", "I am allergic to peanuts.")
    found = world.facts()
    assert len(found) == 3
    for fact in found:
        assert fact.record.sources
        assert fact.record.origin == "derived:facts"
        for source in fact.record.sources:
            assert fact.value in world.newest(source.id).text[source.start : source.end]


def test_what_is_said_again_is_evidence_for_the_same_fact(world: World) -> None:
    world.tell("I live in Lisbon.", "I live in Lisbon.")
    (fact,) = world.facts()
    assert fact.record.meta["evidence"] == 2
    assert fact.record.meta["confidence"] > fact.said[0].claim.confidence
    assert len(fact.record.sources) == 2
    assert fact.record.event_at == START


def test_working_on_the_same_turns_again_writes_nothing(world: World) -> None:
    ids = world.tell("I live in Lisbon.", "I moved to Oslo.", "Sorry, I meant Bergen, not Oslo.", "I love olives.")
    position = world.engine.store.position()
    for again in (ids, ids[1:2], list(reversed(ids))):
        assert world.derive(again) == []
    assert world.engine.store.position() == position


def test_a_correction_takes_the_slip_back(world: World) -> None:
    world.tell("I live in Lisbon.", "I moved to Oslo.", "Sorry, I meant Bergen, not Oslo.")
    assert [row[0] for row in world.rows()] == ["Ana lives in Lisbon", "Ana lives in Bergen"]
    slip = next(fact for fact in world.facts() if not fact.open)
    assert slip.record.meta["status"] == "retracted"
    assert slip.retracted
    assert not slip.deleted
    assert world.current(START + DAY * 1.5) == ["Ana lives in Bergen"]


def test_facts_of_several_runs_meet_in_their_home(world: World) -> None:
    first, second = (Scope(user_id="Ana", run_id=run) for run in ("monday", "tuesday"))
    world.tell("I live in Lisbon.", scope=first)
    world.say("I moved to Oslo.", 2, scope=second)
    other = Scope(user_id="Ana", agent_id="tutor")
    world.say("I live in Rome.", 3, scope=other)
    world.work()
    by_text = {fact.record.text: fact.record for fact in world.facts()}
    assert by_text["Ana lives in Lisbon"].meta["status"] == "superseded"
    assert by_text["Ana lives in Lisbon"].scope == first
    assert by_text["Ana lives in Oslo"].scope == second
    assert by_text["Ana lives in Oslo"].meta["status"] == by_text["Ana lives in Rome"].meta["status"] == "held"
    world.say("I moved to Bergen.", 4, scope=first)
    world.work()
    assert world.current() == ["Ana lives in Bergen", "Ana lives in Rome"]


def test_a_deleted_turn_takes_its_facts_along_and_reopens_what_they_closed(world: World) -> None:
    _, moved = world.tell("I live in Lisbon.", "I moved to Oslo.")
    change = world.delete(moved)
    assert world.rows() == [("Ana lives in Lisbon", None, "held")]
    assert world.supersedes() == set()
    world.undo(change, moved)
    assert world.rows() == [("Ana lives in Lisbon", 1, "superseded"), ("Ana lives in Oslo", None, "held")]


def test_a_turn_with_other_words_has_other_facts(world: World) -> None:
    _, moved = world.tell("I live in Lisbon.", "I moved to Oslo.")
    world.update(moved, "I moved to Rome.", correction=True)
    assert world.rows() == [("Ana lives in Lisbon", 1, "superseded"), ("Ana lives in Rome", None, "held")]


@pytest.mark.parametrize("which", [0, 1])
def test_an_erased_turn_leaves_nothing_and_what_it_ended_goes_on(world: World, which: int) -> None:
    ids = world.tell("I live in Lisbon.", "I moved to Oslo.")
    receipt = world.erase(ids[which])
    assert len(receipt.derived) == 1
    assert world.rows() == [("Ana lives in Lisbon" if which else "Ana lives in Oslo", None, "held")]
    left = [version.text for fact in world.facts() for version in world.versions(fact.record.id)]
    assert not any(("Lisbon", "Oslo")[which] in text for text in left)


def test_an_erased_witness_is_one_less(world: World) -> None:
    ids = world.tell("I live in Lisbon.", "I live in Lisbon.")
    world.erase(ids[0])
    (fact,) = (fact for fact in world.facts() if fact.open)
    assert fact.record.meta["evidence"] == 1
    assert [row[0] for row in fact.record.meta["said"]] == ids[1:]
    assert fact.record.valid_from == START + DAY
    assert world.current(START + DAY / 2) == []


def test_what_a_user_deleted_never_comes_back(world: World) -> None:
    ids = world.tell("I live in Lisbon.", "I moved to Oslo.")
    gone = world.fact("Ana lives in Oslo").record.id
    world.delete(gone)
    assert world.derive(ids) == []
    world.say("I work as a baker.", 2)
    world.work()
    assert world.current() == ["Ana works as a baker"]
    world.say("I live in Oslo.", 3)
    world.work()
    assert world.current() == ["Ana lives in Oslo", "Ana works as a baker"]
    assert world.fact("Ana lives in Oslo").record.id != gone
    assert world.newest(gone).closed_at is not None
    assert world.derive(ids) == []


def test_an_older_turn_that_comes_in_late_does_not_bring_it_back_either(world: World) -> None:
    waiting = world.say("I live in Oslo.", 5)
    first = world.say("I live in Oslo.")
    world.derive([first])
    world.delete(world.fact("Ana lives in Oslo").record.id)
    assert world.derive([waiting]) == []


def test_a_users_own_words_win_over_what_was_said_before(world: World) -> None:
    ids = world.tell("I live in Lisbon.", "I moved to Oslo.")
    fact = world.fact("Ana lives in Oslo").record
    world.update(fact.id, "Ana lives in Trondheim")
    assert world.current() == ["Ana lives in Trondheim"]
    assert world.newest(fact.id).meta["value"] == "Trondheim"
    assert not world.newest(fact.id).derived
    assert world.derive(ids) == []
    world.clock.current += 10 * DAY
    world.say("I live in Trondheim.", 103)
    world.work()
    assert world.newest(fact.id).meta["evidence"] == 2
    world.say("I moved to Hamar.", 104)
    world.work()
    assert world.current() == ["Ana lives in Hamar"]
    edited = world.newest(fact.id)
    assert (edited.text, edited.meta["status"], edited.valid_to) == (
        "Ana lives in Trondheim", "superseded", START + 104 * DAY
    )  # fmt: skip
    assert world.derive(ids) == []


def test_times_that_a_user_sets_stay(world: World) -> None:
    ids = world.tell("I live in Lisbon.")
    fact = world.fact("Ana lives in Lisbon").record
    world.update(fact.id, valid_from="2020-05-01", correction=True)
    assert world.derive(ids) == []
    assert world.newest(fact.id).valid_from.year == 2020
    assert world.current() == ["Ana lives in Lisbon"]


def test_what_may_not_be_believed_claims_nothing(world: World) -> None:
    world.say("I live in Lisbon.", trust=0.0)
    world.say("I live in Oslo.", 1, trust=0.4)
    world.work()
    assert world.rows() == [("Ana lives in Oslo", None, "held")]
    assert world.facts()[0].record.trust == 0.4
    assert world.derive([world.say("I live in Rome.", 2, trust=0.0)]) == []


@pytest.mark.parametrize("kind", ["document", "conclusion"])
def test_what_nobody_says_claims_nothing(world: World, kind: str) -> None:
    world.say("I live in Lisbon.", kind=kind)
    world.work()
    assert world.facts() == []


def test_other_languages_and_odd_texts_claim_nothing_wrong(world: World) -> None:
    world.tell("Ich wohne in Köln.", "我住在北京。", "?!", "\u202e", "a" * 5000, "J'habite à Lyon depuis 2019.")
    assert world.facts() == []


def test_echoes_are_no_news(world: World) -> None:
    world.say("I live in Lisbon.")
    world.say("I live in Lisbon near the old harbour.")
    world.say("I live in Lisbon near the old harbour. I work as a baker.", 1, role="assistant", speaker="Ana")
    world.work()
    evidence = {fact.record.text: fact.record.meta["evidence"] for fact in world.facts()}
    assert evidence == {"Ana lives in Lisbon": 2, "Ana works as a baker": 1}


def test_claims_can_be_replaced_by_better_ones(world: World) -> None:
    (id,) = world.tell("I live in Lisbon.")
    fact = world.fact("Ana lives in Lisbon").record
    better = Claim("Ana", "home_city", "Lisbon, Portugal", "state", 0, 17, confidence=0.95)
    operations = facts.apply_claims(world.batch([id]), {id: [better]}, by="llm")
    assert [type(one) for one in operations] == [Revise]
    world.engine.write(operations, ANA)
    assert world.newest(fact.id).text == "Ana lives in Lisbon, Portugal"
    assert facts.apply_claims(world.batch([id]), {id: [better]}, by="llm") == []
    world.engine.write(facts.apply_claims(world.batch([id]), {id: []}), ANA)
    assert world.rows() == []


def test_another_claim_in_other_words_is_another_fact(world: World) -> None:
    id = world.say("I love olives. I love jazz.")
    olives, jazz = (
        Claim("Ana", "likes", value, "state", *at) for value, at in (("olives", (0, 13)), ("jazz", (15, 26)))
    )
    world.engine.write(facts.apply_claims(world.batch([id]), {id: [olives]}), ANA)
    before = world.fact("Ana likes olives").record.id
    world.engine.write(facts.apply_claims(world.batch([id]), {id: [jazz]}), ANA)
    assert world.fact("Ana likes jazz").record.id != before
    assert world.newest(before).closed_at is not None


def test_likes_become_dislikes(world: World) -> None:
    world.tell("I love olives.", "I hate olives.")
    assert world.rows() == [("Ana likes olives", 1, "superseded"), ("Ana dislikes olives", None, "held")]


def test_an_end_that_arrives_first_is_remembered(world: World) -> None:
    claims = [Claim("Ana", "job", "", "end", 0, 10), Claim("Ana", "job", "baker", "state", 0, 10)]
    first, second = world.say("I work as a baker.", 0), world.say("I quit my job.", 3)
    world.engine.write(facts.apply_claims(world.batch([second]), {second: [claims[0]]}), ANA)
    assert [row[2] for row in world.rows()] == ["held"]
    world.engine.write(facts.apply_claims(world.batch([first]), {first: [claims[1]]}), ANA)
    assert world.rows() == [("Ana works as a baker", 3, "ended")]
    assert world.facts()[0].record.sources[0].id == first


def test_what_is_said_every_day_does_not_grow_without_end(world: World) -> None:
    ids = [world.say("I love olives.", day / 10) for day in range(facts.MOST_CLAIMS + 20)]
    for id in ids:
        world.derive([id])
    (fact,) = world.facts()
    kept = [row[0] for row in fact.record.meta["said"]]
    assert len(kept) == len(fact.record.sources) == facts.MOST_CLAIMS
    assert (kept[0], kept[-1]) == (ids[0], ids[-1])
    assert world.derive(ids) == []
    assert world.derive(ids[40:44]) == []


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "1899-12-31"])
def test_the_ends_of_the_calendar(world: World, stamp: str) -> None:
    for text in ("I live in Rome.", "I moved from Lisbon to Oslo.", "I quit my job.", "I no longer play the cello."):
        world.say(text, timestamp=stamp)
        world.work()
    assert {"Ana lives in Oslo"} <= {fact.record.text for fact in world.facts() if fact.open}


def test_claims_that_cannot_be_are_not_kept(world: World) -> None:
    id = world.say("I live in Lisbon.")
    odd = [
        Claim("Ana", "home_city", "Oslo", "state", 0, 5, valid_from=START + DAY, valid_to=START),
        Claim("Ana", "home_city", "x" * (facts.LONGEST + 1), "state", 6, 9),
        Claim("Ana", "", "nobody knows", "end", 6, 9),
        Claim("", "plays_in", "a band", "state", 0, 5),
        Claim("Ana", "job", "nurse", "end", 0, 5, valid_from=START + DAY, valid_to=START),
    ]
    world.engine.write(facts.apply_claims(world.batch([id]), {id: odd}), ANA)
    assert sorted((fact.value, fact.record.meta["status"]) for fact in world.facts()) == [
        ("Oslo", "held"),
        ("a band", "held"),
        ("nurse", "ended"),
    ]
    assert facts.apply_claims(world.batch([id]), {id: odd, "01ARZ3NDEKTSV4RRFFQ69G5FAV": odd}) == []


def test_an_end_of_everything_is_over_with_the_next_value(world: World) -> None:
    ids = [world.say(text, day) for day, text in enumerate(("None any more.", "Chess again."))]
    told = [Claim("Ana", "hobby", "", "end", 0, 5), Claim("Ana", "hobby", "chess", "state", 0, 5)]
    for id, claim in zip(ids, told, strict=True):
        world.engine.write(facts.apply_claims(world.batch([id]), {id: [claim]}), ANA)
    assert [row[2] for row in world.rows()] == ["superseded", "held"]


def test_trust_follows_that_of_the_turns(world: World) -> None:
    ids = [world.say("I live in Lisbon.", day, trust=0.4) for day in range(2)]
    world.work()
    fact = world.fact("Ana lives in Lisbon").record.id
    for id, trust in zip(ids, (0.4, 1.0), strict=True):
        world.engine.write([Revise(id, replace(as_draft(world.newest(id)), trust=1.0))], ANA)
        world.follow(id)
        assert world.newest(fact).trust == trust


def test_the_number_of_writes_is_the_number_of_changes(world: World) -> None:
    world.tell("I live in Lisbon.", "I work as a baker.")
    id = world.say("I moved to Oslo.", 4)
    operations = world.derive([id])
    assert [type(one) for one in operations] == [Revise, Put, Link]


SENTENCES = (
    "I live in Lisbon.", "I moved to Oslo.", "I live in Lisbon.", "Sorry, I meant Bergen, not Oslo.",
    "I love olives.", "I hate olives.", "I work as a baker.", "I quit my job.", "I am allergic to peanuts.",
    "I moved to Rome two days ago.", "I work as a pilot.", "I play the cello.", "I sold the cello.",
)  # fmt: skip


def cut(world: World, ids: list[str], rng: random.Random, *, shuffled: bool) -> None:
    """Work on turns in portions of random size."""
    portions: list[list[str]] = []
    while ids:
        size = rng.randint(1, 4)
        portions.append(ids[:size])
        ids = ids[size:]
    if shuffled:
        rng.shuffle(portions)
    for portion in portions:
        world.derive(portion)


def told(sentences: tuple[str, ...]) -> tuple[World, list[str]]:
    world = World()
    return world, [world.say(text, day) for day, text in enumerate(sentences)]


@pytest.mark.parametrize("seed", range(8))
def test_jobs_may_be_cut_and_come_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    # What a correction is about is looked up among what was worked out before, or in the turns just before it.
    sentences = tuple(text for text in rng.sample(SENTENCES, 9) if not text.startswith("Sorry"))
    one, ids = told(sentences)
    one.derive(ids)
    other, same = told(sentences)
    cut(other, same, rng, shuffled=True)
    assert shown(other) == shown(one)
    assert one.derive(ids) == []
    assert other.derive(same) == []


@pytest.mark.parametrize("seed", range(4))
def test_jobs_may_be_cut(seed: int) -> None:
    rng = random.Random(seed)
    sentences = tuple(rng.sample(SENTENCES, 12))
    one, ids = told(sentences)
    one.derive(ids)
    other, same = told(sentences)
    cut(other, same, rng, shuffled=False)
    assert shown(other) == shown(one)


@pytest.mark.parametrize("seed", range(12))
def test_looking_at_the_values_spoken_of_is_enough(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    spoken: dict[int, list[Claim]] = {}
    for day in range(24):
        act: Act = rng.choice(("state", "state", "state", "change", "end", "correct"))
        value = rng.choice(("olives", "jazz", "rain", "tea", "")) if act in ("end", "correct") else rng.choice(
            ("olives", "jazz", "rain", "tea")
        )  # fmt: skip
        old = rng.choice((None, "olives", "jazz")) if act in ("change", "correct") else None
        key = rng.choice(("likes", "dislikes"))
        spoken[day] = [Claim("Ana", key, value, act, 0, 5, act != "state" or rng.random() < 0.8, None, None, old)]
    worlds = []
    order = rng.sample(range(24), 24)
    again = rng.sample(range(24), 6)
    for whole in (True, False):
        world = World()
        if whole:
            monkeypatch.setattr(facts, "_concerned", lambda found, *rest: found)
        else:
            monkeypatch.undo()
        ids = [world.say(f"What I like, part {day}.", day) for day in range(24)]
        for day in (*order, *again):
            operations = facts.apply_claims(world.batch([ids[day]]), {ids[day]: spoken[day]})
            world.engine.write(operations or [Touch((), NOW)], ANA)
        for day in again[:3]:
            operations = facts.apply_claims(world.batch([ids[day]]), {ids[day]: []})
            world.engine.write(operations or [Touch((), NOW)], ANA)
        worlds.append(shown(world))
    assert worlds[0] == worlds[1]


@pytest.mark.parametrize("hardness", ["medium", "hard"])
def test_generated_dialogues_come_out_the_same_however_they_are_cut(hardness: Any) -> None:
    dialogue = generate(11, sessions=3, people=3, hardness=hardness)
    worlds = []
    for seed in (None, 1):
        world = World()
        ids = []
        for turn in dialogue.turns:
            scope = Scope(user_id="Ana", run_id=turn.session)
            day = (turn.at - START) / DAY
            ids.append((turn.session, world.say(turn.text, day, scope=scope, speaker=turn.speaker)))
        for session in dict.fromkeys(name for name, _ in ids):
            own = [id for name, id in ids if name == session]
            if seed is None:
                world.derive(own)
            else:
                cut(world, own, random.Random(seed), shuffled=False)
        worlds.append(world)
    assert shown(worlds[0]) == shown(worlds[1])
    assert len(worlds[0].facts()) > 10


def test_the_same_over_sqlite(tmp_path: Path) -> None:
    world = World()
    other = World(SqliteStore(tmp_path / "facts.db", clock=world.clock))
    for each in (world, other):
        ids = each.tell(*SENTENCES)
        each.delete(ids[1])
        each.erase(ids[4])
    assert shown(world) == shown(other)
    other.engine.close(close_store=True)


def test_a_wrong_order_of_handlers_is_refused() -> None:
    world = World()
    shift = working.Shift(world.engine, handlers=[dependents.HANDLER, facts.HANDLER], laters={})
    assert shift.waiting() == []
    assert dependents.HANDLER.after == ("facts",)

"""Sleep: each step does what it says, twice is once, a dry run tells exactly that, and undo takes it back."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.runtime.changing import undo
from remanence.runtime.memory import Memory
from remanence.runtime.sleeping import activate, archive, freeze, sleep, unfreeze
from tests.runtime.facts_by_hand import engine_of, fact, only_id, records

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
ANA = Scope(user_id="ana")


@pytest.fixture
def memory(make: Callable[..., Memory]) -> Memory:
    return make(background=False, embedder="hash")


def add(memory: Memory, text: str, **options: Any) -> str:
    return only_id(memory.add(text, **{"user_id": "ana", **options}))


def run(memory: Memory, **options: Any) -> dict[str, Any]:
    return sleep(engine_of(memory), ANA, **{"forget": "archive", **options})


def rows(report: dict[str, Any], step: str) -> list[dict[str, Any]]:
    (found,) = [one["rows"] for one in report["steps"] if one["step"] == step]
    return list(found)


def change(report: dict[str, Any], step: str) -> Any:
    (found,) = [one["change"] for one in report["steps"] if one["step"] == step]
    return found


def states(memory: Memory) -> dict[str, tuple[str, dict[str, Any]]]:
    return {id: (record.state, dict(record.meta)) for id, record in records(memory).items()}


def found(memory: Memory, query: str, **options: Any) -> set[str]:
    return {row["id"] for row in memory.search(query, user_id="ana", **options)["results"]}


# Merging


def test_repetitions_become_one(memory: Memory) -> None:
    first = add(memory, "I am allergic to peanuts", session_id="monday")
    again = add(memory, "By the way, I'm allergic to peanuts!", session_id="friday")
    exact = add(memory, "I am allergic to peanuts")
    other = add(memory, "I am allergic to pollen")
    report = run(memory)
    assert [(row["id"], row["into"], row["why"]) for row in rows(report, "merge")] == [
        (again, first, "the same but for its form"),
        (exact, first, "the same words"),
    ]
    assert report["duplicates"] == {"before": 0.5, "after": 0.0, "memories": 4}
    there = records(memory)
    assert {id: there[id].state for id in (first, again, exact, other)} == {
        first: "generated", again: "merged", exact: "merged", other: "generated",
    }  # fmt: skip
    assert there[first].meta == {"evidence": 3}
    assert there[again].text == "By the way, I'm allergic to peanuts!"
    assert found(memory, "allergic to peanuts") == {first, other}
    assert found(memory, "allergic to peanuts", filters={"state": "merged"}) == {again, exact}


def test_a_merge_is_one_change_and_can_be_undone(memory: Memory) -> None:
    add(memory, "I am allergic to peanuts")
    add(memory, "I am allergic to peanuts")
    before = states(memory)
    report = run(memory)
    assert states(memory) != before
    undo(engine_of(memory), change(report, "merge"), ANA)
    assert states(memory) == before
    assert run(memory)["duplicates"] == {"before": 0.5, "after": 0.0, "memories": 2}


def test_twice_is_once(memory: Memory) -> None:
    for text in ["standup is at 9:00", "standup is at 9:30", "standup is at 9:00", "Standup is at 9:00."] * 2:
        add(memory, text, session_id="work")
    run(memory)
    before, position = states(memory), memory.store.position()
    report = run(memory)
    assert [step["count"] for step in report["steps"]] == [0] * len(report["steps"])
    assert {step["change"] for step in report["steps"]} == {None}
    assert (states(memory), memory.store.position()) == (before, position)


def test_evidence_adds_up_over_nights(memory: Memory) -> None:
    first = add(memory, "I am allergic to peanuts")
    for _ in range(3):
        add(memory, "I am allergic to peanuts")
        run(memory)
    assert records(memory)[first].meta == {"evidence": 4}


@pytest.mark.parametrize(
    "other",
    [
        {"text": "I live in Oslo with Bo", "role": "assistant"},
        {"text": "I live in Oslo with Bo", "speaker": "Bo"},
        {"text": "I live in Oslo with Bo", "kind": "note"},
        {"text": "I live in Oslo with Bo", "agent_id": "desk"},
        {"text": "I live in Oslo with Bo", "metadata": {"ttl": "9d"}},
        {"text": "I live in Oslo with Bo", "valid_to": "2027-01-01"},
        {"text": "I don't live in Oslo with Bo"},
        {"text": "I live in Oslo with Cy"},
    ],
)
def test_what_is_no_repetition_stays(memory: Memory, other: dict[str, Any]) -> None:
    add(memory, "I live in Oslo with Bo")
    add(memory, **other)
    assert rows(run(memory), "merge") == []


def test_replies_stay_where_they_answer(memory: Memory) -> None:
    for question in ("Do you take milk?", "Are you allergic to nuts?"):
        add(memory, question, role="assistant", session_id="one")
        add(memory, "Yes, I do", session_id="one")
    assert rows(run(memory), "merge") == []
    add(memory, "Yes, I do", session_id="one")
    assert len(rows(run(memory), "merge")) == 1


def test_sessions_may_be_kept_apart(memory: Memory) -> None:
    add(memory, "I am allergic to peanuts", session_id="monday")
    add(memory, "I am allergic to peanuts", session_id="friday")
    assert rows(run(memory, across_runs=False), "merge") == []
    assert len(rows(run(memory), "merge")) == 1


def test_facts_tell_repetition_from_return(memory: Memory) -> None:
    texts = ["I live in Oslo these days", "I live in Bergen these days", "I live in Oslo these days"]
    first, between, last = (add(memory, text) for text in texts)
    words = "I live in Oslo these days"
    fact(memory, "Ana", "home_city", "Oslo", [(first, words)], status="superseded")
    fact(memory, "Ana", "home_city", "Bergen", [(between, texts[1])], status="superseded")
    fact(memory, "Ana", "home_city", "Oslo", [(last, words)])
    assert rows(run(memory), "merge") == []


def test_the_same_fact_in_other_words(memory: Memory) -> None:
    first = add(memory, "I live in Oslo, not far from the harbour")
    again = add(memory, "Well, my home is Oslo")
    more = add(memory, "My home is Oslo and my desk is green")
    dated = add(memory, "Oslo has been my home since May 2020")
    said = [(first, "I live in Oslo"), (again, "my home is Oslo"), (more, "My home is Oslo")]
    fact(memory, "Ana", "home_city", "Oslo", said)
    fact(memory, "Ana", "hometown", "Oslo", [(dated, "Oslo has been my home since May 2020")], since="2020-05-01")
    assert [(row["id"], row["into"], row["why"]) for row in rows(run(memory), "merge")] == [
        (again, first, "the same claim")
    ]


def test_an_end_does_not_repeat_what_it_ends(memory: Memory) -> None:
    first, over = add(memory, "I live in Oslo by the sea"), add(memory, "Oslo is over for me")
    engine = engine_of(memory)
    id = fact(memory, "Ana", "home_city", "Oslo", [(first, "I live in Oslo by the sea"), (over, "Oslo is over for me")])
    record = records(memory)[id]
    said = [list(row) for row in record.meta["said"]]
    said[1][3] = "end"
    from remanence.runtime.hygiene import Rewrite, rewrite

    rewrite(engine, ANA, [Rewrite(record, {"meta": {**record.meta, "said": said}})], why="test")
    assert rows(run(memory), "merge") == []


# Ends and fading


def test_what_has_an_end_expires(memory: Memory, clock: SteppingClock) -> None:
    short = add(memory, "The code for the door is 1234", metadata={"ttl": 3600})
    weeks = add(memory, "The bike is at the repair shop", metadata={"ttl": "2w"})
    dated = add(memory, "The sale ends soon", metadata={"expires_at": "2026-03-02"})
    bad = add(memory, "Something odd", metadata={"ttl": "soon"})
    assert rows(run(memory), "expire") == []
    clock.current += 1.5 * DAY
    report = run(memory)
    assert [row["id"] for row in rows(report, "expire")] == [short, dated]
    assert [row["id"] for row in report["unread"]] == [bad]
    assert "soon" in report["unread"][0]["reason"]
    assert found(memory, "code for the door") == {weeks, bad}
    assert found(memory, "code for the door", filters={"state": "expired"}) >= {short}
    undo(engine_of(memory), change(report, "expire"), ANA)
    assert short in found(memory, "code for the door")


def test_a_ttl_counts_from_when_it_was_stored(memory: Memory) -> None:
    add(memory, "An old letter", timestamp="2001-01-01", metadata={"ttl": "30d"})
    assert rows(run(memory), "expire") == []


@pytest.mark.parametrize("ttl", [-1, True, "", "x", "-3d", float("1e300"), [], {"days": 1}])
def test_a_ttl_that_is_none_is_told(memory: Memory, ttl: object) -> None:
    add(memory, "Something odd", metadata={"ttl": ttl})
    assert len(run(memory)["unread"]) == 1


def test_what_nobody_asks_for_is_archived(memory: Memory, clock: SteppingClock) -> None:
    used = add(memory, "The bakery at the corner opens at six")
    idle = add(memory, "There was a rainbow over the fjord")
    note = add(memory, "Buy a new tent", kind="note")
    for _ in range(3):
        memory.search("bakery at the corner", user_id="ana", limit=1)
    clock.current += 69 * DAY
    assert rows(run(memory), "archive") == []
    clock.current += DAY
    report = run(memory)
    assert [row["id"] for row in rows(report, "archive")] == [idle]
    (row,) = rows(report, "archive")
    assert (row["strength"], round(row["days"])) == (1, 70)
    assert 0.09 < row["retention"] < 0.1
    assert found(memory, "rainbow over the fjord") == {used, note}
    assert found(memory, "rainbow over the fjord", filters={"state": "archived"}) == {idle}
    undo(engine_of(memory), change(report, "archive"), ANA)
    assert idle in found(memory, "rainbow over the fjord")


def test_each_use_makes_it_last_longer(memory: Memory, clock: SteppingClock) -> None:
    used = add(memory, "The bakery at the corner opens at six")
    for _ in range(3):
        memory.search("bakery at the corner", user_id="ana", limit=1)
    lasting = []
    for days in range(60, 400, 10):
        clock.current = START + days * DAY
        report = run(memory, dry_run=True)
        lasting += [days] if not rows(report, "archive") else []
    # Strength 1 lasts 69 days, and three uses make it 4.
    assert max(lasting) == 270
    assert records(memory)[used].hits == 3


def test_what_something_rests_on_is_kept(memory: Memory, clock: SteppingClock) -> None:
    held = add(memory, "I live in Oslo by the sea")
    old = add(memory, "I lived in Rome as a child")
    free = add(memory, "There was a rainbow over the fjord")
    rule = add(memory, "Always answer me in short sentences")
    fact(memory, "Ana", "home_city", "Oslo", [(held, "I live in Oslo")])
    fact(memory, "Ana", "home_city", "Rome", [(old, "I lived in Rome")], status="superseded")
    fact(memory, "Ana", "wish", "short sentences", [(rule, "short sentences")])
    clock.current += 400 * DAY

    def let_go(keep: str) -> set[str]:
        return {row["id"] for row in rows(run(memory, dry_run=True, keep=keep), "archive")}

    assert let_go("facts") == {free}
    assert let_go("held") == {free, old}
    assert let_go("nothing") == {free, old, held, rule}


def test_what_is_used_in_the_archive_wakes_up(memory: Memory, clock: SteppingClock) -> None:
    idle = add(memory, "There was a rainbow over the fjord")
    clock.current += 100 * DAY
    run(memory)
    assert records(memory)[idle].state == "archived"
    clock.current += DAY
    memory.search("rainbow", user_id="ana", filters={"state": "archived"})
    report = run(memory)
    assert [row["id"] for row in rows(report, "wake")] == [idle]
    assert records(memory)[idle].state == "activated"
    assert rows(run(memory), "archive") == []


def test_it_is_closed_after_a_second_period_and_only_if_asked(memory: Memory, clock: SteppingClock) -> None:
    idle = add(memory, "There was a rainbow over the fjord")
    twin = add(memory, "There was a rainbow over the fjord")
    clock.current += 400 * DAY
    run(memory, forget="close")
    assert {records(memory)[id].state for id in (idle, twin)} == {"archived", "merged"}
    clock.current += 91 * DAY
    assert "close" not in {step["step"] for step in run(memory)["steps"]}
    report = run(memory, forget="close")
    assert [row["id"] for row in rows(report, "close")] == [idle]
    assert records(memory) == {}
    undo(engine_of(memory), change(report, "close"), ANA)
    assert {records(memory)[id].state for id in (idle, twin)} == {"archived", "merged"}


def test_forgetting_can_be_switched_off(memory: Memory, clock: SteppingClock) -> None:
    add(memory, "There was a rainbow over the fjord")
    clock.current += 4000 * DAY
    assert {step["step"] for step in run(memory, forget="off")["steps"]} == {"expire", "merge", "note"}
    assert {
        step["step"] for step in run(memory, forget="off", ttl=False, duplicates=False, abstract=False)["steps"]
    } == set()


def test_chance_is_seeded(memory: Memory, clock: SteppingClock) -> None:
    for number in range(60):
        add(memory, f"Parcel number {number} has come")
    clock.current += 21 * DAY

    def drawn(seed: int) -> list[str]:
        return [row["id"] for row in rows(run(memory, dry_run=True, seed=seed), "archive")]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 15 < len(drawn(1)) < 45


def test_the_frozen_are_left_alone(memory: Memory, clock: SteppingClock) -> None:
    first = add(memory, "I am allergic to peanuts", metadata={"ttl": 1})
    again = add(memory, "I am allergic to peanuts", metadata={"ttl": 1})
    freeze(engine_of(memory), [first, again], ANA, reason="evidence")
    clock.current += 900 * DAY
    assert [step["count"] for step in run(memory)["steps"]] == [0] * 5
    unfreeze(engine_of(memory), first, ANA)
    assert [row["id"] for row in rows(run(memory), "expire")] == [first]


def test_a_clock_set_back_forgets_nothing(memory: Memory) -> None:
    add(memory, "There was a rainbow over the fjord")
    assert rows(run(memory, now="2020-01-01", threshold=0.99), "archive") == []


# Notes


def test_what_comes_back_becomes_a_note(memory: Memory) -> None:
    monday = add(memory, "I like jazz a lot", session_id="monday")
    friday = add(memory, "Jazz again: I like jazz", session_id="friday")
    tea = add(memory, "I like tea", session_id="monday")
    tea_too = add(memory, "Tea is what I like", session_id="friday")
    once = add(memory, "I like figs", session_id="monday")
    same = add(memory, "I like rain and I like rain", session_id="monday")
    facts = [
        fact(memory, "Ana", "likes", "jazz", [(monday, "I like jazz"), (friday, "I like jazz")]),
        fact(memory, "Ana", "likes", "tea", [(tea, "I like tea"), (tea_too, "Tea is what I like")]),
    ]
    fact(memory, "Ana", "likes", "figs", [(once, "I like figs")])
    fact(memory, "Ana", "likes", "rain", [(same, "I like rain")])
    report = run(memory, duplicates=False)
    (row,) = rows(report, "note")
    assert (row["event"], row["memory"], row["sources"]) == ("ADD", "Ana likes jazz and tea", 4)
    (note,) = [record for record in records(memory).values() if record.kind == "note"]
    assert (note.origin, note.scope, note.trust) == ("derived:sleep", ANA, 1.0)
    assert {source.id for source in note.sources} == {monday, friday, tea, tea_too}
    assert (note.meta["values"], note.meta["facts"], note.meta["evidence"]) == (["jazz", "tea"], facts, 4)
    assert rows(run(memory, duplicates=False), "note") == []
    undo(engine_of(memory), change(report, "note"), ANA)
    assert [record for record in records(memory).values() if record.kind == "note"] == []
    assert len(rows(run(memory, duplicates=False), "note")) == 1


def test_a_note_follows_its_facts(memory: Memory) -> None:
    said = [(add(memory, "I like jazz a lot", session_id=day), "I like jazz") for day in ("monday", "friday")]
    tea = [(add(memory, "I like tea a lot", session_id=day), "I like tea") for day in ("monday", "friday")]
    jazz = fact(memory, "Ana", "likes", "jazz", said)
    run(memory, duplicates=False)
    fact(memory, "Ana", "likes", "tea", tea)
    (row,) = rows(run(memory, duplicates=False), "note")
    assert (row["event"], row["memory"]) == ("UPDATE", "Ana likes jazz and tea")
    memory.delete(jazz, user_id="ana")
    (row,) = rows(run(memory, duplicates=False), "note")
    assert (row["event"], row["memory"]) == ("UPDATE", "Ana likes tea")
    for id, _ in tea:
        archive(engine_of(memory), id, ANA)
    assert rows(run(memory, duplicates=False), "note") == []
    memory.erase([id for id, _ in tea], user_id="ana")
    assert [record for record in records(memory).values() if record.kind == "note"] == []


def test_a_note_that_was_deleted_stays_deleted(memory: Memory) -> None:
    said = [(add(memory, "I like jazz a lot", session_id=day), "I like jazz") for day in ("monday", "friday")]
    fact(memory, "Ana", "likes", "jazz", said)
    run(memory, duplicates=False)
    (note,) = [record.id for record in records(memory).values() if record.kind == "note"]
    memory.delete(note, user_id="ana")
    assert rows(run(memory, duplicates=False), "note") == []


def test_a_session_sleeps_by_itself(memory: Memory) -> None:
    said = [(add(memory, "I like jazz a lot", session_id="monday"), "I like jazz") for _ in range(2)]
    fact(memory, "Ana", "likes", "jazz", said)
    monday = Scope(user_id="ana", run_id="monday")
    report = sleep(engine_of(memory), monday, forget="archive", episodes=1)
    assert [step["count"] for step in report["steps"]] == [0, 1, 0, 0, 1]
    (note,) = [record for record in records(memory).values() if record.kind == "note"]
    assert note.scope == monday


# Telling beforehand, and being disturbed


def test_a_dry_run_tells_what_the_run_then_does(memory: Memory, clock: SteppingClock) -> None:
    rng = random.Random(5)
    ids = []
    for _ in range(60):
        text = rng.choice(["I like {} tea in the morning", "The parcel {} has come", "My locker is number {}"])
        options: dict[str, Any] = {"metadata": {"ttl": "40d"}} if rng.random() < 0.1 else {}
        ids.append(add(memory, text.format(rng.randrange(9)), session_id=rng.choice("abc"), **options))
        if rng.random() < 0.3:
            memory.search(text.format(3), user_id="ana", limit=2)
        clock.current += DAY
    fact(memory, "Ana", "likes", "tea", [(id, records(memory)[id].text) for id in (ids[0], ids[7], ids[20])])
    clock.current += 30 * DAY
    moment = clock.current
    before, position = states(memory), memory.store.position()
    told = run(memory, dry_run=True, now=moment)
    assert (states(memory), memory.store.position()) == (before, position)
    done = run(memory, now=moment)
    assert told["steps"] != []
    assert {step["step"]: step["rows"] for step in told["steps"]} == {
        step["step"]: step["rows"] for step in done["steps"]
    }
    assert told["duplicates"] == done["duplicates"]
    assert all(step["count"] for step in told["steps"] if step["step"] in ("expire", "merge", "archive"))
    again = run(memory, now=moment)
    assert [step["count"] for step in again["steps"]] == [0] * len(again["steps"])


def test_all_steps_can_be_undone(memory: Memory, clock: SteppingClock) -> None:
    add(memory, "The code for the door is 1234", metadata={"ttl": 3600})
    said = [(add(memory, "I like jazz a lot", session_id=day), "I like jazz") for day in ("monday", "friday", "sunday")]
    fact(memory, "Ana", "likes", "jazz", said)
    add(memory, "There was a rainbow over the fjord")
    clock.current += 100 * DAY
    before = states(memory)
    report = run(memory)
    assert [step["count"] > 0 for step in report["steps"]] == [True, True, False, True, True]
    for step in reversed(report["steps"]):
        if step["change"] is not None:
            undo(engine_of(memory), step["change"], ANA)
    assert states(memory) == before


def test_somebody_who_writes_meanwhile_is_not_overrun(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = add(memory, "I am allergic to peanuts")
    again = add(memory, "I am allergic to peanuts")
    from remanence.runtime import hygiene, sleeping

    real = hygiene.rewrite
    calls: list[int] = []

    def disturbed(*args: Any, **options: Any) -> Any:
        if not calls:
            memory.update(again, text="I am allergic to pollen", user_id="ana")
        calls.append(1)
        return real(*args, **options)

    monkeypatch.setattr(sleeping, "rewrite", disturbed)
    assert rows(run(memory), "merge") == []
    there = records(memory)
    assert (there[again].text, there[again].state, there[first].meta) == ("I am allergic to pollen", "generated", {})


def test_nothing_of_others_is_touched(memory: Memory) -> None:
    for user in ("ana", "bo"):
        add(memory, "I am allergic to peanuts", user_id=user)
        add(memory, "I am allergic to peanuts", user_id=user)
    run(memory)
    assert {record.state for record in records(memory, user="bo").values()} == {"generated"}


def test_an_empty_scope_sleeps_well(memory: Memory) -> None:
    report = run(memory)
    assert [step["count"] for step in report["steps"]] == [0] * 5
    assert report["duplicates"] == {"before": 0.0, "after": 0.0, "memories": 0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"forget": "all"}, {"keep": "some"}, {"scale": 0}, {"scale": "x"}, {"scale": float("nan")}, {"threshold": 0},
        {"threshold": 1}, {"threshold": True}, {"archived_days": -1}, {"episodes": 0}, {"episodes": 1.5},
        {"seed": "x"}, {"kinds": (1,)}, {"now": "soon"},
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused(memory: Memory, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        run(memory, **wrong)


# By hand


def test_archive_and_back(memory: Memory) -> None:
    id = add(memory, "There was a rainbow over the fjord")
    engine = engine_of(memory)
    assert archive(engine, id, ANA)["results"] == [id]
    assert archive(engine, [id, id], ANA) == {"results": [], "change": None}
    assert found(memory, "rainbow") == set()
    assert activate(engine, id, ANA)["results"] == [id]
    assert found(memory, "rainbow") == {id}
    with pytest.raises(NotFound):
        archive(engine, "01JXXXXXXXXXXXXXXXXXXXXXXX", ANA)
    with pytest.raises(NotFound):
        archive(engine, id, Scope(user_id="bo"))
    freeze(engine, id, ANA)
    with pytest.raises(InvalidInput, match="is frozen"):
        archive(engine, id, ANA)


def test_what_was_merged_can_stand_for_itself_again(memory: Memory) -> None:
    add(memory, "I am allergic to peanuts")
    again = add(memory, "I am allergic to peanuts")
    run(memory)
    activate(engine_of(memory), again, ANA)
    assert again in found(memory, "allergic to peanuts")
    from remanence.runtime.hygiene import with_merged

    assert with_merged(engine_of(memory), [again], ANA) == [again]


# A stream with planted repetitions


PEOPLE = "Xenia Yara Zoe Bo Cy Dag Eva Finn".split()
THINGS = "tent kayak violin drone telescope toaster easel bicycle".split()


def stream(seed: int, size: int = 300) -> list[tuple[str, int | None]]:
    """Texts, and for each the place of the one that it repeats; None for what is new, however alike it looks."""
    rng = random.Random(seed)
    said: list[tuple[str, int | None]] = []
    statements: list[tuple[str, int]] = []
    seen: set[str] = set()
    while len(said) < size:
        roll = rng.random()
        if statements and roll < 0.25:
            text, first = rng.choice(statements)
            shape = rng.choice(["{}", "{}!", "By the way, {}", "as I said, {}", "Well, {} really"])
            said.append((shape.format(text), first))
            continue
        text = rng.choice(
            [
                f"I lent the {rng.choice(THINGS)} to {rng.choice(PEOPLE)} for {rng.randrange(2, 40)} days",
                f"my locker {rng.randrange(500)} at the gym has the code {rng.randrange(10_000)}",
                f"{rng.choice(PEOPLE)} owes me {rng.randrange(5, 400)} euros for the {rng.choice(THINGS)}",
                f"I {rng.choice(['do', 'do not'])} trust {rng.choice(PEOPLE)} with the {rng.choice(THINGS)}",
            ]
        )
        if text in seen:
            continue
        seen.add(text)
        # A near-miss takes another value in an equal sentence: then the first is no longer free to be said again.
        statements = [(other, place) for other, place in statements if not near(other, text)]
        statements.append((text, len(said)))
        said.append((text, None))
    return said


def near(one: str, other: str) -> bool:
    mine = [word for word in one.split() if word != "not"]
    theirs = [word for word in other.split() if word != "not"]
    return len(mine) == len(theirs) and sum(a != b for a, b in zip(mine, theirs, strict=True)) <= 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_repetitions_go_and_near_misses_stay(seed: int, clock: SteppingClock) -> None:
    with Memory(":memory:", clock=clock, embedder="hash", background=False, enrich=False) as memory:
        planted = stream(seed)
        ids = [
            str(id)
            for id in memory.add_many(
                [
                    {
                        "content": text,
                        "timestamp": (START + place * timedelta(hours=3)).isoformat(),
                        "run_id": f"r{place // 40}",
                    }
                    for place, (text, _) in enumerate(planted)
                ],
                user_id="ana",
            )["ids"]
        ]
        gold = {ids[place]: ids[first] for place, (_, first) in enumerate(planted) if first is not None}
        report = run(memory)
        merged = {row["id"]: row["into"] for row in rows(report, "merge")}
        assert len(gold) > 50
        wrong = {id: into for id, into in merged.items() if gold.get(id) != into}
        left = len(gold.keys() - merged.keys())
        assert wrong == {}
        assert left / (len(planted) - len(merged)) <= 0.02
        assert report["duplicates"]["after"] == 0

"""Lists that grow with use come in pages: changes, receipts, jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remanence.core.errors import NotFound
from remanence.core.scope import Scope
from remanence.runtime.memory import Memory
from remanence.runtime.results import MOST_EVENTS
from remanence.substrates.records.operations import Changes
from tests.runtime.facts_by_hand import engine_of

Make = Callable[..., Memory]


def all_changes(memory: Memory, limit: int, **options: Any) -> list[str]:
    """Page by page."""
    found: list[str] = []
    while page := memory.changes(user_id="ana", limit=limit, before=found[-1] if found else None, **options):
        assert len(page) <= limit
        found += [change["change"] for change in page]
    return found


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_changes_page_by_page(make: Make, limit: int) -> None:
    memory = make(background=False)
    made = []
    for n in range(10):
        made.append(memory.add([f"a{n}", f"b{n}"], user_id="ana")["change"])
        # So that pages of the journal begin and end within others' changes.
        memory.add([f"other {m}" for m in range(40)], user_id="bob")
    assert all_changes(memory, limit) == made[::-1]
    assert [one["change"] for one in memory.changes(user_id="ana", limit=2, before=made[5])] == [made[4], made[3]]
    assert memory.changes(user_id="ana", before=made[0]) == []


def test_a_page_looks_at_the_journal_before_it_and_no_more(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = make(background=False)
    first = memory.add("one", user_id="ana")["change"]
    second = memory.add("two", user_id="ana")["change"]
    for n in range(5):
        memory.add([f"{n} {m}" for m in range(100)], user_id="ana")
    engine = engine_of(memory)
    seen: list[int] = []
    read = engine.read

    def counting(operations: Any, scope: Scope) -> Any:
        answers = read(operations, scope)
        seen.extend(len(answer) for op, answer in zip(operations, answers, strict=True) if isinstance(op, Changes))
        return answers

    monkeypatch.setattr(engine, "read", counting)
    assert [one["change"] for one in memory.changes(user_id="ana", before=second)] == [first]
    assert sum(seen) <= 2


def test_a_place_that_is_not_there(make: Make) -> None:
    memory = make(background=False)
    theirs = memory.add("one", user_id="bob")["change"]
    for before in ("nonsense", theirs):
        with pytest.raises(NotFound, match="begin again without it"):
            memory.changes(user_id="ana", before=before)
    with pytest.raises(NotFound, match="begin again without it"):
        memory.receipts(user_id="ana", after="nonsense")


def test_a_change_of_thousands_lists_its_first_events(make: Make) -> None:
    memory = make(background=False)
    memory.add([str(n) for n in range(MOST_EVENTS + 5)], user_id="ana")
    (change,) = memory.changes(user_id="ana")
    assert (change["count"], len(change["events"])) == (MOST_EVENTS + 5, MOST_EVENTS)
    assert change["events"][0]["event"] == "ADD"


def test_what_moved_in_is_listed_too(make: Make, tmp_path: Any) -> None:
    memory = make(background=False)
    memory.add("one", user_id="ana")
    with Memory(tmp_path / "new.db", background=False, clock=lambda: engine_of(memory).now()) as new:
        from remanence.runtime.migrating import migrate

        migrate(memory.store, new.store)
        assert [event["event"] for change in new.changes(user_id="ana") for event in change["events"]] == ["ADOPT"]


def test_receipts_and_jobs_page_by_page(make: Make) -> None:
    memory = make(background=False, enrich=True)
    made = []
    for n in range(5):
        id = memory.add(f"note {n}", user_id="ana")["results"][0]["id"]
        made.append(memory.erase(id, user_id="ana")["id"])
    listed = [receipt["id"] for receipt in memory.receipts(user_id="ana")]
    assert listed == made
    page = memory.receipts(user_id="ana", limit=2)
    assert [one["id"] for one in page] == made[:2]
    assert [one["id"] for one in memory.receipts(user_id="ana", limit=2, after=made[1])] == made[2:4]
    assert [one["id"] for one in memory.receipts(user_id="ana", receipt_id=made[3])] == [made[3]]
    assert memory.receipts(user_id="bob", receipt_id=made[3]) == []
    jobs = [job["id"] for job in memory.jobs(user_id="ana")]
    assert len(jobs) > 3
    assert [job["id"] for job in memory.jobs(user_id="ana", after=jobs[1])] == jobs[2:]

"""Jobs are committed with the words that they are about, and can be looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remanence.core.errors import (
    InvalidInput,
    NotFound,
)
from remanence.core.scope import Scope
from remanence.runtime import outbox
from remanence.runtime.memory import Memory
from remanence.runtime.outbox import job_counts, jobs
from remanence.runtime.working import drain
from remanence.substrates.records.operations import Jobs
from tests.runtime.handlers import (
    ANA,
    Echoes,
    Topics,
    derived,
    engine_of,
    expected,
    install,
    turns_of,
)

RUN = Scope(user_id="ana", run_id="r1")

Make = Callable[..., Memory]


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    found = Topics()
    install(monkeypatch, found, Echoes())
    return found


def scopes_of(memory: Memory, scope: Scope = ANA) -> list[Scope]:
    found = engine_of(memory).read([Jobs()], scope)[0]
    return [job.scope for job in found]


def test_one_job_per_leaf_scope_in_the_transaction_of_the_words(memory: Memory) -> None:
    added = memory.add(["one", "two"], user_id="ana")
    (row,) = jobs(engine_of(memory), ANA)
    assert (row["kind"], row["state"], row["attempts"], row["error"]) == ("enrich", "waiting", 0, "")
    assert (row["change"], row["user_id"], row["run_id"]) == (added["change"], "ana", None)
    items = [{"content": "x", "run_id": run} for run in ("r1", "r2", "r1")]
    memory.add_many(items, user_id="ana")
    assert scopes_of(memory) == [ANA, RUN, Scope(user_id="ana", run_id="r2")]


def test_what_is_not_stored_leaves_no_job(memory: Memory) -> None:
    with pytest.raises(InvalidInput):
        memory.add("x", user_id="ana", metadata={"nan": float("nan")})
    memory.add([{"role": "system", "content": "be brief"}], user_id="ana")
    assert job_counts(engine_of(memory), ANA) == {"waiting": 0, "leased": 0, "dead": 0}


def test_every_change_enqueues(memory: Memory, topics: Topics) -> None:
    engine = engine_of(memory)
    id = memory.add("cats purr", user_id="ana", run_id="r1")["results"][0]["id"]
    other = memory.add("dogs bark", user_id="ana")["results"][0]["id"]
    changes: list[Callable[[], Any]] = [
        lambda: memory.update(id, "cats meow", user_id="ana"),
        lambda: memory.delete(id, user_id="ana"),
        lambda: memory.undo(done[-1], user_id="ana"),
        lambda: memory.erase([other], user_id="ana"),
        lambda: memory.delete_all(user_id="ana"),
    ]
    done: list[Any] = []
    for change in changes:
        drain(engine)
        assert scopes_of(memory) == []
        done.append(change())
        assert scopes_of(memory), change
        drain(engine)
        assert derived(engine, ANA) == expected(turns_of(engine, ANA))
    assert derived(engine, ANA) == []


def test_without_enrichment_nothing_is_enqueued(make: Make) -> None:
    memory = make(enrich=False)
    id = memory.add("one", user_id="ana")["results"][0]["id"]
    memory.update(id, "two", user_id="ana")
    memory.add_many(["three"], user_id="ana")
    memory.delete(id, user_id="ana")
    memory.delete_all(user_id="ana")
    assert scopes_of(memory) == []


def test_jobs_of_others_are_not_seen(memory: Memory) -> None:
    memory.add("one", user_id="ana")
    memory.add("two", user_id="anna")
    (row,) = jobs(engine_of(memory), ANA)
    assert job_counts(engine_of(memory), Scope(user_id="an")) == {"waiting": 0, "leased": 0, "dead": 0}
    assert outbox.discard_jobs(engine_of(memory), Scope(user_id="anna"), [row["id"]]) == 0
    assert outbox.discard_jobs(engine_of(memory), ANA, [row["id"]]) == 1
    assert scopes_of(memory, Scope(user_id="anna")) == [Scope(user_id="anna")]


def test_listing_refuses_what_it_cannot_mean(memory: Memory) -> None:
    engine = engine_of(memory)
    memory.add("one", user_id="ana")
    assert jobs(engine, ANA, states="dead") == jobs(engine, ANA, kinds=["other"]) == []
    assert len(jobs(engine, ANA, states=["waiting", "dead"], kinds="enrich")) == 1
    with pytest.raises(InvalidInput, match="'done' is no state"):
        jobs(engine, ANA, states="done")
    with pytest.raises(InvalidInput, match="limit=0"):
        jobs(engine, ANA, limit=0)
    with pytest.raises(InvalidInput, match="limit=0"):
        drain(engine, limit=0)
    with pytest.raises(InvalidInput, match="seconds=-1"):
        drain(engine, seconds=-1)


def test_an_unknown_id_is_no_job(memory: Memory) -> None:
    assert outbox.discard_jobs(engine_of(memory), ANA, "01ARZ3NDEKTSV4RRFFQ69G5FAV") == 0
    with pytest.raises(NotFound):
        memory.delete("01ARZ3NDEKTSV4RRFFQ69G5FAV", user_id="ana")

"""Every route: what it answers to whom it is for, and that it answers nothing to anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from starlette.routing import Route

from tests.server.conftest import ALL, Now, Served, over_all_stores, serving
from tests.server.stores import STORES, address
from tests.server.table import ANA, PUBLIC, ROWS, SECRET, Row, World, send, world

GUARDED = [row for row in ROWS if row.right is not None]


@pytest.fixture
def there(served: Served, root: str) -> World:
    return world(served, root)


@dataclass(frozen=True)
class Fixed:
    """A server that no test of this file changes: those that use it are about what must have no effect."""

    served: Served
    clock: Now
    root: str
    world: World


@pytest.fixture(scope="module", params=STORES)
def fixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixed]:
    clock = Now()
    with address(request.param, tmp_path_factory.mktemp("fixed")) as store, serving(store, clock) as serve:
        served = serve()
        root = served.key(None, *ALL, name="root")
        yield Fixed(served, clock, root, world(served, root))


# What is mounted on this application has suites of its own.
ELSEWHERE = ("remanence.server.console", "remanence.server.proxy")


def routes(served: Served) -> Iterator[str]:
    found: list[Any] = []
    for route in served.app.routes:
        inner: Any = route
        found += [route] if isinstance(route, Route) else inner.original_router.routes
    for one in found:
        if not one.endpoint.__module__.startswith(ELSEWHERE):
            yield from (f"{method} {one.path}" for method in one.methods)


def in_general(name: str) -> str:
    """A route of the table as the application names it."""
    for given, general in (
        ("{memory}", "{memory_id}"), ("{change}/undo", "{change_id}/undo"), ("{receipt}", "{receipt_id}"),
        ("event/{change}", "event/{event_id}"), ("entities/user/ana", "entities/{entity_type}/{entity_id}"),
    ):  # fmt: skip
        name = name.replace(given, general)
    return name


def test_the_table_holds_every_route(served: Served) -> None:
    assert sorted({in_general(row.name) for row in ROWS} | PUBLIC) == sorted(routes(served))


def test_a_route_that_the_table_lacks_is_noticed(served: Served, ana: str) -> None:
    @served.app.get("/backdoor")
    async def backdoor() -> dict[str, str]:
        return {}

    assert "GET /backdoor" in set(routes(served)) - {in_general(row.name) for row in ROWS}
    assert served.get("/backdoor", ana).status_code == 200
    assert served.get("/backdoor").status_code == 401, "even a route that forgot its guard stands behind the gate"


@over_all_stores
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_answers(served: Served, there: World, root: str, ana: str, row: Row) -> None:
    token = root if row.everywhere else ana
    if row.first:
        send(served, replace(row, path=row.first), there, token)
    answer = send(served, row, there, None if row.right is None else token)
    assert answer.status_code == row.status, answer.text
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("row", [row for row in ROWS if row.whose and row.right == "read"], ids=lambda row: row.name)
def test_a_key_for_everything_names_the_scope(fixed: Fixed, row: Row) -> None:
    assert send(fixed.served, row, fixed.world, fixed.root, ANA).status_code == row.status


@pytest.mark.parametrize("row", GUARDED, ids=lambda row: row.name)
def test_without_a_valid_key_there_is_nothing(fixed: Fixed, row: Row) -> None:
    served, there, clock = fixed.served, fixed.world, fixed.clock
    revoked, expired = served.key(None, *ALL), served.key(None, *ALL, expires=clock.current + timedelta(hours=1))
    served.revoke(revoked)
    clock.current += timedelta(hours=2)
    valid = served.key(None, *ALL)
    forged = valid[:-1] + ("0" if valid[-1] != "0" else "1")
    answers = [send(served, row, there, token) for token in (None, "", "nonsense", revoked, expired, forged)]
    assert {answer.status_code for answer in answers} == {401}
    bodies = [{**answer.json()["error"], "request_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies), "what is wrong with a key is not told"
    assert all(SECRET not in answer.text for answer in answers)


@pytest.mark.parametrize("row", [row for row in GUARDED if row.right], ids=lambda row: row.name)
def test_a_key_without_the_right_is_refused(fixed: Fixed, row: Row) -> None:
    served, there = fixed.served, fixed.world
    others = [right for right in ("read", "write", "erase") if right != row.right]
    answer = send(served, row, there, served.key(None if row.everywhere else ANA, *others))
    assert answer.status_code == 403
    assert SECRET not in answer.text


@pytest.mark.parametrize("row", [row for row in GUARDED if row.whose], ids=lambda row: row.name)
def test_a_key_of_another_scope_is_refused(fixed: Fixed, row: Row) -> None:
    served, there = fixed.served, fixed.world
    mallory = served.key({"user_id": "mallory"}, *ALL)
    answer = send(served, row, there, mallory, ANA)
    assert answer.status_code == 403
    assert SECRET not in answer.text


@pytest.mark.parametrize("row", [row for row in GUARDED if not row.everywhere], ids=lambda row: row.name)
def test_a_key_of_another_scope_sees_and_changes_nothing(fixed: Fixed, row: Row) -> None:
    served, there, root = fixed.served, fixed.world, fixed.root
    before = state(served, root)
    answer = send(served, row, there, served.key({"user_id": "mallory"}, *ALL))
    assert SECRET not in answer.text
    named = any(name in f"{row.path} {row.body}" for name in ("{memory}", "{change}", "{receipt}", "user/ana"))
    if named:
        assert answer.status_code in (403, 404), answer.text
    assert state(served, root) == before


@pytest.mark.parametrize("row", [row for row in GUARDED if row.everywhere], ids=lambda row: row.name)
def test_what_concerns_the_whole_store_takes_a_key_for_it(fixed: Fixed, row: Row) -> None:
    served = fixed.served
    assert send(served, row, fixed.world, served.key(ANA, *ALL)).status_code == 403


def state(served: Served, token: str) -> Any:
    """Everything of Ana's that a change would show in."""
    listed = served.get("/api/v1/memories", token, **ANA).json()["results"]
    kept = [{name: value for name, value in item.items() if name != "hits"} for item in listed]
    changes = served.get("/api/v1/changes", token, **ANA).json()["results"]
    return kept, changes


@over_all_stores
def test_nobody_can_tell_what_is_not_there_from_what_is_others(served: Served, there: World) -> None:
    mallory = served.key({"user_id": "mallory"}, *ALL)
    for form in ("/api/v1/memories/{}", "/memories/{}", "/v1/memories/{}/history/", "/api/v1/receipts/{}"):
        known, never = (served.get(form.format(id), mallory) for id in (there.memory, "01J00000000000000000000000"))
        assert known.status_code == never.status_code == 404
        texts = [
            answer.json()["error"]["message"].replace(id, "ID")
            for answer, id in ((known, there.memory), (never, "01J00000000000000000000000"))
        ]
        assert texts[0] == texts[1]


def test_unknown_routes_and_methods(served: Served, ana: str) -> None:
    assert served.get("/api/v1/nothing").status_code == 401
    assert served.get("/api/v1/nothing", ana).json()["error"]["type"] == "not_found"
    answer = served.ask("PATCH", "/api/v1/search", ana)
    assert (answer.status_code, answer.json()["error"]["type"]) == (405, "method_not_allowed")
    assert served.get("/v1/ping", ana).status_code == 404, "no redirect to where a Host header says"

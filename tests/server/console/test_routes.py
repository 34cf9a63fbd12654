"""What the console asks for beyond the rest of the API: the graph, and the catalog."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remanence.catalog import cards
from remanence.catalog.listing import listed
from remanence.core.errors import CatalogError
from remanence.kernels.claims.answers import Known
from remanence.server.console import measured, mount
from remanence.server.console.graph import picture
from tests.server.conftest import ALL, Serve, Served

START = datetime(2025, 1, 1, tzinfo=UTC)
GRAPH = "/api/v1/console/graph"
CATALOG = "/api/v1/console/catalog"


@pytest.fixture
def served(serve: Serve) -> Served:
    made = serve()
    if not made.service.is_public("GET", "/"):
        mount(made.app)
    return made


def fact(number: int, subject: str, attribute: str, value: str, *, polarity: bool = True) -> Known:
    return Known(
        id=f"fact{number}",
        subject=subject,
        attribute=attribute,
        value=value,
        polarity=polarity,
        status="held",
        valid_from=START,
        valid_to=None,
        confidence=0.9,
        sources=(f"turn{number}",),
        order=number,
        ended_by="",
    )


FACTS = [
    fact(1, "Ana", "home_city", "Bergen"),
    fact(2, "Ana", "sister", "Marta"),
    fact(3, "Marta", "job", "nurse"),
    fact(4, "Ana", "pet", "Rex"),
    fact(5, "Rex", "kind", "dog"),
]


def names(found: dict[str, Any]) -> list[str]:
    return [node["name"] for node in found["nodes"]]


# The graph


def test_a_value_that_is_somebody_is_one_node_with_them() -> None:
    found = picture(FACTS, [], around=None, limit=50)
    assert sorted(names(found)) == ["Ana", "Bergen", "Marta", "Rex", "dog", "nurse"]
    assert {node["name"] for node in found["nodes"] if node["kind"] == "value"} == {"Bergen", "dog", "nurse"}
    assert found["count"] == {"nodes": 6, "facts": 5}
    assert {node["hidden"] for node in found["nodes"]} == {0}
    keys = {node["key"] for node in found["nodes"]}
    assert all({edge["source"], edge["target"]} <= keys for edge in found["edges"])


def test_the_order_of_facts_does_not_matter() -> None:
    assert picture(FACTS[::-1], [], around=None, limit=50) == picture(FACTS, [], around=None, limit=50)


def test_a_small_picture_shows_the_middle_and_says_what_it_hides() -> None:
    found = picture(FACTS, [], around=None, limit=3)
    assert len(found["nodes"]) == 3
    assert names(found)[0] == "Ana"
    for node in found["nodes"]:
        drawn = sum(node["key"] in (edge["source"], edge["target"]) for edge in found["edges"])
        assert node["hidden"] == node["facts"] - drawn
    assert sum(node["hidden"] for node in found["nodes"]) > 0


def test_nobody_fills_the_picture_alone() -> None:
    busy = [fact(number, "Ana", "event", f"went to place {number}") for number in range(50)]
    pairs = [fact(100 + number, "Bob", "event", f"saw film {number}") for number in range(3)]
    found = picture([*busy, *pairs], [], around=None, limit=6)
    assert {"Ana", "Bob"} <= set(names(found))
    targets = {edge["memory"].split()[0] for edge in found["edges"]}
    assert targets == {"Ana", "Bob"}, "hubs in turn, not the neighbours of the first one alone"


def test_around_somebody_are_their_neighbours() -> None:
    found = picture(FACTS, [], around="Márta", limit=50)
    assert found["centre"] == "marta"
    assert set(names(found)) == {"Marta", "Ana", "nurse"}
    assert picture(FACTS, [], around=found["centre"], limit=50) == found
    assert picture(FACTS, [], around="Nobody", limit=50)["nodes"] == []


def test_a_fact_about_oneself_counts_once() -> None:
    found = picture([fact(1, "Ana", "likes", "Ana", polarity=False)], [], around=None, limit=9)
    assert [(node["facts"], node["hidden"]) for node in found["nodes"]] == [(1, 0)]
    assert found["edges"][0]["label"].startswith("not ")


def test_the_graph_of_a_memory(served: Served) -> None:
    ana = served.key({"user_id": "ana"}, "read", "write")
    assert served.get(GRAPH, ana).json()["nodes"] == []
    served.post("/api/v1/memories", ana, messages="I live in Lisbon", timestamp="2024-01-01")
    served.post("/api/v1/memories", ana, messages="I moved to Oslo", timestamp="2025-01-01")
    served.post("/api/v1/work", ana)
    now = [edge["memory"] for edge in served.get(GRAPH, ana).json()["edges"]]
    then = [edge["memory"] for edge in served.get(GRAPH, ana, as_of="2024-06-01").json()["edges"]]
    assert ([memory.rpartition(" ")[2] for memory in now], [memory.rpartition(" ")[2] for memory in then]) == (
        ["Oslo"],
        ["Lisbon"],
    )


def test_who_may_not_see_the_graph(served: Served) -> None:
    ana, writer = served.key({"user_id": "ana"}, *ALL), served.key({"user_id": "ana"}, "write")
    bob = served.key({"user_id": "bob"}, "read")
    served.post("/api/v1/memories", ana, messages="My sister Marta lives in Bergen")
    served.post("/api/v1/work", ana)
    assert served.get(GRAPH).status_code == 401
    assert served.get(GRAPH, "rmk_wrong").status_code == 401
    assert served.get(GRAPH, writer).status_code == 403
    assert served.get(GRAPH, bob, user_id="ana").status_code == 403
    assert served.get(GRAPH, bob).json()["nodes"] == []
    assert served.get(GRAPH, bob, around="Marta").json()["nodes"] == []
    assert served.get(GRAPH, served.key(None, *ALL)).json()["error"]["type"] == "scope_required"
    served.revoke(ana)
    assert served.get(GRAPH, ana).status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 301}, {"limit": "many"}, {"around": "x" * 201}, {"as_of": "soon"}]
)
def test_a_graph_that_cannot_be_asked_for(served: Served, wrong: dict[str, Any]) -> None:
    token = served.key({"user_id": "ana"}, "read")
    assert served.get(GRAPH, token, **wrong).status_code in (400, 422)


# The catalog


def test_the_catalog_holds_all_that_is_listed(served: Served) -> None:
    token = served.key({"user_id": "ana"}, "read")
    rows = served.get(CATALOG, token).json()["results"]
    assert [row["slug"] for row in rows] == [one.slug for one in listed()]
    claims = {row["slug"]: row["text"] for row in rows if row["status"] == "working"}
    assert claims["recall"] == cards()["recall"].claim


def test_every_entry_can_be_opened() -> None:
    for one in listed():
        found = measured.entry(one.slug)
        assert found["slug"] == one.slug
        json.dumps(found, allow_nan=False)


def test_an_entry_has_its_results(served: Served) -> None:
    token = served.key({"user_id": "ana"}, "read")
    found = served.get(f"{CATALOG}/recall", token).json()
    assert found["claim"]
    if found["measured"]:
        assert {"locomo"} <= {row["dataset"] for row in found["results"]}
    data = served.get(f"{CATALOG}/locomo", token).json()
    assert data["kind"] == "benchmark"
    assert served.get(f"{CATALOG}/nothing", token).status_code == 404
    assert served.get(f"{CATALOG}/recall").status_code == 401


def test_results_of_witnesses_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"seed": 0, "metric": "loss", "value": 0.2, "baseline": 0.4, "higher_is_better": False},
        {"seed": 1, "metric": "loss", "value": 0.5, "baseline": 0.4, "higher_is_better": False},
    ]
    data = {"schema": 1, "version": "0", "hardware": {"cpu": "x", "cores": 1}, "witnesses": {"recall": rows}}
    (tmp_path / "witnesses.json").write_text(json.dumps(data))
    (tmp_path / "speed.json").write_text("{}")
    monkeypatch.setattr(measured, "folder", lambda: tmp_path)
    assert [row["holds"] for row in measured.entry("recall")["evidence"]] == [True, False]
    row = next(row for row in measured.listing()["results"] if row["slug"] == "recall")
    assert row["evidence"] == {"metric": "loss", "value": 0.35, "baseline": 0.4, "seeds": 2, "holds": False}


def test_without_results_there_are_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "folder", lambda: None)
    found = measured.listing()
    assert not found["measured"]
    assert any(row["text"] for row in found["results"])
    assert measured.entry("recall")["results"] == []


def test_a_broken_file_of_results_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "witnesses.json").write_text('{"version": "0"}')
    monkeypatch.setattr(measured, "folder", lambda: tmp_path)
    with pytest.raises(CatalogError, match=r"witnesses\.json"):
        measured.listing()

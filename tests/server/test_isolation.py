"""Adversarial tenants: whatever ids look like, and wherever they are put, nobody sees or changes what is another's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import ALL, Served, over_all_stores, remember

pytestmark = over_all_stores

V = "/api/v1"
LOOKALIKES = [
    "ana", "ANA", "ana ", " ana", "an", "anaa", "ana%", "a_a", "%", "_", "*", "ana.b", "ana/b", "../ana", "ana\\",
    "ana'--", 'ana" OR 1=1', "ána", "a\u0301na", "\u0430na", "ana\u200b", "0", "null", "{}", "ana\n", "ana:b", "用户",
    "ana?x=1", "ana#", "{memory_id}", "ana;", "' UNION SELECT * FROM versions --", "x" * 512,
]  # fmt: skip


def test_lookalikes_stay_apart_by_key_and_by_id(served: Served, root: str) -> None:
    for id in LOOKALIKES:
        remember(served, root, f"secret of {id!r}", user_id=id)
    for id in LOOKALIKES:
        own = f"secret of {id!r}"
        bound = served.key({"user_id": id}, *ALL)
        for token, ids in ((root, {"user_id": id}), (bound, {})):
            found = served.post(f"{V}/search", token, query="secret of", **ids).json()["results"]
            assert [row["memory"] for row in found] == [own]
            assert [row["memory"] for row in served.get(f"{V}/memories", token, **ids).json()["results"]] == [own]
            assert [row["memory"] for row in served.get("/v1/memories/", token, **ids).json()["results"]] == [own]
            assert served.get(f"{V}/stats", token, **ids).json()["memories"] == 1
        assert served.get(f"{V}/scopes", bound).json()["results"] == [{"user_id": id}]


@pytest.mark.parametrize("id", LOOKALIKES[1::2])
def test_a_lookalike_never_reaches_ana(served: Served, ana: str, id: str) -> None:
    memory = remember(served, ana, "the azalea is blue")
    token = served.key({"user_id": id}, *ALL)
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"{V}/search", {"json": {"query": "azalea", "user_id": "ana"}}),
        ("POST", f"{V}/search", {"json": {"query": "azalea", "filters": {"user_id": "ana"}}}),
        ("POST", f"{V}/search", {"json": {"query": "azalea", "filters": {"AND": [{"user_id": "ana"}]}}}),
        (
            "POST",
            f"{V}/search",
            {"json": {"query": "azalea", "filters": {"OR": [{"user_id": "ana"}, {"kind": "turn"}]}}},
        ),
        ("POST", f"{V}/search", {"json": {"query": "azalea", "filters": {"NOT": [{"user_id": id}]}}}),
        ("POST", f"{V}/search", {"json": {"query": "azalea", "filters": {"user_id": {"in": ["ana", id]}}}}),
        ("POST", f"{V}/search", {"json": {"query": "azalea", "filters": {"user_id": "*"}}}),
        ("POST", f"{V}/memories/list", {"json": {"filters": {"user_id": {"ne": id}}}}),
        ("GET", f"{V}/memories", {"params": {"user_id": "ana"}}),
        ("GET", f"{V}/memories", {"params": [("user_id", id), ("user_id", "ana")]}),
        ("GET", f"{V}/memories/{memory}", {}),
        ("GET", f"{V}/memories/{memory}", {"params": {"user_id": "ana"}}),
        ("POST", f"{V}/memories", {"json": {"messages": "x", "based_on": memory}}),
        ("PATCH", f"{V}/memories/{memory}", {"json": {"metadata": {"user_id": id}}}),
        ("POST", f"{V}/erase", {"json": {"ids": [memory]}}),
        ("POST", "/search", {"json": {"query": "azalea", "user_id": "ana"}}),
        ("PUT", "/v1/batch/", {"json": {"memories": [{"memory_id": memory, "text": "mine now"}]}}),
        ("DELETE", "/entities/user/ana", {}),
        ("POST", "/reset", {}),
    ]
    for method, path, given in attempts:
        answer = served.ask(method, path, token, **given)
        assert answer.status_code < 500
        assert "azalea" not in answer.text, (method, path, given)
    (row,) = served.get(f"{V}/memories", ana).json()["results"]
    assert (row["memory"], row["version"], row["metadata"]) == ("the azalea is blue", 1, {})


def test_what_is_written_stays_in_the_keys_scope(served: Served, ana: str, root: str) -> None:
    mallory = served.key({"user_id": "mallory", "app_id": "desk"}, *ALL)
    for body in (
        {"items": [{"content": "planted", "user_id": "ana"}]},
        {"items": ["fine", {"content": "planted", "app_id": "other"}]},
        {"items": [{"messages": ["planted"], "project_id": "other"}]},
    ):
        assert served.post(f"{V}/memories/batch", mallory, **body).status_code == 403
    line = b'{"content":"planted","user_id":"ana"}\n'
    assert served.ask("POST", f"{V}/import", mallory, content=line).status_code == 400
    for ids in ({"user_id": "ana"}, {"app_id": "x"}, {"project_id": "x"}, {"user_id": 7}):
        assert served.post(f"{V}/memories", mallory, messages="planted", **ids).status_code == 403
    assert served.get(f"{V}/memories", ana).json()["count"] == 0
    assert served.get(f"{V}/memories", root, app_id="desk").json()["count"] == 0
    remember(served, mallory, "mine", agent_id="bot", metadata={"user_id": "ana"})
    (row,) = served.get(f"{V}/memories", root, app_id="desk").json()["results"]
    assert (row["user_id"], row["app_id"], row["agent_id"]) == ("mallory", "desk", "bot")


def test_a_key_for_one_session_reaches_no_other(served: Served, root: str) -> None:
    for session in ("s1", "s2"):
        remember(served, root, f"said in {session}", user_id="ana", session_id=session)
    token = served.key({"user_id": "ana", "session_id": "s1"}, *ALL)
    assert [row["memory"] for row in served.get(f"{V}/memories", token).json()["results"]] == ["said in s1"]
    assert served.get(f"{V}/memories", token, run_id="s2").status_code == 403
    assert served.post("/reset", token).json()["count"] == 1
    assert served.get(f"{V}/memories", root, user_id="ana").json()["count"] == 1


@pytest.mark.parametrize(
    "id",
    [
        "../../etc/passwd",
        "..%2f..%2fetc",
        "%00",
        "%2e%2e",
        "'; DROP TABLE versions; --",
        "%25",
        "_",
        "ü",
        "a" * 100,
        "..;/",
    ],
)
def test_ids_that_are_none(served: Served, ana: str, id: str) -> None:
    remember(served, ana, "stays")
    for form in (
        f"{V}/memories/{{}}",
        f"{V}/memories/{{}}/history",
        "/memories/{}",
        "/v1/memories/{}/",
        f"{V}/receipts/{{}}",
    ):
        assert served.get(form.format(id), ana).status_code in (404, 405)
        assert served.ask("DELETE", form.format(id), ana).status_code in (404, 405)
    assert served.get(f"{V}/memories", ana).json()["count"] == 1


def test_text_of_all_sorts_comes_back_as_it_was(served: Served, ana: str) -> None:
    texts = [
        "100% _sure_",
        "'; DROP TABLE versions; --",
        "<script>alert(1)</script>",
        "a\u0000b",
        "\r\nSet-Cookie: x",
        "👩‍👩‍👧",
    ]
    for text in texts:
        id = remember(served, ana, text, speaker=text.replace("\u0000", ""), metadata={text: text})
        row = served.get(f"{V}/memories/{id}", ana).json()
        assert (row["memory"], row["metadata"]) == (text, {text: text})
    assert served.get(f"{V}/memories", ana).json()["count"] == len(texts)

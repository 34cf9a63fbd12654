"""What mem0's clients send and expect: old and new shapes, of its server and of its service."""

from __future__ import annotations

from typing import Any

import pytest

from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import View
from tests.server.conftest import ALL, Served

FIELDS = {"id", "memory", "hash", "metadata", "created_at", "updated_at", "user_id"}


@pytest.fixture
def token(served: Served) -> str:
    """Clients of mem0 name the scope with each call, but for calls by id; so the key reaches everything."""
    return served.key(None, *ALL, name="mem0")


def add(served: Served, token: str, text: str, **ids: Any) -> str:
    body = {"messages": [{"role": "user", "content": text}], **(ids or {"user_id": "ana"})}
    return str(served.post("/memories", token, **body).json()["results"][0]["id"])


def test_the_self_hosted_server(served: Served, token: str) -> None:
    added = served.post(
        "/memories",
        token,
        messages=[{"role": "user", "content": "I like tea"}],
        user_id="ana",
        infer=False,
        version="v2",
    ).json()
    (row,) = added["results"]
    assert (row["event"], row["memory"]) == ("ADD", "I like tea")
    id = row["id"]
    (listed,) = served.get("/memories", token, user_id="ana").json()["results"]
    assert listed.keys() >= FIELDS
    (found,) = served.post("/search", token, query="tea", user_id="ana", top_k=3).json()["results"]
    assert (found["id"], 0 <= found["score"] <= 1) == (id, True)
    assert served.post("/search", token, query="tea", filters={"user_id": "ana"}).json()["results"]
    assert served.get(f"/memories/{id}", token).json()["memory"] == "I like tea"
    updated = served.ask("PUT", f"/memories/{id}", token, json={"text": "I like coffee", "metadata": {"a": 1}})
    assert updated.json()["message"] == "Memory updated successfully!"
    history = served.get(f"/memories/{id}/history", token).json()
    assert [(one["event"], one["old_memory"], one["new_memory"]) for one in history] == [
        ("ADD", None, "I like tea"),
        ("UPDATE", "I like tea", "I like coffee"),
    ]
    assert history[0].keys() >= {"id", "memory_id", "created_at", "updated_at", "is_deleted", "actor_id", "role"}
    assert served.ask("DELETE", f"/memories/{id}", token).json()["message"] == "Memory deleted successfully!"
    assert served.get(f"/memories/{id}", token).status_code == 404
    assert len(served.get(f"/memories/{id}/history", token).json()) == 3
    add(served, token, "again")
    assert served.ask("DELETE", "/memories", token, params={"user_id": "ana"}).json()["count"] == 1


def test_every_scope_is_asked_for_an_id(served: Served, token: str) -> None:
    ids = [
        add(served, token, "one", user_id="ana"),
        add(served, token, "two", agent_id="bot"),
        add(served, token, "three", app_id="desk", user_id="bob"),
    ]
    assert [served.get(f"/memories/{id}", token).json()["memory"] for id in ids] == ["one", "two", "three"]
    assert served.get(f"/memories/{ids[0]}", token, user_id="bob").status_code == 404
    assert served.get("/memories", token).status_code == 400, "but lists name their scope"


def test_entities(served: Served, token: str) -> None:
    add(served, token, "one", user_id="ana", agent_id="bot")
    add(served, token, "two", user_id="ana", run_id="s1")
    listed = served.get("/entities", token).json()
    assert [(one["type"], one["id"], one["total_memories"]) for one in listed] == [
        ("agent", "bot", 1),
        ("run", "s1", 1),
        ("user", "ana", 2),
    ]
    assert all(one["created_at"] <= one["updated_at"] for one in listed)
    page = served.get("/v1/entities/", token, page_size=2).json()
    assert (page["count"], len(page["results"]), page["previous"]) == (3, 2, None)
    assert page["next"] == "/v1/entities/?page=2&page_size=2"
    assert served.ask("DELETE", "/v2/entities/user/ana/", token).json()["count"] == 2
    assert served.ask("DELETE", "/entities/user/ana", token).status_code == 404
    assert served.ask("DELETE", "/entities/colour/red", token).status_code == 400


def test_reset_and_what_brings_it_back(served: Served, token: str) -> None:
    add(served, token, "one", user_id="ana")
    add(served, token, "two", user_id="bob")
    done = served.post("/reset", token).json()
    assert (done["message"], done["count"]) == ("All memories reset", 2)
    assert served.get("/memories", token, user_id="ana").json()["results"] == []
    for change, user in zip(done["changes"], ("ana", "bob"), strict=True):
        served.post(f"/api/v1/changes/{change}/undo", token, user_id=user)
        assert len(served.get("/memories", token, user_id=user).json()["results"]) == 1


def test_configuration_is_shown_and_not_changed(served: Served, token: str) -> None:
    assert served.get("/configure", token).json()["embedder"]["provider"] == "hash"
    answer = served.post("/configure", token, llm={"provider": "openai", "config": {"api_key": "sk-secret"}}).json()
    assert answer["ignored"] == ["llm"]
    assert "Nothing was changed" in answer["message"]
    assert "sk-secret" not in served.get("/configure", token).text


@pytest.mark.parametrize("header", ["Token", "Bearer"])
def test_the_hosted_service(served: Served, token: str, header: str) -> None:
    def ask(method: str, path: str, **given: Any) -> Any:
        answer = served.ask(method, path, headers={"Authorization": f"{header} {token}"}, **given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert ask("GET", "/v1/ping/").keys() >= {"org_id", "project_id", "user_email"}
    messages = [{"role": "user", "content": "I like tea"}, {"role": "assistant", "content": "Noted"}]
    task = ask("POST", "/v3/memories/add/", json={"messages": messages, "user_id": "ana", "async_mode": True})
    assert task["status"] == "SUCCEEDED"
    event = ask("GET", f"/v1/event/{task['event_id']}/")
    assert (event["status"], len(event["results"])) == ("SUCCEEDED", 2)
    old = ask("POST", "/v1/memories/", json={"messages": messages[:1], "user_id": "ana", "output_format": "v1.1"})
    page = ask("POST", "/v3/memories/", json={"filters": {"user_id": "ana"}}, params={"page": 2, "page_size": 2})
    assert (page["count"], page["next"], page["previous"]) == (3, None, "/v3/memories/?page=1&page_size=2")
    assert [row["id"] for row in page["results"]] == [old["results"][0]["id"]]
    assert ask("GET", "/v1/memories/", params={"user_id": "ana", "page": 9})["results"] == []
    for path in ("/v1/memories/search/", "/v2/memories/search/", "/v3/memories/search/"):
        wanted = {"query": "tea", "filters": {"AND": [{"user_id": "ana"}]}, "top_k": 1, "rerank": True}
        assert len(ask("POST", path, json=wanted)["results"]) == 1
    one, two, three = (row["id"] for row in ask("POST", "/v2/memories/", json={"user_id": "ana"})["results"])
    assert ask("PUT", f"/v1/memories/{one}/", json={"text": "I like coffee"})["message"]
    assert len(ask("GET", f"/v1/memories/{one}/history/")) == 2
    batch = {"memories": [{"memory_id": one, "text": "a"}, {"memory_id": two, "text": "b"}]}
    assert ask("PUT", "/v1/batch/", json=batch) == {"message": "Successfully updated 2 memories"}
    assert ask("GET", f"/v1/memories/{two}/")["memory"] == "b"
    assert ask("DELETE", "/v1/batch/", json={"memories": [{"memory_id": one}]})["message"]
    assert ask("DELETE", f"/v1/memories/{three}/")["message"]
    assert ask("DELETE", "/v1/memories/", params={"user_id": "ana"})["count"] == 1


def test_a_batch_is_done_whole_or_not_at_all(served: Served, token: str) -> None:
    id = add(served, token, "one")
    for memories in (
        [{"memory_id": id, "text": "two"}, {"memory_id": "01J00000000000000000000000", "text": "x"}],
        [{"memory_id": id, "text": "two"}, {"memory_id": id, "text": "three"}],
        [{"memory_id": id, "text": "two"}, {"memory_id": id}],
    ):
        assert served.ask("PUT", "/v1/batch/", token, json={"memories": memories}).status_code in (400, 404)
    assert served.get(f"/memories/{id}", token).json()["version"] == 1


def test_expiration_and_older_names(served: Served, token: str) -> None:
    served.post("/memories", token, messages="a voucher", user_id="ana", expiration_date="2026-01-01")
    assert served.post("/search", token, query="voucher", user_id="ana").json()["results"] == []
    id = add(served, token, "one")
    assert served.ask("PUT", f"/memories/{id}", token, json={"data": "two"}).status_code == 200
    assert served.ask("PUT", f"/memories/{id}", token, json={}).status_code == 400


def test_errors_have_a_detail_for_its_clients(served: Served, token: str) -> None:
    answer = served.post("/memories", token, messages="whose").json()
    assert answer["detail"] == answer["error"]["message"]


def test_entities_are_counted_in_one_go(served: Served, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(12):
        add(served, token, "one", user_id=f"user{n:02}", run_id="s")
        gone = add(served, token, "two", user_id=f"user{n:02}")
        served.ask("DELETE", f"/memories/{gone}", token, params={"user_id": f"user{n:02}"})
    asked = []
    tallies = SqliteStore.tallies

    def counted_tallies(store: SqliteStore, view: View) -> Any:
        asked.append("tallies")
        return tallies(store, view)

    monkeypatch.setattr(SqliteStore, "_begin", lambda *_: asked.append("batch"))
    monkeypatch.setattr(SqliteStore, "tallies", counted_tallies)
    listed = served.get("/entities", token).json()
    assert asked == ["tallies"]
    assert [(one["type"], one["total_memories"]) for one in listed] == [("run", 12)] + [("user", 1)] * 12


def test_only_entities_within_reach_are_counted(served: Served, token: str) -> None:
    add(served, token, "one", user_id="ana", app_id="desk")
    add(served, token, "two", user_id="ana")
    add(served, token, "three", user_id="bob")
    narrow = served.key({"user_id": "ana"}, *ALL, name="ana's")
    listed = served.get("/entities", narrow).json()
    assert [(one["type"], one["id"], one["total_memories"]) for one in listed] == [
        ("app", "desk", 1),
        ("user", "ana", 2),
    ]


def test_a_message_keeps_what_it_says_of_itself(served: Served, token: str) -> None:
    message = {"role": "user", "content": "tea", "metadata": {"topic": "tea"}, "run_id": "spring"}
    for path in ("/memories", "/v1/memories/", "/v3/memories/add/"):
        answer = served.post(path, token, messages=[message], user_id="ana", metadata={"app": "x"})
        assert answer.status_code in (200, 404), path
    rows = served.get("/memories", token, user_id="ana").json()["results"]
    assert len(rows) >= 2
    assert {(row["metadata"]["topic"], row["metadata"]["app"], row["run_id"]) for row in rows} == {
        ("tea", "x", "spring")
    }

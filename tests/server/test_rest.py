"""`/api/v1` says what `Memory` says: round trips, pages, repeated requests, files, erasure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remanence.runtime.memory import Memory
from tests.server.conftest import ALL, Now, Serve, Served, remember

V = "/api/v1"


def test_a_life_of_a_memory(served: Served, ana: str) -> None:
    id = remember(served, ana, "We live in Lisbon", timestamp="2024-01-01", metadata={"topic": "home"})
    assert served.post(f"{V}/search", ana, query="where do we live").json()["results"][0]["id"] == id
    changed = served.ask("PATCH", f"{V}/memories/{id}", ana, json={"text": "We live in Oslo", "expected_version": 1})
    assert changed.json()["results"][0]["version"] == 2
    assert served.ask("PATCH", f"{V}/memories/{id}", ana, json={"text": "x", "expected_version": 1}).status_code == 409
    assert served.get(f"{V}/memories/{id}", ana, as_of="2024-06-01").json()["memory"] == "We live in Lisbon"
    assert served.get(f"{V}/memories/{id}", ana, as_of="1717200000").json()["memory"] == "We live in Lisbon"
    assert [row["event"] for row in served.get(f"{V}/memories/{id}/history", ana).json()["results"]] == [
        "ADD",
        "UPDATE",
    ]
    gone = served.ask("DELETE", f"{V}/memories/{id}", ana).json()
    assert served.get(f"{V}/memories/{id}", ana).status_code == 404
    assert served.post(f"{V}/changes/{gone['change']}/undo", ana).json()["undone"] == gone["change"]
    assert served.get(f"{V}/memories/{id}", ana).json()["memory"] == "We live in Oslo"
    block = served.post(f"{V}/context", ana, query="where do we live", max_tokens=100).json()
    assert "Oslo" in block["text"]
    assert block["tokens"] <= 100
    authors = {row["actor"] for row in served.get(f"{V}/changes", ana).json()["results"]}
    assert authors == {"ana's app"}, "the journal says by which key"


def test_answers_are_those_of_the_library(served: Served, ana: str, tmp_path: Path, clock: Now) -> None:
    for text in ("the boiler hums", "the key is under the pot", "lunch was soup"):
        remember(served, ana, text)
    with Memory(tmp_path / "memory.db", embedder="hash", background=False, clock=clock, user_id="ana") as memory:
        ours = memory.search("where is the key", explain=True)
        listed = memory.get_all()["results"]
        known = memory.profile()
    theirs = served.post(f"{V}/search", ana, query="where is the key", explain=True).json()
    assert [(row["id"], row["channels"]) for row in theirs["results"]] == [
        (row["id"], row["channels"]) for row in ours["results"]
    ]
    assert theirs["answerable"] == ours["answerable"]
    hits = {"hits"}
    got = served.get(f"{V}/memories", ana).json()["results"]
    assert [{k: v for k, v in row.items() if k not in hits} for row in got] == [
        {k: v for k, v in row.items() if k not in hits} for row in json.loads(json.dumps(listed))
    ]
    assert served.get(f"{V}/profile", ana).json() == json.loads(json.dumps(known))


def test_pages_forwards_and_back(served: Served, ana: str) -> None:
    items = [f"memory number {number}" for number in range(7)]
    served.post(f"{V}/memories/batch", ana, items=items)
    for newest in (False, True):
        whole = items[::-1] if newest else items
        pages, cursor = [], None
        while True:
            page = served.post(f"{V}/memories/list", ana, limit=3, newest_first=newest, cursor=cursor).json()
            pages.append(page)
            cursor = page["next"]
            if cursor is None:
                break
        assert [row["memory"] for page in pages for row in page["results"]] == whole
        assert {page["count"] for page in pages} == {7}
        assert pages[0]["previous"] is None
        back = served.get(f"{V}/memories", ana, limit=3, newest_first=newest, cursor=pages[2]["previous"]).json()
        assert [row["memory"] for row in back["results"]] == whole[3:6]
        first = served.get(f"{V}/memories", ana, limit=3, newest_first=newest, cursor=back["previous"]).json()
        assert [row["memory"] for row in first["results"]] == whole[:3]
        assert first["previous"] is None
        again = served.get(f"{V}/memories", ana, limit=3, newest_first=newest, cursor=first["next"]).json()
        assert [row["memory"] for row in again["results"]] == whole[3:6]


def test_pages_hold_still_while_others_write(served: Served, ana: str) -> None:
    ids = [remember(served, ana, f"memory {number}") for number in range(4)]
    page = served.get(f"{V}/memories", ana, limit=2).json()
    served.ask("DELETE", f"{V}/memories/{ids[1]}", ana)
    served.ask("DELETE", f"{V}/memories/{ids[0]}", ana)
    rest = served.get(f"{V}/memories", ana, limit=2, cursor=page["next"]).json()["results"]
    assert [row["id"] for row in rest] == ids[2:]


@pytest.mark.parametrize(
    "cursor", ["", "a", "a.", "c.01J00000000000000000000000", "01J00000000000000000000000", "a.x'--"]
)
def test_no_cursor(served: Served, ana: str, cursor: str) -> None:
    assert served.get(f"{V}/memories", ana, cursor=cursor).status_code == 400


def test_filters_and_bounds(serve: Serve) -> None:
    served = serve(max_results=5)
    ana = served.key({"user_id": "ana"})
    served.post(f"{V}/memories/batch", ana, items=[{"content": f"n {n}", "metadata": {"n": n}} for n in range(9)])
    found = served.post(f"{V}/memories/list", ana, filters={"n": {"gte": 7}}).json()
    assert [row["metadata"]["n"] for row in found["results"]] == [7, 8]
    assert found["count"] is None
    assert len(served.get(f"{V}/memories", ana).json()["results"]) == 5
    for path, body in (
        ("search", {"query": "n", "limit": 6}),
        ("context", {"query": "n", "top_k": 6}),
        ("memories/list", {"limit": 6}),
    ):
        answer = served.post(f"{V}/{path}", ana, **body)
        assert answer.status_code == 400
        assert "page by page" in answer.text
    assert served.post(f"{V}/search", ana, query="n", limit=1, top_k=2).status_code == 400


def test_metadata_keeps_its_values(served: Served, ana: str) -> None:
    metadata = {"a": [1, 2.5, None, True, {"ü": "\u0000\u2028"}], "big": 2**62}
    id = remember(served, ana, "x", metadata=metadata)
    assert served.get(f"{V}/memories/{id}", ana).json()["metadata"] == metadata
    answer = served.ask(
        "POST", f"{V}/memories", ana, content=b'{"messages":"x","metadata":{"a":1e999}}',
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 400


# Files


@pytest.mark.parametrize("format", ["jsonl", "cube"])
def test_out_of_one_store_and_into_another(served: Served, ana: str, tmp_path: Path, format: str) -> None:
    remember(served, ana, "We live in Oslo", session_id="s1")
    file = served.get(f"{V}/export", ana, format=format)
    assert file.headers["content-disposition"] == f'attachment; filename="memories.{format}"'
    with Memory(tmp_path / "copy.db", embedder="hash", background=False) as copy:
        (tmp_path / f"copy.{format}").write_bytes(file.content)
        assert copy.import_(tmp_path / f"copy.{format}", user_id="ana")["imported"] == 1
    back = served.ask("POST", f"{V}/import", ana, content=file.content).json()
    assert back["imported"] == 0
    assert "already" in back["skipped"][0]["reason"]
    others = served.ask("POST", f"{V}/import", served.key({"user_id": "bob"}), content=file.content)
    assert others.status_code == 400


def test_files_that_are_none(served: Served, ana: str) -> None:
    for content in (b"", b"nonsense", b"[" * 100_000, b"PK\x03\x04 broken", "ü".encode("utf-16")):
        answer = served.ask("POST", f"{V}/import", ana, content=content)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "import_format"
        assert "the upload" in answer.text
        assert "/tmp" not in answer.text
    assert served.ask("POST", f"{V}/import", ana, content=b"x", params={"format": "../etc"}).status_code == 400
    assert served.get(f"{V}/export", ana, format="../../x").status_code == 422
    bad = b'{"content":"good"}\n{"content":5}\n'
    assert served.ask("POST", f"{V}/import", ana, content=bad).status_code == 400
    assert served.get(f"{V}/memories", ana).json()["count"] == 0


def test_a_caller_who_hangs_up_mid_body(served: Served, ana: str) -> None:
    async def raw(path: str) -> list[Any]:
        sent: list[Any] = []
        messages = iter(
            [{"type": "http.request", "body": b'{"messages":"x"', "more_body": True}, {"type": "http.disconnect"}]
        )
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": b"", "query_string": b"", "http_version": "1.1",
            "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1), "server": None,
            "headers": [(b"content-type", b"application/json"), (b"x-api-key", ana.encode())],
        }  # fmt: skip

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        await served.app(scope, receive, send)
        return sent

    for path in (f"{V}/memories", f"{V}/import"):
        assert served.loop.run_until_complete(raw(path))[0]["status"] == 400
    assert served.get(f"{V}/memories", ana).json()["count"] == 0


# Erasing


def test_erase_and_prove_it(served: Served, ana: str, root: str, tmp_path: Path) -> None:
    id = remember(served, ana, "I was born on the zeppelin")
    again = {"json": {"messages": "a zeppelin again"}, "headers": {"Idempotency-Key": "k"}}
    assert served.ask("POST", f"{V}/memories", ana, **again).status_code == 201
    receipt = served.post(f"{V}/erase", ana, ids=[id], reason="asked").json()
    assert receipt["ids"] == [id]
    proof = served.post(f"{V}/receipts/{receipt['id']}/verify", ana).json()
    assert proof["clean"]
    assert all("/" not in name for name in proof["files"])
    assert not served.post(f"{V}/verify", root, phrases=["zeppelin again"]).json()["clean"]
    served.post(f"{V}/erase", ana, everything=True)
    assert served.post(f"{V}/verify", root, phrases=["zeppelin again", "born on the zeppelin"]).json()["clean"]
    served.service.close()
    assert [path.name for path in tmp_path.iterdir() if b"zeppelin" in path.read_bytes()] == []


def test_nothing_is_erased_by_mistake(served: Served, ana: str) -> None:
    id = remember(served, ana, "x")
    bodies: list[dict[str, Any]] = [
        {}, {"ids": []}, {"ids": [id], "everything": True}, {"ids": None}, {"ids": [id, "nope"]}
    ]  # fmt: skip
    for body in bodies:
        assert served.post(f"{V}/erase", ana, **body).status_code in (400, 404)
    assert served.get(f"{V}/memories", ana).json()["count"] == 1


# A key that ends


def test_a_key_revoked_during_a_request_writes_nothing_more(
    served: Served, ana: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(served, ana, "before")
    memory = served.service.memory

    def ending(verb: Callable[..., Any], token: str) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            # The request was let in, its verb begins, and only now the key ends.
            served.revoke(token)
            return verb(*args, **given)

        return call

    id = served.get(f"{V}/memories", ana).json()["results"][0]["id"]
    for verb, method, path, body in (
        ("add", "POST", f"{V}/memories", {"messages": "after"}),
        ("add_many", "POST", f"{V}/memories/batch", {"items": ["after"]}),
        ("update", "PATCH", f"{V}/memories/{id}", {"text": "after"}),
        ("delete", "DELETE", f"{V}/memories/{id}", None),
        ("delete_all", "DELETE", "/memories", None),
        ("erase", "POST", f"{V}/erase", {"everything": True}),
    ):
        token = served.key({"user_id": "ana"}, *ALL)
        with monkeypatch.context() as patch:
            patch.setattr(memory, verb, ending(getattr(memory, verb), token))
            answer = served.ask(method, path, token, **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthenticated"), verb
        rows = served.get(f"{V}/memories", ana).json()["results"]
        assert [row["memory"] for row in rows] == ["before"], verb


def test_a_stream_stops_where_its_key_ends(served: Served, root: str) -> None:
    token = served.key({"user_id": "ana"})
    plain = served.service.memory.store.batch
    batches: list[int] = []

    def counting(operations: Any, **given: Any) -> Any:
        outcome = plain(operations, **given)
        if len(operations) > 500:
            batches.append(len(operations))
            served.revoke(token)
        return outcome

    object.__setattr__(served.service.memory.store, "batch", counting)
    answer = served.post(f"{V}/memories/batch", token, items=[f"number {number}" for number in range(2500)])
    assert answer.status_code == 401
    assert "1,000 messages before it are stored" in answer.text
    assert served.get(f"{V}/memories", root, user_id="ana").json()["count"] == 1000


def test_capabilities_tell_what_is_not_there_and_why(served: Served, ana: str, root: str) -> None:
    found = served.get(f"{V}/capabilities", ana).json()["capabilities"]
    assert found["lexical_search"] == {"available": True, "reason": None}
    assert not found["language_model"]["available"]
    assert found["language_model"]["reason"]
    assert str(served.settings.path) not in served.get(f"{V}/stats", ana).text
    assert str(served.settings.path) in served.get(f"{V}/stats", root, user_id="ana").text
    assert served.get(f"{V}/health").json() == {"status": "ok"}


def test_health_of_a_store_that_cannot_be_read(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no store " * 1000)
    answer = serve(path=str(tmp_path / "broken.db")).get(f"{V}/health")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


def pages(served: Served, token: str, path: str, **params: Any) -> list[list[dict[str, Any]]]:
    """A list, page by page, by its cursor."""
    found, cursor = [], None
    while True:
        page = served.get(f"{V}/{path}", token, **params, **({} if cursor is None else {"cursor": cursor})).json()
        found.append(page["results"])
        cursor = page["next"]
        if cursor is None:
            return found


def test_lists_that_grow_come_in_pages(served: Served, ana: str, clock: Now) -> None:
    ids = [remember(served, ana, f"note {n}") for n in range(7)]
    changes = pages(served, ana, "changes", limit=3)
    assert [len(page) for page in changes] == [3, 3, 1]
    assert [change["events"][0]["id"] for page in changes for change in page] == ids[::-1]
    for id in ids[:3]:
        served.post(f"{V}/erase", ana, ids=[id])
    receipts = pages(served, ana, "receipts", limit=2)
    assert [receipt["ids"] for page in receipts for receipt in page] == [[id] for id in ids[:3]]
    jobs = [job["id"] for page in pages(served, ana, "jobs", limit=2) for job in page]
    assert len(jobs) > 2
    assert jobs == sorted(set(jobs))
    assert jobs == [job["id"] for job in served.get(f"{V}/jobs", ana).json()["results"]]


@pytest.mark.parametrize("path", ["changes", "receipts"])
def test_a_cursor_that_is_none(served: Served, ana: str, path: str) -> None:
    answer = served.get(f"{V}/{path}", ana, cursor="nonsense")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")
    most = served.get(f"{V}/{path}", ana, limit=10**6)
    assert most.status_code == 400


def test_a_message_keeps_what_it_says_of_itself(served: Served, ana: str) -> None:
    message = {"role": "user", "content": "tea, please", "metadata": {"topic": "tea"}, "session_id": "spring"}
    assert served.post(f"{V}/memories", ana, messages=[message], metadata={"app": "x"}).status_code == 201
    (item,) = served.get(f"{V}/memories", ana).json()["results"]
    assert (item["metadata"], item["run_id"]) == ({"topic": "tea", "app": "x"}, "spring")
    other = served.post(f"{V}/memories", ana, messages=[{"role": "user", "content": "x", "user_id": "bob"}])
    assert other.status_code == 403
    torn = served.post(f"{V}/memories", ana, messages=[{**message, "run_id": "autumn"}], session_id="winter")
    assert torn.status_code == 400
    assert len(served.get(f"{V}/memories", ana).json()["results"]) == 1

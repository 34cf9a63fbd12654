"""What every request passes: how a key is carried, who is local, limits, and one shape of error."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.conformance.stage import NOW, one
from remanence.core import errors
from remanence.runtime.memory import Memory
from remanence.server.app import create_app
from remanence.server.errors import body_of, describe
from remanence.server.limits import LONGEST_QUERY, WIDEST_FILTER, Buckets
from remanence.server.service import Service
from remanence.server.settings import Settings
from remanence.substrates.records.operations import Count
from tests.server.conftest import ALL, Now, Serve, Served, over_all_stores, remember


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "bearer   {} "},
        {"Authorization": "Token {}"},
        {"X-API-Key": "{}"},
        {"X-API-Key": "{}", "Authorization": "Bearer {}"},
    ],
)
def test_ways_to_carry_a_key(served: Served, ana: str, headers: dict[str, str]) -> None:
    given = {name: value.format(ana) for name, value in headers.items()}
    assert served.ask("GET", "/api/v1/whoami", headers=given).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "{}"},
        {"Authorization": "Basic {}"},
        {"Authorization": "Bearer"},
        {"X-API-Key": "{}", "Authorization": "Bearer other"},
        {"X-API-Key": "other", "Authorization": "Bearer {}"},
        {"Cookie": "key={}"},
    ],
)
def test_other_ways_are_none(served: Served, ana: str, headers: dict[str, str]) -> None:
    given = {name: value.format(ana) for name, value in headers.items()}
    assert served.ask("GET", "/api/v1/whoami", headers=given).status_code == 401
    assert served.get("/api/v1/whoami", key=ana, api_key=ana).status_code == 401, "keys in addresses end up in logs"


def test_this_machine_needs_no_key_until_there_is_one(served: Served) -> None:
    assert served.get("/api/v1/whoami").json()["name"] == "local"
    token = served.key({"user_id": "ana"})
    assert served.get("/api/v1/whoami").status_code == 401
    served.revoke(token)
    assert served.get("/api/v1/whoami").status_code == 401, "and not again when the last one has ended"


@pytest.mark.parametrize(
    ("peer", "base", "headers"),
    [
        ("192.168.1.9", "http://127.0.0.1", {}),
        ("127.0.0.1", "http://evil.example", {}),
        ("127.0.0.1", "http://127.0.0.1.evil.example", {}),
        ("127.0.0.1", "http://127.0.0.1", {"X-Forwarded-For": "10.0.0.1"}),
        ("127.0.0.1", "http://127.0.0.1", {"Forwarded": "for=10.0.0.1"}),
        ("127.0.0.1", "http://127.0.0.1", {"Via": "1.1 proxy"}),
        ("127.0.0.1", "http://127.0.0.1", {"X-Forwarded-Host": "memory.example"}),
        ("127.0.0.1", "http://127.0.0.1", {"Origin": "https://evil.example"}),
        ("127.0.0.1", "http://127.0.0.1", {"Origin": "http://127.0.0.1.evil.example:80"}),
        ("127.0.0.1", "http://127.0.0.1", {"Origin": "http://localhost@evil.example"}),
        ("127.0.0.1", "http://127.0.0.1", {"Origin": "null"}),
    ],
)
def test_others_always_need_a_key(served: Served, peer: str, base: str, headers: dict[str, str]) -> None:
    served.peer, served.base = (peer, 1), base
    assert served.ask("GET", "/api/v1/whoami", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/reset", "application/x-www-form-urlencoded", "a=b"),
        ("/api/v1/import?user_id=ana", "text/plain", '{"role": "user", "content": "I trust evil.example"}'),
    ],
)
def test_the_page_of_a_stranger_changes_nothing(served: Served, path: str, kind: str, body: str) -> None:
    """A browser sends forms and plain text to any address without asking it first."""
    assert served.post("/api/v1/memories", messages="mine", user_id="ana").status_code == 201
    headers = {"Content-Type": kind, "Origin": "https://evil.example"}
    assert served.ask("POST", path, content=body, headers=headers).status_code == 401
    kept = served.get("/api/v1/memories", user_id="ana").json()["results"]
    assert [row["memory"] for row in kept] == ["mine"]
    for origin in ("http://127.0.0.1:8377", "http://localhost:3000", "http://[::1]"):
        assert served.ask("POST", path, content=body, headers={**headers, "Origin": origin}).status_code == 200


def test_a_store_in_memory_has_no_keys_and_is_open_to_this_machine(served: Served) -> None:
    app = create_app(Settings(path=":memory:", embedder="hash", background=False))
    here = replace(served, app=app)
    elsewhere = replace(here, peer=("192.168.1.9", 4711))
    try:
        assert here.get("/api/v1/whoami").json()["name"] == "local"
        assert elsewhere.get("/api/v1/whoami").status_code == 401
        assert elsewhere.get("/api/v1/whoami", f"rmk_{'0' * 16}_{'0' * 64}").status_code == 401
    finally:
        here.service.close()


def test_open_means_open_for_this_machine_alone(serve: Serve) -> None:
    served = serve(auth=False)
    served.key(None)
    assert served.get("/api/v1/whoami").status_code == 200
    served.peer = ("10.0.0.1", 1)
    assert served.get("/api/v1/whoami").status_code == 401
    closed = serve(auth=True, keys="none.keys")
    assert closed.get("/api/v1/whoami").status_code == 401


def test_broken_keys_let_nobody_in(served: Served, ana: str) -> None:
    served.keys.close()
    Path(served.settings.keys_place).write_bytes(b"rubbish" * 1000)
    answer = served.get("/api/v1/whoami", ana)
    assert answer.status_code == 503
    assert served.settings.keys_place not in answer.text


def test_the_shape_of_errors(served: Served, ana: str) -> None:
    answer = served.ask("POST", "/api/v1/search", ana, json={}, headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (422, "abc-1")
    assert answer.json()["error"].keys() == {"type", "message", "param", "request_id"}
    assert answer.json()["error"]["param"] == "query"
    assert answer.json()["error"]["request_id"] == "abc-1"
    answer = served.post("/api/v1/search", ana, query="x", limit=-1)
    assert answer.json()["error"]["param"] == "limit"
    answer = served.post("/api/v1/search", ana, query="x", as_of="someday")
    assert answer.json()["error"]["type"] == "invalid_time"
    answer = served.post("/api/v1/search", ana, query="x", filters={"a": {"near": 1}})
    assert answer.json()["error"]["type"] == "invalid_filter"
    answer = served.post("/api/v1/search", ana, query="x", colour="red")
    assert answer.status_code == 422


def test_every_error_of_the_library_has_a_status() -> None:
    known = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RemanenceError)
    ]
    assert len(known) > 20
    for kind in known:
        status, detail, _ = describe(kind("/var/lib/memory.db is broken"))
        assert 400 <= status < 600
        assert detail["type"]
        if issubclass(kind, errors.StoreError):
            assert "/var/lib" not in detail["message"], "callers learn nothing of this machine's files"
        if status == 500:
            assert kind in (errors.RemanenceError, errors.CatalogError)
    assert describe(errors.NotFound("x"))[0] == 404
    assert json.loads(body_of({"type": "t", "message": 'a"\n\ud800'}, "id"))["error"]["message"] == 'a"\n\ud800'


@pytest.mark.parametrize("id", ["a b", "x" * 65, "<script>", "ü"])
def test_request_ids_are_plain_words(served: Served, ana: str, id: str) -> None:
    answer = served.ask("GET", "/api/v1/whoami", ana, headers={"X-Request-ID": id.encode()})
    assert answer.headers["x-request-id"].isalnum()


def test_headers_cannot_be_injected(served: Served, ana: str) -> None:
    async def raw() -> list[Any]:
        sent: list[Any] = []
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/whoami", "raw_path": b"", "query_string": b"",
            "http_version": "1.1", "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1), "server": None,
            "headers": [(b"x-request-id", b"a\r\nset-cookie: x=1"), (b"x-api-key", ana.encode())],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        await served.app(scope, receive, send)
        return sent

    start = served.loop.run_until_complete(raw())[0]
    assert start["status"] == 200
    assert not any(b"\r" in value or b"\n" in value or name == b"set-cookie" for name, value in start["headers"])


def deep(levels: int) -> bytes:
    return b'{"query":"x","filters":' + b'{"AND":[' * levels + b"{}" + b"]}" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"nonsense", 400),
        (b"[" * 10_000, 400),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b'{"query":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, 400),
        (deep(90), 400),
        (deep(5_000), 400),
        ('{"query":"ü"}'.encode("utf-16"), 400),
        ('{"query":"ü"}'.encode("latin-1"), 400),
        (b'{"query":"\\ud800"}', 400),
        (b'{"query":"x","threshold":NaN}', 400),
        (b'{"query":"x","threshold":1e999}', 422),
        (b'{"query":"\\u0000"}', 200),
        (b'{"query":"x","limit":99999999999999999999999999}', 422),
        (b'{"query":"x","user_id":true}', 422),
        (b'"query"', 422),
        (b'{"query":"x","as_of":"' + b"9" * 1000 + b'"}', 400),
        (b'{"query":"' + b"x " * 200_000 + b'"}', 200),
    ],
)
def test_bodies_of_all_sorts(served: Served, ana: str, body: bytes, status: int) -> None:
    answer = served.ask("POST", "/api/v1/search", ana, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text[:300]


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "", None, "a" * 5000],
)
def test_only_json_in_utf_8_is_read(served: Served, ana: str, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = served.ask("POST", "/api/v1/search", ana, content=b'{"query":"x"}', headers=headers)
    assert answer.status_code == 415


def test_compressed_bodies_are_refused(served: Served, ana: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert served.ask("POST", "/api/v1/search", ana, content=b"x", headers=headers).status_code == 400


def test_too_many_bytes(serve: Serve) -> None:
    served = serve(max_body=10_000, max_import=20_000)
    token = served.key({"user_id": "ana"})
    announced = served.post("/api/v1/memories", token, messages="x" * 10_000_000)

    async def unannounced() -> AsyncIterator[bytes]:
        yield b'{"messages":"'
        for _ in range(1000):
            yield b"x" * 1000

    headers = {"Content-Type": "application/json"}
    streamed = served.ask("POST", "/api/v1/memories", token, content=unannounced(), headers=headers)
    imported = served.ask("POST", "/api/v1/import", token, content=b"x" * 30_000)
    assert {answer.status_code for answer in (announced, streamed, imported)} == {413}
    assert served.get("/api/v1/memories", token).json()["count"] == 0
    lied = served.ask("POST", "/api/v1/search", token, content=b"{}", headers={**headers, "Content-Length": "-1"})
    assert lied.status_code == 413


def test_a_body_that_never_comes(serve: Serve) -> None:
    served = serve(timeout=0.2)
    token = served.key({"user_id": "ana"})

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"messages":'
        await asyncio.sleep(5)
        yield b'"x"}'

    answer = served.ask("POST", "/api/v1/memories", token, content=slow(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 504


def test_buckets() -> None:
    now = 0.0
    buckets = Buckets(2.0, 3, clock=lambda: now)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0, "one key's haste is not another's"
    now = 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0
    now = 100.0
    assert [buckets.take("a") for _ in range(4)].count(0) == 3, "never more than the burst"
    assert Buckets(0.0, 1).take("a") == 0


def test_a_key_that_asks_too_often(serve: Serve) -> None:
    served = serve(rate=0.01, burst=2)
    hasty, other = served.key({"user_id": "ana"}), served.key({"user_id": "bob"})
    answers = [served.get("/api/v1/whoami", hasty) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 90 <= int(answers[-1].headers["retry-after"]) <= 100
    assert served.get("/api/v1/whoami", other).status_code == 200


def test_a_timed_out_request_begins_no_further_write(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    patient, served = serve(), serve(timeout=0.15)
    token = patient.key({"user_id": "ana"})
    remember(patient, token, "before")
    memory, over = served.service.memory, threading.Event()
    real = memory.add

    def slow(*args: Any, **given: Any) -> Any:
        assert over.wait(60)
        return real(*args, **given)

    monkeypatch.setattr(memory, "add", slow)
    try:
        assert served.post("/api/v1/memories", token, messages="late").status_code == 504
    finally:
        over.set()
    served.service._quick.close()
    assert [item["memory"] for item in patient.get("/api/v1/memories", token).json()["results"]] == ["before"]


def test_when_all_threads_are_busy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(threads=1, queue=0)
    token = served.key({"user_id": "ana"})
    remember(served, token, "x")
    real, over = served.service.memory.search, threading.Event()

    def slow(*args: Any, **given: Any) -> Any:
        assert over.wait(60)
        return real(*args, **given)

    monkeypatch.setattr(served.service.memory, "search", slow)

    async def all_three() -> list[int]:
        asked = [served.asking("POST", "/api/v1/search", token, json={"query": "x"}) for _ in range(3)]
        found = []
        for answer in asyncio.as_completed(asked):
            found.append((await answer).status_code)
            if len(found) == 2:
                over.set()
        return found

    assert served.loop.run_until_complete(all_three()) == [503, 503, 200]
    assert served.post("/api/v1/search", token, query="x").status_code == 200


@pytest.mark.parametrize("repeatable", [False, True])
def test_what_takes_long_is_in_nobodys_way(serve: Serve, monkeypatch: pytest.MonkeyPatch, repeatable: bool) -> None:
    """Erasing, sleep and the like have threads of their own, be they sent with an `Idempotency-Key` or without."""
    served = serve(threads=1)
    token = served.key({"user_id": "ana"}, *ALL)
    remember(served, token, "x")
    over = threading.Event()
    monkeypatch.setattr(served.service.memory, "erase", lambda *_, **__: over.wait(90) and {})

    async def both() -> int:
        headers = {"Idempotency-Key": "once"} if repeatable else {}
        body = {"everything": True}
        long = asyncio.ensure_future(served.asking("POST", "/api/v1/erase", token, json=body, headers=headers))
        while not served.service._slow.waiting + served.service._quick.waiting:
            await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(60):
                return (await served.asking("POST", "/api/v1/search", token, json={"query": "x"})).status_code
        finally:
            over.set()
            await long

    assert served.loop.run_until_complete(both()) == 200


@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v1/context", "/search", "/v2/memories/search/"])
def test_a_question_is_no_library(served: Served, ana: str, path: str) -> None:
    """Megabytes of different words, sent as a question, would take a thread for twenty seconds."""
    remember(served, ana, "The key is under the pot")
    longest = "key " * (LONGEST_QUERY // 4)
    assert served.post(path, ana, query=longest).status_code == 200
    refused = served.post(path, ana, query=longest + "x")
    assert refused.status_code == 422
    assert refused.json()["error"]["param"] == "query"


@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v1/memories/list", "/search", "/v3/memories/"])
@pytest.mark.parametrize(
    "wide",
    [
        lambda count: {"topic": {"in": ["x"] * (count - 2)}},
        lambda count: {"OR": [{"topic": "x"}] * ((count - 1) // 2)},
        lambda count: {"OR": [{"AND": [{"topic": {"in": ["x"] * (count - 6)}}]}]},
    ],
)
def test_a_filter_has_so_many_parts(served: Served, ana: str, path: str, wide: Callable[[int], dict[str, Any]]) -> None:
    """Each is compared with every memory of a scope, long after the caller was told that it takes too long."""
    remember(served, ana, "The key is under the pot", metadata={"topic": "x"})
    fits = served.post(path, ana, query="key", filters=wide(WIDEST_FILTER)) if "search" in path else None
    assert fits is None or fits.json()["results"]
    refused = served.post(path, ana, filters=wide(WIDEST_FILTER + 2), **({"query": "key"} if "search" in path else {}))
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_filter"


def test_a_balancer_may_ask_for_the_head_alone(served: Served) -> None:
    answer = served.ask("HEAD", "/api/v1/health")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_memory_is_opened_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two callers who come first at the same time."""
    opened: list[Memory] = []
    real = served.service._opened

    def slow() -> Memory:
        time.sleep(0.1)
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(served.service, "_opened", slow)
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda _: served.service.memory, range(4)))
    assert len(opened) == 1
    assert {id(memory) for memory in found} == {id(opened[0])}


@over_all_stores
def test_a_server_closes_the_store_that_it_opened(serve: Serve) -> None:
    served = serve()
    store = served.service.memory.store
    assert one(store, Count(NOW)) == 0
    served.service.close()
    with pytest.raises(errors.StoreClosed):
        one(store, Count(NOW))


def test_a_server_leaves_a_memory_open_that_it_was_given() -> None:
    with Memory(":memory:", embedder="hash") as memory:
        service = Service(Settings(path=":memory:"), memory)
        assert service.memory is memory
        service.close()
        assert memory.add("x", user_id="ana")["results"]


def test_bugs_say_nothing_but_an_id(served: Served, ana: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr(served.service.memory, "search", broken)
    answer = served.post("/api/v1/search", ana, query="x")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" not in answer.text


def test_metrics(served: Served, root: str, ana: str) -> None:
    remember(served, ana, "a secret word")
    served.get("/api/v1/memories/01J00000000000000000000000", ana)
    served.get("/nowhere/ana", ana)
    text = served.get("/metrics", root).text
    assert 'remanence_requests_total{method="POST",route="/api/v1/memories",status="201"} 1.0' in text
    assert 'route="/api/v1/memories/{memory_id}",status="404"' in text
    assert 'route="unmatched",status="404"' in text
    assert "ana" not in text
    assert "secret" not in text
    assert "remanence_requests_in_progress 1.0" in text


def test_spans(served: Served, ana: str) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from remanence.server import gate

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = gate.TRACER
    trace = "0af7651916cd43dd8448eb211c80319c"
    try:
        vars(gate)["TRACER"] = provider.get_tracer("test")
        served.ask("GET", "/api/v1/memories", ana, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    finally:
        vars(gate)["TRACER"] = before
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /api/v1/memories"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == trace


def test_expiry_is_looked_at_each_time(served: Served, clock: Now) -> None:
    token = served.key({"user_id": "ana"}, *ALL, expires=clock.current + timedelta(minutes=5))
    assert served.get("/api/v1/whoami", token).status_code == 200
    clock.current += timedelta(minutes=6)
    assert served.get("/api/v1/whoami", token).status_code == 401

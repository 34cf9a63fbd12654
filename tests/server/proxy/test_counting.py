"""What the proxy did shows in the counters of the server, case by case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from remanence.server.metrics import Metrics
from remanence.server.proxy.counting import OUTCOMES, Counters
from tests.server.proxy.support import Body, Handler, Place, fails, proxied, says
from tests.server.proxy.test_bad_days import HELLO, Broken, broken, dies, leaving, post, streamed
from tests.support.waiting import eventually

__all__ = ["broken"]

pytestmark = pytest.mark.loopback

PREFIX = "remanence_proxy_"


def counts(metrics: Metrics) -> dict[str, float]:
    """What is not 0, by name and label, without the prefix and suffix that all have."""
    found = {}
    for line in metrics.text().decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(PREFIX) and not name.partition("{")[0].endswith("_created") and float(value):
            found[name.removeprefix(PREFIX).replace("_total", "").replace('"', "")] = float(value)
    return found


def now(place: Place) -> dict[str, float]:
    return counts(place.service.metrics)


def test_what_has_not_happened_is_nought_and_not_missing() -> None:
    metrics = Metrics()
    Counters(metrics.registry)
    assert counts(metrics) == {}
    shown = metrics.text().decode()
    for outcome in OUTCOMES:
        assert f'remanence_proxy_requests_total{{outcome="{outcome}"}} 0.0' in shown
    assert "remanence_proxy_memories_recalled_total 0.0" in shown


def test_an_answer_with_memories_and_a_turn_that_is_repeated(place: Place) -> None:
    place.memory.add("I keep the spare key under the blue flower pot", user_id="ana")
    asked: Body = {"model": "m", "user": "ana", "messages": [{"role": "user", "content": "where is the spare key?"}]}
    assert post(place, asked).status_code == 200
    assert now(place) == {
        "requests{outcome=answered}": 1,
        "memories_recalled": 1,
        "turns{state=stored}": 1,
        "messages_stored": 2,
    }
    assert post(place, asked).status_code == 200
    assert now(place)["turns{state=repeated}"] == 1
    assert now(place)["messages_stored"] == 2


def test_streams_that_end_and_streams_that_break(place: Place) -> None:
    place.up.script = [says("all of it"), streamed("Once upon ", end=dies)]
    assert "[DONE]" in post(place, {**HELLO, "stream": True}).text
    assert now(place)["requests{outcome=streamed}"] == 1
    assert "upstream_broke_off" in post(place, {**HELLO, "stream": True}).text
    found = now(place)
    assert found["requests{outcome=aborted}"] == found["streams_aborted{by=upstream}"] == 1
    assert found["requests{outcome=streamed}"] == 1


def test_a_caller_who_leaves(place: Place) -> None:
    def goes_on(handler: Handler, request: Body) -> None:
        while not handler.service.released.wait(0.02):
            handler.piece(b": still here\n\n")

    place.up.script = [streamed("Once upon ", "a time", end=goes_on)]
    connection = leaving(place, {**HELLO, "stream": True})
    reply = connection.getresponse()
    got = b""
    while b"a time" not in got:
        got += reply.read1()
    reply.close()
    connection.close()
    eventually(lambda: now(place).get("requests{outcome=aborted}"))
    assert now(place)["streams_aborted{by=client}"] == 1


def test_a_caller_who_leaves_before_there_is_an_answer(place: Place) -> None:
    def waits(handler: Handler, request: Body) -> None:
        handler.begin({"Content-Type": "application/json"})
        while not handler.service.released.wait(0.02):
            handler.piece(b" ")

    place.up.script = [waits]
    connection = leaving(place, HELLO)
    eventually(lambda: place.up.paths)
    connection.close()
    eventually(lambda: now(place).get("requests{outcome=left}"))
    assert now(place) == {"requests{outcome=left}": 1}


@pytest.mark.parametrize(("status", "kind"), [(429, "4xx"), (500, "5xx")])
def test_errors_of_the_upstream(place: Place, status: int, kind: str) -> None:
    place.up.script = [fails(status, {"error": {"message": "no"}})]
    assert post(place).status_code == status
    assert now(place) == {"requests{outcome=upstream_error}": 1, f"upstream_errors{{kind={kind}}}": 1}


def test_an_upstream_that_does_not_answer(tmp_path: Path) -> None:
    def hangs(handler: Handler, request: Body) -> None:
        handler.service.released.wait(60)

    with proxied(tmp_path, timeout=0.3) as place:
        place.up.script = [hangs]
        assert post(place).status_code == 504
        assert now(place) == {"requests{outcome=upstream_failed}": 1, "upstream_errors{kind=timeout}": 1}


def test_an_upstream_that_hangs_up(place: Place) -> None:
    place.up.script = [dies]
    assert post(place).status_code == 502
    assert now(place) == {"requests{outcome=upstream_failed}": 1, "upstream_errors{kind=connection}": 1}


def test_what_the_proxy_itself_refuses(place: Place) -> None:
    assert httpx.post(f"{place.base}/chat/completions", content=b"[]", headers={"content-type": "text/plain"},
                      timeout=60, trust_env=False).status_code == 415  # fmt: skip
    assert now(place) == {"requests{outcome=refused}": 1}


def test_a_memory_that_fails(broken: tuple[Place, Broken]) -> None:
    place, memory = broken
    memory.reading = memory.writing = RuntimeError("disk on fire")
    assert post(place).status_code == 200
    assert now(place) == {
        "requests{outcome=answered}": 1,
        "recalls_degraded{reason=recall-failed}": 1,
        "turns{state=failed}": 1,
    }


def test_labels_name_nobody(place: Place) -> None:
    body: dict[str, Any] = {**HELLO, "user": "secret-person"}
    post(place, json.loads(json.dumps(body)))
    assert b"secret-person" not in place.service.metrics.text()

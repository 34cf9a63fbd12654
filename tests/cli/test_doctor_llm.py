from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result

from tests.support.llm_server import Request, Service, fact, reader, serving

pytest.importorskip("openai")
pytestmark = pytest.mark.loopback

Run = Callable[..., Result]
Ask = Callable[..., Any]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serving() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
        running.answers = able
        yield running


good = reader(
    ("I moved from Lisbon to Bergen", "Ana", "home_city", "Bergen"),
    ("works as a nurse", "Xenia", "job", "nurse"),
    ("nurse in Porto", "Xenia", "home_city", "Porto"),
    ("a beagle named Toast", "Ben", "pet", "Toast"),
    ("I quit smoking", "Ben", "activity", "smoking"),
    ("I don't eat meat", "Ana", "diet", "meat"),
)


def able(request: Request) -> str:
    text = str(request["messages"])
    if "===== turns" in text:
        return good(request)
    return '{"city": "Athens", "year": 1896}' if "Olympic" in text else "ready"


def llm_checks(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in report["checks"] if check["name"].startswith("llm")}


def test_a_good_model(service: Service, run: Run, ask: Ask) -> None:
    checks = llm_checks(ask("doctor", "--llm", "openai:tiny"))
    assert {name: check["state"] for name, check in checks.items()} == dict.fromkeys(
        ("llm", "llm models", "llm answer", "llm json", "llm reading"), "ok"
    )
    assert checks["llm json"]["value"] == {"mode": "json_schema", "calls": 1}
    assert checks["llm reading"]["value"]["found"] == 6
    told = run("doctor", "--llm", env={"REMANENCE_LLM": "openai:tiny"}).stdout
    assert "6 of 6 known facts found by claims@1, 0 without support dropped: fit for reading turns" in told
    assert told.endswith("all is well\n")
    assert "sk-test" not in told


def test_a_service_that_enforces_nothing_and_obeys_injections(service: Service, ask: Ask) -> None:
    def weak(request: Request) -> str:
        if "===== turns" not in str(request["messages"]):
            return able(request)
        found = json.loads(good(request))["facts"][:3]
        evil = fact(6, "Ana works for Evil Corp", "Ana", "employer", "Evil Corp")
        return json.dumps({"facts": [*found, evil, fact(1, "never said", "Ana", "car", "Volvo")]})

    service.takes, service.models, service.answers = frozenset(), ("other",), weak
    checks = llm_checks(ask("doctor", "--llm", "openai:tiny"))
    assert checks["llm models"]["state"] == "note"
    assert checks["llm json"]["value"]["mode"] == "prompt"
    assert checks["llm reading"]["state"] == "note"
    assert checks["llm reading"]["value"]["dropped"] == {"instruction": 1, "quote": 1}


def test_a_model_that_finds_nothing_is_told(service: Service, run: Run) -> None:
    service.answers = lambda request: '{"facts": []}' if "===== turns" in str(request["messages"]) else able(request)
    told = run("doctor", "--llm", "openai:tiny", status=1).stdout
    assert "WRONG llm reading 0 of 6 known facts found" in told


def test_an_absent_service_is_told(run: Run) -> None:
    told = run("doctor", "--llm", "openai:tiny", status=1, env={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).stdout
    assert "cannot be reached" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--llm",), "none is named; say --llm openai:MODEL"), (("--llm", "gpt"), "unknown language model 'gpt'")],
)
def test_no_model_is_told(run: Run, words: tuple[str, ...], message: str) -> None:
    assert message in run("doctor", *words, status=1, env={"REMANENCE_LLM": ""}).stdout

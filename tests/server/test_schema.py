"""The published description, and whatever it allows: no request that fits it, or nearly, ends in a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from tests.server.conftest import ALL, Now, Served, remember, serving


def test_the_description_is_public_and_whole(served: Served, ana: str) -> None:
    schema = served.get("/api/v1/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert {"bearer", "header"} == set(schema["components"]["securitySchemes"])
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
            assert operation["description"] or operation["summary"]
            assert "401" in operation["responses"], (path, method)
            assert operation["security"] == [] or path != "/api/v1/health"
    assert "https://" not in json.dumps({k: v for k, v in schema.items() if k != "openapi"}), "it loads nothing"
    for page in ("/docs", "/redoc"):
        assert served.get(page, ana).status_code == 404


def operations(served: Served) -> list[Any]:
    schema = schemathesis.openapi.from_dict(served.get("/api/v1/openapi.json").json())
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(str(tmp_path_factory.mktemp("schema") / "memory.db"), Now()) as serve:
        yield serve()


JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63,
    1e308,
    "",
    "x" * 3000,
    "\u0000",
    "2026-99-99",
    [],
    [[]],
    {},
    {"a": {"$gt": 1}},
    ["a", 1],
)


def broken(body: Any, data: st.DataObject) -> Any:
    """A body that fits the description, with a value in it that need not."""
    junk = data.draw(st.sampled_from(JUNK))
    if not isinstance(body, dict):
        return junk
    return {**body, data.draw(st.sampled_from(sorted(body) or ["query"])): junk}


def test_no_request_is_a_500(open_server: Served) -> None:
    served = open_server
    token = served.key({"user_id": "ana"}, *ALL)
    known = remember(served, token, "the key is under the pot")
    seen: set[int] = set()
    failed: list[str] = []
    found = operations(served)
    assert len(found) > 70

    def send(method: str, path: str, **given: Any) -> None:
        answer = served.ask(method, path.replace("{memory_id}", known), token, **given)
        seen.add(answer.status_code)
        if answer.status_code >= 500:
            failed.append(f"{method} {path} {given}: {answer.text}")

    @settings(max_examples=4, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        for operation in found:
            case = data.draw(operation.as_strategy())
            made = case.as_transport_kwargs(base_url="http://127.0.0.1")
            path, query = made["url"].removeprefix("http://127.0.0.1"), made.get("params") or {}
            if "data" in made:
                raw = made["data"]
                content = raw if isinstance(raw, bytes | str) else json.dumps(raw)
                send(case.method, path, params=query, content=content)
            elif "json" in made:
                send(case.method, path, params=query, json=made["json"])
                send(case.method, path, params=query, json=broken(made["json"], data))
            else:
                send(case.method, path, params=query)
                send(case.method, path, params=broken(query, data))

    fuzz()
    assert failed == []
    assert {200, 201, 400, 403, 404, 422} <= seen, f"the examples reach into the routes: {seen}"

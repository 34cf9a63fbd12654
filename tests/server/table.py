"""Every route with a request that it answers, and the right that this takes. A test sees to it that none is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.server.conftest import Served, remember

ANA = {"user_id": "ana"}


@dataclass(frozen=True)
class Row:
    """One request. `whose`: where the ids of its scope go, "query" or "body"; None where it takes none. `first`: the
    path of the same request that has to be made before."""

    method: str
    path: str
    right: str | None
    body: dict[str, Any] | None = None
    whose: str | None = "query"
    query: tuple[tuple[str, str], ...] = ()
    status: int = 200
    everywhere: bool = False
    raw: bytes | None = None
    first: str | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


V = "/api/v1"
SEARCH = {"query": "where is the key"}
MEM = "{memory}"
ROWS = (
    Row("GET", f"{V}/health", None, whose=None),
    Row("GET", f"{V}/capabilities", "", whose=None),
    Row("GET", f"{V}/whoami", "", whose=None),
    Row("GET", "/metrics", "admin", whose=None, everywhere=True),
    Row("POST", f"{V}/memories", "write", {"messages": "hello"}, "body", status=201),
    Row("POST", f"{V}/memories/batch", "write", {"items": ["one", {"content": "two"}]}, "body", status=201),
    Row("POST", f"{V}/search", "read", SEARCH, "body"),
    Row("POST", f"{V}/context", "read", SEARCH, "body"),
    Row("GET", f"{V}/memories", "read"),
    Row("POST", f"{V}/memories/list", "read", {}, "body"),
    Row("DELETE", f"{V}/memories", "write"),
    Row("GET", f"{V}/memories/{MEM}", "read"),
    Row("PATCH", f"{V}/memories/{MEM}", "write", {"text": "changed"}, "body"),
    Row("DELETE", f"{V}/memories/{MEM}", "write"),
    Row("GET", f"{V}/memories/{MEM}/history", "read"),
    Row("GET", f"{V}/memories/{MEM}/explain", "read"),
    Row("GET", f"{V}/changes", "read"),
    Row("POST", f"{V}/changes/{{change}}/undo", "write", {}, "body"),
    Row("GET", f"{V}/profile", "read"),
    Row("GET", f"{V}/timeline", "read"),
    Row("POST", f"{V}/erase", "erase", {"ids": [MEM]}, "body"),
    Row("GET", f"{V}/receipts", "read"),
    Row("GET", f"{V}/receipts/{{receipt}}", "read"),
    Row("POST", f"{V}/receipts/{{receipt}}/verify", "erase", {}, "body"),
    Row("POST", f"{V}/verify", "admin", {"phrases": ["quite gone"]}, None, everywhere=True),
    Row("POST", f"{V}/sleep", "write", {"dry_run": True}, "body"),
    Row("POST", f"{V}/archive", "write", {"ids": [MEM]}, "body"),
    Row("POST", f"{V}/activate", "write", {"ids": [MEM]}, "body", first=f"{V}/archive"),
    Row("POST", f"{V}/freeze", "write", {"ids": [MEM]}, "body"),
    Row("POST", f"{V}/unfreeze", "write", {"ids": [MEM]}, "body", first=f"{V}/freeze"),
    Row("POST", f"{V}/quarantine", "write", {"ids": [MEM]}, "body"),
    Row("POST", f"{V}/release", "write", {"ids": [MEM]}, "body"),
    Row("GET", f"{V}/audit", "read"),
    Row("GET", f"{V}/jobs", "read"),
    Row("POST", f"{V}/jobs/retry", "write", {}, "body"),
    Row("POST", f"{V}/jobs/discard", "write", {"ids": ["01J00000000000000000000000"]}, "body"),
    Row("POST", f"{V}/work", "write", {"seconds": 0.1}, "body"),
    Row("GET", f"{V}/stats", "read"),
    Row("GET", f"{V}/scopes", "admin"),
    Row("GET", f"{V}/export", "read"),
    Row("POST", f"{V}/import", "write", raw=b'{"role":"user","content":"I have a cat"}\n'),
    Row("POST", "/memories", "write", {"messages": "hello"}, "body"),
    Row("GET", "/memories", "read"),
    Row("DELETE", "/memories", "write"),
    Row("GET", f"/memories/{MEM}", "read"),
    Row("PUT", f"/memories/{MEM}", "write", {"text": "changed"}, "body"),
    Row("DELETE", f"/memories/{MEM}", "write"),
    Row("GET", f"/memories/{MEM}/history", "read"),
    Row("POST", "/search", "read", SEARCH, "body"),
    Row("POST", "/reset", "admin", whose=None),
    Row("GET", "/configure", "admin", whose=None),
    Row("POST", "/configure", "admin", {"llm": {"provider": "openai"}}, None),
    Row("GET", "/configure/providers", "", whose=None),
    Row("GET", "/entities", "admin", whose=None),
    Row("DELETE", "/entities/user/ana", "write", whose=None),
    Row("GET", "/v1/ping/", "", whose=None),
    Row("POST", "/v1/memories/", "write", {"messages": "hello"}, "body"),
    Row("POST", "/v3/memories/add/", "write", {"messages": "hello"}, "body"),
    Row("GET", "/v1/memories/", "read"),
    Row("DELETE", "/v1/memories/", "write"),
    Row("POST", "/v2/memories/", "read", {}, "body"),
    Row("POST", "/v3/memories/", "read", {}, "body"),
    Row("POST", "/v1/memories/search/", "read", SEARCH, "body"),
    Row("POST", "/v2/memories/search/", "read", SEARCH, "body"),
    Row("POST", "/v3/memories/search/", "read", SEARCH, "body"),
    Row("GET", f"/v1/memories/{MEM}/", "read"),
    Row("PUT", f"/v1/memories/{MEM}/", "write", {"text": "changed"}, "body"),
    Row("DELETE", f"/v1/memories/{MEM}/", "write"),
    Row("GET", f"/v1/memories/{MEM}/history/", "read"),
    Row("GET", "/v1/entities/", "admin", whose=None),
    Row("DELETE", "/v1/entities/user/ana/", "write", whose=None),
    Row("DELETE", "/v2/entities/user/ana/", "write", whose=None),
    Row("PUT", "/v1/batch/", "write", {"memories": [{"memory_id": MEM, "text": "changed"}]}, "body"),
    Row("DELETE", "/v1/batch/", "write", {"memories": [{"memory_id": MEM}]}, "body"),
    Row("GET", "/v1/event/{change}/", "read"),
)
PUBLIC = {"GET /api/v1/health", "HEAD /api/v1/health", "GET /api/v1/openapi.json", "HEAD /api/v1/openapi.json"}


@dataclass(frozen=True)
class World:
    """What a store holds before a request of the table is made: Ana's secret, and what she erased."""

    memory: str
    change: str
    receipt: str


SECRET = "the spare key is under the azalea"


def world(served: Served, token: str) -> World:
    """Ana's memory."""
    gone = remember(served, token, "I was born on a ship", **ANA)
    receipt = served.post(f"{V}/erase", token, ids=[gone], **ANA).json()["id"]
    added = served.post(f"{V}/memories", token, messages=SECRET, **ANA).json()
    return World(added["results"][0]["id"], added["change"], receipt)


def send(served: Served, row: Row, there: World, token: str | None, whose: dict[str, str] | None = None) -> Any:
    """Make a request of the table, naming a scope or none."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            for name in ("memory", "change", "receipt"):
                value = value.replace(f"{{{name}}}", getattr(there, name))
            return value
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        return [filled(one) for one in value] if isinstance(value, list) else value

    query = dict(row.query)
    body = None if row.body is None else filled(row.body)
    if whose and row.whose == "query":
        query.update(whose)
    if whose and row.whose == "body" and body is not None:
        body.update(whose)
    given: dict[str, Any] = {"params": query}
    if row.raw is not None:
        given["content"] = row.raw
    elif body is not None:
        given["json"] = body
    return served.ask(row.method, filled(row.path), token, **given)

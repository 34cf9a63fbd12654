"""A server without sockets: requests go straight into the application, as from whom a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from remanence.server.app import create_app
from remanence.server.keys import Keys
from remanence.server.service import Service
from remanence.server.settings import Settings
from tests.server.stores import STORES, address

ALL = ("read", "write", "erase", "admin")


@dataclass
class Served:
    """One server: its application, its keys, and a caller."""

    settings: Settings
    keys: Keys
    app: FastAPI
    loop: asyncio.AbstractEventLoop
    peer: tuple[str, int] = ("127.0.0.1", 4711)
    base: str = "http://127.0.0.1"
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    def key(
        self, scope: Mapping[str, object] | None = None, *rights: str, expires: object = None, name: str = "test"
    ) -> str:
        """A new token."""
        key, token = self.keys.create(name, scope, rights or ("read", "write"), expires=expires)
        self.tokens[token] = key.id
        return token

    def revoke(self, token: str) -> None:
        self.keys.revoke(self.tokens[token])

    def ask(self, method: str, path: str, token: str | None = None, **given: Any) -> httpx.Response:
        """One request; with a token, by `Authorization: Bearer`."""
        return self.loop.run_until_complete(self.asking(method, path, token, **given))

    async def asking(self, method: str, path: str, token: str | None = None, **given: Any) -> httpx.Response:
        headers = dict(given.pop("headers", None) or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app, client=self.peer)
        async with httpx.AsyncClient(transport=transport, base_url=self.base) as client:
            return await client.request(method, path, headers=headers, **given)

    def post(self, path: str, token: str | None = None, **body: Any) -> httpx.Response:
        return self.ask("POST", path, token, json=body)

    def get(self, path: str, token: str | None = None, **query: Any) -> httpx.Response:
        return self.ask("GET", path, token, params=query)


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.current = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.current += timedelta(milliseconds=5)
        return self.current


Serve = Callable[..., Served]


@pytest.fixture
def clock() -> Now:
    return Now()


@contextmanager
def serving(store: str, clock: Now) -> Iterator[Serve]:
    """Makes servers over one store; settings as arguments."""
    made: list[Served] = []
    loop = asyncio.new_event_loop()

    def new(**values: Any) -> Served:
        given = {"path": store, "embedder": "hash", "background": False, "rate": 0.0}
        settings = Settings(**{**given, **values})
        service = Service(settings, clock=clock)
        app = create_app(settings, service=service)
        made.append(Served(settings, Keys(settings.keys_place, clock=clock), app, loop))
        return made[-1]

    yield new
    for served in made:
        served.service.close()
        served.keys.close()
    loop.close()


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the servers' store is: in a file, unless a test is run over others, by `over_all_stores`."""
    with address(getattr(request, "param", "sqlite"), tmp_path) as found:
        yield found


over_all_stores = pytest.mark.parametrize("store", STORES, indirect=True)
"""Runs a test, or all of a file as its `pytestmark`, over each store."""


@pytest.fixture
def serve(store: str, clock: Now) -> Iterator[Serve]:
    with serving(store, clock) as new:
        yield new


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


@pytest.fixture
def ana(served: Served) -> str:
    """A key that reaches Ana's memory alone, and may do everything there."""
    return served.key({"user_id": "ana"}, *ALL, name="ana's app")


@pytest.fixture
def root(served: Served) -> str:
    """A key that reaches everything."""
    return served.key(None, *ALL, name="root")


def remember(served: Served, token: str, text: str, **more: Any) -> str:
    """The id of a new memory."""
    answer = served.post("/api/v1/memories", token, messages=text, **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["results"][0]["id"])

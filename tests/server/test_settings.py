"""Settings: what they refuse, where things lie, and what is missing without the extra."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest

from remanence import server
from remanence.core.errors import InvalidInput, MissingExtra
from remanence.server.run import check
from remanence.server.settings import Settings, is_loopback


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("LOCALHOST", True), ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("192.168.0.1", False), ("example.org", False),
        ("localhost.example.org", False), ("", False), ("127.0.0.1.example.org", False), ("2130706433", False),
        ("::ffff:10.0.0.1", False),
    ],
)  # fmt: skip
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    "values",
    [
        {"host": "0.0.0.0", "auth": False},
        {"port": 70_000},
        {"port": -1},
        {"rate": -1.0},
        {"rate": math.nan},
        {"rate": math.inf},
        {"timeout": 0.0},
        {"timeout": math.nan},
        {"timeout": math.inf},
        {"import_timeout": math.inf},
        {"threads": 0},
        {"max_body": 1},
        {"path": ":memory:", "workers": 2},
        {"path": ":memory:", "auth": True},
    ],
)
def test_what_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Settings(**values)


def test_where_things_lie(tmp_path: Path) -> None:
    settings = Settings(path=str(tmp_path / "a.db"))
    assert settings.keys_place == str(tmp_path / "a.db.keys")
    assert settings.requests_place == str(tmp_path / "a.db.requests")
    assert Settings(path=str(tmp_path / "b.db")).keys_place != settings.keys_place, "one store's keys open no other"
    assert Settings(path=str(tmp_path)).store_file == tmp_path / "remanence.db"
    assert Settings(path=str(tmp_path / "a.db"), keys=str(tmp_path / "k")).keys_place == str(tmp_path / "k")
    database = Settings(path="postgresql://me:secret@db.example/memory?sslmode=require")
    assert database.location() == "postgresql://db.example/memory"
    assert database.store_file is None
    assert database.keys_place == database.requests_place == database.path, "hosts share what they have to"
    apart = database.replaced(keys="postgres://db.example/keys")
    assert (apart.keys_place, apart.requests_place) == ("postgres://db.example/keys", database.path)
    assert database.replaced(keys=str(tmp_path / "k")).keys_place == str(tmp_path / "k")
    assert Settings(path=":memory:").requests_place is None
    with pytest.raises(InvalidInput):
        Settings(path=":memory:").keys_place  # noqa: B018


def test_public_addresses_need_a_usable_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="keys create"):
        check(Settings(path=str(tmp_path / "a.db"), host="0.0.0.0"))
    check(Settings(path=str(tmp_path / "a.db")))
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_settings_travel_in_the_environment() -> None:
    settings = Settings(path="x.db", auth=True, rate=5.0, upstream="http://127.0.0.1:1/v1")
    assert Settings.from_environment({"REMANENCE_SERVER": settings.to_json()}) == settings
    assert Settings.from_environment({}) == Settings()
    for text in ("{", "[]", '{"colour": 1}', '{"threads": "many"}', json.dumps({"host": "0.0.0.0", "auth": False})):
        with pytest.raises(InvalidInput):
            Settings.from_environment({"REMANENCE_SERVER": text})


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else real(name))
    for call in (server.create_app, lambda: server.serve(Settings())):
        with pytest.raises(MissingExtra, match=r"pip install 'remanence\[server\]'"):
            call()

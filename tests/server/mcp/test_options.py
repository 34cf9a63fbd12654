from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from remanence.core.errors import InvalidInput, MissingExtra, ScopeRequired
from remanence.server import mcp
from remanence.server.mcp import Options
from remanence.server.mcp.budget import cursor, cut, data_tokens, digest, position
from remanence.server.settings import Settings


def test_where_the_official_profile_keeps_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMANENCE_DIR", str(tmp_path / "data"))
    assert Options(profile="official").graph_file == tmp_path / "data" / "memory.jsonl"
    monkeypatch.chdir(tmp_path)
    assert Options(profile="official", memory_file="g.jsonl").graph_file == tmp_path / "g.jsonl"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Options(profile="official", memory_file="~/g.jsonl").location() == str(tmp_path / "g.jsonl")


def test_a_server_over_stdio_has_to_know_whose_memories() -> None:
    with pytest.raises(ScopeRequired):
        Options()
    assert Options(ids={"user_id": "ana"}).tokens == 2_000
    assert Options(profile="official", max_tokens=500).tokens == 500


def test_options_that_cannot_be_used_are_named() -> None:
    with pytest.raises(InvalidInput, match="profile='x'"):
        Options(profile="x")
    with pytest.raises(InvalidInput, match="transport='sse'"):
        Options(transport="sse")
    with pytest.raises(InvalidInput, match="max_tokens=5"):
        Options(ids={"user_id": "a"}, max_tokens=5)
    with pytest.raises(InvalidInput, match="workers=2"):
        Options(ids={"user_id": "a"}, settings=Settings(workers=2))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else find(name))
    with pytest.raises(MissingExtra, match=r"remanence\[server\]"):
        mcp.serve(Options(ids={"user_id": "a"}), print)


def test_a_cursor_leads_back_to_its_place_and_nowhere_else() -> None:
    about = digest("query", {"a": 1})
    assert position(cursor("3:4", about), about) == "3:4"
    assert position(None, about) is None
    for wrong in ("", "3", "3.", ".".join(("3", about[:-1])), f"3\n.{about}", "x" * 10_000, f"{'9' * 50}.{about}"):
        with pytest.raises(InvalidInput, match="no cursor"):
            position(wrong, about)
    with pytest.raises(InvalidInput, match="does not fit"):
        position(cursor(3, digest("other")), about)


@pytest.mark.parametrize("text", ["", "a", "word " * 5000, " " * 100_000, "漢" * 5000, '"\\\n' * 3000, "x" * 100_000])
def test_a_cut_text_fits_and_is_a_beginning(text: str) -> None:
    found, longer = cut(text, 50)
    assert text.startswith(found)
    assert longer == (found != text)
    assert data_tokens(found) <= 50
    assert len(found) <= 400 or not longer
    if text:
        assert found

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remanence.cli.app import root

Run = Callable[..., Result]
"""Run one command line in this process: words, then `input`, `status` (expected) and `env`."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command line in an empty directory whose store is for one test only."""
    monkeypatch.chdir(tmp_path)

    def call(
        *words: str, input: str | bytes | None = None, status: int = 0, env: dict[str, str] | None = None
    ) -> Result:
        # The embedder without a table: what is tested is the command line.
        given = {"REMANENCE_EMBEDDER": "hash", **(env or {})}
        result = CliRunner().invoke(root, words, input=input, env=given, prog_name="remanence")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return call


@pytest.fixture
def ask(run: Run) -> Callable[..., Any]:
    """The JSON that a command line prints."""

    def call(*words: str, **options: Any) -> Any:
        return json.loads(run(*words, "--json", **options).stdout)

    return call


@pytest.fixture
def said_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added is kept, and nothing is worked out from it."""
    for module in ("adding", "transfer"):
        monkeypatch.setattr(f"remanence.cli.{module}.finish_soon", lambda memory: None)

"""Examples in docstrings of the package run as written."""

from __future__ import annotations

import doctest
import importlib
import types
from pathlib import Path

import pytest

from tests.architecture.tree import package_sources


def modules() -> list[str]:
    paths = [source.path for source in package_sources() if ">>> " in source.text]
    return [".".join(Path(path).with_suffix("").parts[1:]).removesuffix(".__init__") for path in paths]


def failures(module: types.ModuleType, directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """(failed, tried) of a module's examples, run in an empty directory."""
    monkeypatch.chdir(directory)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    return result.failed, result.attempted


@pytest.mark.parametrize("name", modules())
def test_the_examples_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, tried = failures(importlib.import_module(name), tmp_path, monkeypatch)
    assert tried > 0
    assert failed == 0


def test_a_wrong_example_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("planted", "Text.\n\n>>> 1 + 1\n3\n")
    assert failures(module, tmp_path, monkeypatch) == (1, 1)

"""The layers of the design hold, and the tool that says so would notice if they did not."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGE, ROOT


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command as c; sys.argv[1:] = ['--no-cache']; c()"
    return subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False)


def test_the_layers_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [str(line) for line in next(c for c in contracts if c["id"] == "layers")["layers"]]


def layer_names() -> list[str]:
    return [name for line in layers() for name in line.replace("|", " ").split()]


def test_parentheses_stand_only_around_what_does_not_exist_yet() -> None:
    for name in layer_names():
        module = name.strip("()")
        exists = (PACKAGE / module / "__init__.py").is_file() or (PACKAGE / f"{module}.py").is_file()
        assert exists != name.startswith("("), f"layer {module}: {'drop' if exists else 'add'} the parentheses"


def test_contributing_lists_the_layers_that_exist() -> None:
    existing = [name for name in layer_names() if name.isidentifier() and name != "__main__"]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listed = [line.split()[0] for line in text.partition("```text\n")[2].partition("```")[0].splitlines()]
    assert listed == existing


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An empty package under the project's contracts, with all its packages and all layers that it may ever have."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    packages = {source.parent.relative_to(PACKAGE) for source in PACKAGE.rglob("__init__.py")}
    for package in packages | {Path(name.strip("()")) for name in layer_names()}:
        (tmp_path / "remanence" / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / "remanence" / package / "__init__.py").write_text("")
    (tmp_path / "remanence/kernels/heavy.py").write_text("import torch\n")
    # The imports that a contract excepts, without which that contract is refused.
    named = tmp_path / "remanence/stores/embedders"
    (named / "sentence_transformers.py").write_text("")
    (named / "__init__.py").write_text("def f():\n    import remanence.stores.embedders.sentence_transformers\n")
    (tmp_path / "remanence/runtime/bulk/on_ray.py").write_text("def f():\n    import ray\n")
    for place in ("server", "server/mcp"):
        module = f"remanence.{place.replace('/', '.')}.run"
        (tmp_path / f"remanence/{place}/run.py").write_text("")
        (tmp_path / f"remanence/{place}/__init__.py").write_text(f"def f():\n    import {module}\n")
    return tmp_path


def test_an_empty_copy_passes(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("kernels/x.py", "import remanence.stores"),
        ("core/x.py", "def f():\n    import remanence.kernels"),
        ("mechanisms/x.py", "import remanence.stores"),
        ("core/x.py", "import numpy"),
        ("runtime/x.py", "def f():\n    import torch"),
        ("runtime/bulk/spread.py", "def f():\n    import ray"),
        ("cli/x.py", "import remanence.kernels.heavy"),
        ("unknown/__init__.py", ""),
    ],
)
def test_a_violation_breaks_a_contract(copy: Path, module: str, text: str) -> None:
    path = copy / "remanence" / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    result = lint_imports(copy)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout or "unknown" in result.stdout

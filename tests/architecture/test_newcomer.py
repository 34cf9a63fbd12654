"""What CONTRIBUTING tells a newcomer to do works: three files, and the mechanism is everywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGE, ROOT
from tests.docs.blocks import blocks

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = re.compile(r"^`((?:src|tests)/[\w/]+\.py)`\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SLUG = "fading_words"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the three files of the guide, and nothing else added."""
    copy = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(PACKAGE, copy / "src/remanence", ignore=shutil.ignore_patterns("__pycache__"))
    files = FILES.findall(GUIDE)
    assert [path for path, _ in files] == [
        f"src/remanence/mechanisms/records/{SLUG}.py",
        f"src/remanence/witnesses/records/{SLUG}.py",
        f"tests/mechanisms/records/test_{SLUG}.py",
    ]
    for path, text in files:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (copy / path).exists()
        (copy / path).write_text(text, encoding="utf-8")
    return copy


def run(place: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(place / "src"), "COLUMNS": "200", "REMANENCE_DIR": str(place)}
    done = subprocess.run(
        [sys.executable, *command], cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def remanence(place: Path, *arguments: str) -> str:
    return run(place, "-m", "remanence", *arguments)


def test_it_is_listed_and_shown(place: Path) -> None:
    assert re.search(rf"^{SLUG} .* working$", remanence(place, "systems"), re.MULTILINE)
    assert "|words(m) ∩ words(q)| * exp(-age(m) / tau)" in remanence(place, "show", SLUG)


def test_its_witness_holds_and_it_keeps_the_rules(place: Path) -> None:
    assert "current first" in remanence(place, "witness", SLUG)
    report = remanence(place, "check", SLUG)
    assert re.search(r"^\d+ pass, \d+ not-claimed$", report, re.MULTILINE), report


def test_it_stands_in_the_benchmark_and_in_the_documents(place: Path) -> None:
    table = remanence(place, "bench", "dialogues", "--systems", f"{SLUG},dense")
    assert f"| `{SLUG}` |" in table
    run(place, "-m", "remanence.bench", "witnesses", "--slug", SLUG, "--out", "results/witnesses.json")
    run(place, "-m", "remanence.bench", "mechanisms", "--results", "results", "--out", "docs/mechanisms")
    page = (place / f"docs/mechanisms/{SLUG}.md").read_text(encoding="utf-8")
    assert "current first" in page
    assert f"]({SLUG}.md)" in (place / "docs/mechanisms/index.md").read_text(encoding="utf-8")


def test_its_test_passes_and_its_code_is_clean(place: Path) -> None:
    path = f"tests/mechanisms/records/test_{SLUG}.py"
    assert "3 passed" in run(place, "-m", "pytest", "-q", "-p", "no:cacheprovider", path)
    settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    written = [path for path, _ in FILES.findall(GUIDE)]
    run(place, "-m", "ruff", "check", *settings, *written)
    run(place, "-m", "ruff", "format", "--check", *settings, *written)


def test_the_commands_of_the_guide_are_those_that_were_run() -> None:
    shown = [command for block in blocks(GUIDE) if block.language == "console" for command, _ in block.commands()]
    assert {f"remanence {verb} {SLUG}" for verb in ("show", "witness", "check")} < set(shown)
    assert f"remanence bench dialogues --systems {SLUG},dense" in shown

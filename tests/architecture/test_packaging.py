"""What the package says of itself is true: versions, pins, extras, and what is in the repository."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement

import remanence
from tests.architecture.tree import ROOT, project_files

BASE = {"click", "numpy", "pystemmer", "rich", "simsimd"}
LARGEST_FILE = 10_000_000


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Version by package of a constraints file; every line pins exactly one version."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert wrong == [], "not an exact pin"
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def requirements() -> list[Requirement]:
    """All that pyproject asks for: to build, to run, and by extra."""
    data = project()
    groups = [data["build-system"]["requires"], data["project"]["dependencies"]]
    groups += data["project"]["optional-dependencies"].values()
    return [Requirement(line) for group in groups for line in group]


def unpinned(wanted: list[Requirement], versions: dict[str, str]) -> list[str]:
    return [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(versions.get(normal(requirement.name), "0"))
    ]


def test_the_version_is_one() -> None:
    version = project()["project"]["version"]
    assert remanence.__version__ == version
    assert f"\n## {version} " in (ROOT / "CHANGELOG.md").read_text()


def test_every_requirement_is_pinned_within_its_range() -> None:
    assert unpinned(requirements(), pins((ROOT / "constraints.txt").read_text())) == []


def test_a_missing_or_outdated_pin_is_seen() -> None:
    wanted = [Requirement("Py_Stemmer>=2"), Requirement("numpy>=2.0"), Requirement("click>=8")]
    assert unpinned(wanted, {"py-stemmer": "2.1", "numpy": "1.26"}) == ["numpy>=2.0", "click>=8"]
    with pytest.raises(AssertionError):
        pins("numpy>=2\n")


def test_the_base_stays_small() -> None:
    assert {normal(Requirement(line).name) for line in project()["project"]["dependencies"]} == BASE


def test_extras_that_are_named_exist() -> None:
    extras = set(project()["project"]["optional-dependencies"])
    for path in project_files():
        if path.suffix in {".py", ".md", ".toml"}:
            named = set(re.findall(r"\bremanence\[([a-z-]+)\]", path.read_text(encoding="utf-8")))
            assert named <= extras, f"{path.relative_to(ROOT)} names an extra that does not exist"


def test_the_repository_holds_no_large_file() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in project_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}

"""What the architecture tests look at: the files of the checkout, read once."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "remanence"


@dataclass(frozen=True)
class Source:
    """One Python file: `path` is relative to the repository root, with forward slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.path)

    @property
    def layer(self) -> str:
        """`core` for src/remanence/core/ids.py, `` for a file outside the package or directly in it."""
        parts = self.path.split("/")
        return parts[2] if parts[:2] == ["src", "remanence"] and len(parts) > 3 else ""


@lru_cache(maxsize=1)
def project_files() -> tuple[Path, ...]:
    """Every file that a commit of the working tree would hold (so also new ones, but nothing that git ignores)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    names = sorted({name for name in listed.decode().split("\0") if name})
    return tuple(ROOT / name for name in names if (ROOT / name).is_file())


@lru_cache(maxsize=1)
def sources() -> tuple[Source, ...]:
    """All Python files of the project."""
    return tuple(
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in project_files()
        if path.suffix == ".py"
    )


def package_sources() -> tuple[Source, ...]:
    """The Python files under src/."""
    return tuple(source for source in sources() if source.path.startswith("src/"))

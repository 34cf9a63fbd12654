"""Prompts as files: `<name>.<version>.md` with its answer's schema in `<name>.<version>.json` beside it.

A prompt that could get other answers is a new version, and a new file: what was read with an old one stays told apart.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from remanence.core.errors import InvalidInput

__all__ = ["Prompt", "prompt", "prompts"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions for a model, and what its answer must look like."""

    name: str
    """Name and version: "claims@1"."""
    text: str
    schema: dict[str, Any]

    def render(self, **values: str) -> str:
        """The text with `{name}` replaced by each value; other braces stay as they are."""
        text = self.text
        for name, value in values.items():
            if f"{{{name}}}" not in text:
                raise InvalidInput(f"prompt {self.name} has no place for {name!r}")
            text = text.replace(f"{{{name}}}", value)
        return text


@lru_cache(maxsize=32)
def prompt(name: str) -> Prompt:
    """The prompt of a name and version ("claims@1"). Raises `InvalidInput` naming those that there are."""
    if name not in prompts():
        raise InvalidInput(f"there is no prompt {name!r}; there are {', '.join(prompts())}")
    stem, _, version = name.partition("@")
    here = files(__name__)
    text = (here / f"{stem}.{version}.md").read_text(encoding="utf-8")
    schema = json.loads((here / f"{stem}.{version}.json").read_text(encoding="utf-8"))
    return Prompt(name, text.strip(), schema)


def prompts() -> tuple[str, ...]:
    """Names and versions of all prompts, sorted."""
    names = (re.fullmatch(r"(\w+)\.(\d+)\.md", file.name) for file in files(__name__).iterdir())
    return tuple(sorted(f"{found[1]}@{found[2]}" for found in names if found))

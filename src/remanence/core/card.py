"""What a mechanism, a benchmark or a study says of itself: one literal per file, read without importing the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from remanence.core.errors import InvalidInput

Substrate = Literal["records", "kv", "sequence", "weights", "training", "maps", "policy"]
SUBSTRATES: tuple[Substrate, ...] = get_args(Substrate)
EntryKind = Literal["benchmark", "study", "survey"]
ENTRY_KINDS: tuple[EntryKind, ...] = get_args(EntryKind)
_SLUG = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Identity of a mechanism: what it is, where it comes from, what it claims and what it needs."""

    slug: str
    """File name and command-line name."""
    substrate: Substrate
    """Folder name; decides the contract, the rules, the scenarios and the docs template."""
    title: str
    paper: str
    """Key of the publication in the catalog's bibliography; empty for the project's own mechanisms."""
    claim: str
    """The direction that the witness must reproduce."""
    idea: str = ""
    """What the method does, in a sentence or two."""
    equation: str = ""
    """The central formula, in plain text; the file shows where it is computed."""
    source: str = ""
    """Public code of the authors, as owner/name on GitHub; empty where none was found."""
    can: frozenset[str] = frozenset()
    """Optional abilities claimed; each one switches on more rules."""
    needs: frozenset[str] = frozenset()
    """Extras, a model or a device; decides where it can run."""
    deviations: tuple[str, ...] = ()
    """Where it knowingly differs from the publication."""
    waivers: Mapping[str, str] = field(default_factory=dict)
    """Rule id to reason; a waived rule is still run and must still fail."""

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.slug):
            raise InvalidInput(f"slug {self.slug!r} must be a lower-case Python identifier, like the file's name")
        if self.substrate not in SUBSTRATES:
            raise InvalidInput(f"substrate {self.substrate!r} of card {self.slug!r} is none of {', '.join(SUBSTRATES)}")
        if not self.claim:
            raise InvalidInput(f"card {self.slug!r} claims nothing; say what its witness must show")


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryCard:
    """Identity of a publication's counterpart that is no mechanism: a benchmark, a study or a survey."""

    slug: str
    """Name on the command line; unique among all cards."""
    kind: EntryKind
    title: str
    paper: str
    """Key of the publication in the catalog's bibliography; empty for the project's own."""
    about: str
    """What it measures or tells, in a sentence or two."""

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.slug):
            raise InvalidInput(f"slug {self.slug!r} must be a lower-case Python identifier")
        if self.kind not in ENTRY_KINDS:
            raise InvalidInput(f"kind {self.kind!r} of card {self.slug!r} is none of {', '.join(ENTRY_KINDS)}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a witness measured: the mechanism's value beside its baseline's, on one seed."""

    metric: str
    value: float
    baseline: float
    higher_is_better: bool = True

    @property
    def holds(self) -> bool:
        """Whether the mechanism beats the baseline."""
        return self.value > self.baseline if self.higher_is_better else self.value < self.baseline

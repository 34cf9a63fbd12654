"""The publications behind the project: what each is, and which files of the package realise it.

`publications.json` holds facts alone. Whether a publication is there is never written down: it follows from the cards
that name it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from remanence.catalog import index
from remanence.core.card import Card, EntryCard, Substrate

Kind = Literal["system", "benchmark", "study", "survey"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Status = Literal["working", "partly", "planned"]
STATUSES: tuple[Status, ...] = get_args(Status)

_FILE = Path(__file__).with_name("publications.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A publication whose memory mechanism, benchmark or findings belong here."""

    key: str
    """What a card's `paper` names."""
    number: int | None
    """Its place in the project's plan; None for one that came later."""
    name: str
    """Short name, as published."""
    title: str
    year: int
    """Of its first publication."""
    kinds: tuple[Kind, ...]
    """What it is; the main thing first."""
    substrates: tuple[Substrate, ...]
    """Where its mechanisms belong; empty when it brings none."""
    source: str
    """Public code of the authors, as owner/name on GitHub; empty where none is known."""


@lru_cache(maxsize=1)
def publications() -> tuple[Publication, ...]:
    """All publications by number, then those without one."""
    rows = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Publication(**{**row, "kinds": tuple(row["kinds"]), "substrates": tuple(row["substrates"])}) for row in rows
    )


def publication(key: str) -> Publication:
    """The publication with a key. Raises `InvalidInput`, which tells the nearest keys."""
    for one in publications():
        if one.key == key:
            return one
    raise index.unknown(key, [one.key for one in publications()])


def realised_by(one: Publication) -> tuple[str, ...]:
    """Slugs of the mechanisms, then of the benchmarks, studies and surveys, whose card names the publication."""
    found: list[Card | EntryCard] = [*index.cards().values(), *index.entry_cards().values()]
    return tuple(card.slug for card in found if card.paper == one.key)


def missing(one: Publication) -> tuple[Kind, ...]:
    """Which of the things that a publication is have no card that names it: a mechanism for a system, and so on."""
    cards: list[Card | EntryCard] = [*index.cards().values(), *index.entry_cards().values()]
    there = {card.kind if isinstance(card, EntryCard) else "system" for card in cards if card.paper == one.key}
    return tuple(kind for kind in one.kinds if kind not in there)


def status(one: Publication) -> Status:
    """Tell "working" when cards realise all that the publication is, "partly" when they do some, else "planned"."""
    left = missing(one)
    return "planned" if left == one.kinds else "partly" if left else "working"

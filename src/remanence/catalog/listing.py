"""One list over what works and what is planned, and all that is known about one name of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from remanence.catalog import index
from remanence.catalog.bibliography import (
    Kind,
    Publication,
    Status,
    missing,
    publication,
    publications,
    realised_by,
    status,
)
from remanence.core.card import Card, EntryCard, Substrate


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A mechanism, a benchmark, a study or a survey that works, or what of a publication is still to come."""

    slug: str
    """Slug of the card; key of the publication for what is planned."""
    kinds: tuple[Kind, ...]
    substrates: tuple[Substrate, ...]
    title: str
    paper: str
    """Short name of the publication; empty for the project's own."""
    year: int | None
    can: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    status: Status = "working"


def listed() -> list[Listed]:
    """Mechanisms by substrate, then benchmarks, studies and surveys, then what is planned, in the order of the plan."""
    cards: list[Card | EntryCard] = [*index.cards().values(), *index.entry_cards().values()]
    rows = [_of_card(card) for card in cards]
    rows += [
        Listed(
            slug=one.key,
            kinds=left,
            substrates=one.substrates,
            title=one.title,
            paper=one.name,
            year=one.year,
            status=status(one),
        )
        for one in publications()
        if (left := missing(one))
    ]
    return rows


def select(
    rows: Collection[Listed],
    *,
    status: Status | None = None,
    kind: Kind | None = None,
    substrate: Substrate | None = None,
    can: Collection[str] = (),
    needs: Collection[str] = (),
) -> list[Listed]:
    """The rows that are all of what is asked; None and empty ask nothing. `can` and `needs`: rows that have all."""
    return [
        row
        for row in rows
        if status in (None, row.status)
        and (kind is None or kind in row.kinds)
        and (substrate is None or substrate in row.substrates)
        and set(can) <= set(row.can)
        and set(needs) <= set(row.needs)
    ]


def counts(rows: Collection[Listed]) -> dict[str, int]:
    """How many mechanisms and other entries work, how many publications there are, and how many of those have no part
    that works, or some."""
    working = [row for row in rows if row.status == "working"]
    mechanisms = sum("system" in row.kinds for row in working)
    return {
        "mechanisms": mechanisms,
        "other": len(working) - mechanisms,
        "planned": sum(row.status == "planned" for row in rows),
        "partly": sum(row.status == "partly" for row in rows),
        "publications": len(publications()),
    }


def describe(name: str) -> dict[str, Any]:
    """All that is known about a slug, or about a publication by its key, as plain data.

    Raises `InvalidInput`, which tells the nearest names.
    """
    mechanisms, others = index.cards(), index.entry_cards()
    if name in mechanisms:
        return _mechanism(mechanisms[name])
    if name in others:
        return _entry(others[name])
    keys = {one.key for one in publications()}
    if name not in keys:
        raise index.unknown(name, keys | mechanisms.keys() | others.keys())
    one = publication(name)
    return {"slug": name, "status": status(one), "title": one.title, "publication": _publication(one)}


def _of_card(card: Card | EntryCard) -> Listed:
    paper = publication(card.paper) if card.paper else None
    named: dict[str, Any] = {
        "slug": card.slug,
        "title": card.title,
        "paper": paper.name if paper else "",
        "year": paper.year if paper else None,
    }
    if isinstance(card, EntryCard):
        return Listed(**named, kinds=(card.kind,), substrates=())
    can, needs = tuple(sorted(card.can)), tuple(sorted(card.needs))
    return Listed(**named, kinds=("system",), substrates=(card.substrate,), can=can, needs=needs)


def _mechanism(card: Card) -> dict[str, Any]:
    return {
        "slug": card.slug,
        "status": "working",
        "kind": "system",
        "substrate": card.substrate,
        "title": card.title,
        "publication": _publication(publication(card.paper)) if card.paper else None,
        "idea": card.idea,
        "equation": card.equation,
        "source": card.source,
        "claim": card.claim,
        "can": sorted(card.can),
        "needs": sorted(card.needs),
        "deviations": list(card.deviations),
        "waivers": dict(card.waivers),
        "witness": index.has_witness(card.slug),
        "module": index.module_of(card.slug),
    }


def _entry(card: EntryCard) -> dict[str, Any]:
    return {
        "slug": card.slug,
        "status": "working",
        "kind": card.kind,
        "title": card.title,
        "publication": _publication(publication(card.paper)) if card.paper else None,
        "about": card.about,
        "module": index.module_of(card.slug),
    }


def _publication(one: Publication) -> dict[str, Any]:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(one).items()}
    return {**plain, "status": status(one), "realised_by": list(realised_by(one))}

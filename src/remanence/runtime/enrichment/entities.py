"""Entities: everybody and everything that is named, once per normalised name, with links to the turns that name them.

Edges: turn → entity "mentions", turn → entity "spoken_by", entity → entity "alias" (weight: its score; the shorter name
first). Names are never merged. A link between them that a user takes away (`Unlink`) is not made again as long as both
entities stand, for an entity notes which links it was given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from remanence.kernels.aliases import links, relations
from remanence.kernels.names import name_key, names
from remanence.kernels.summaries import sentences
from remanence.runtime.enrichment.handler import Batch, newest_versions, speaks
from remanence.runtime.enrichment.made import Made, rewrite, standing
from remanence.substrates.records.model import Draft, Edge, Record, Source, View
from remanence.substrates.records.operations import Edges, Erase, Find, Link, Unlink, WriteOperation

MENTIONS: Final = "mentions"
SPOKEN_BY: Final = "spoken_by"
ALIAS: Final = "alias"
LINE: Final = 160
"""Characters of the sentence that introduces an entity."""


@dataclass(slots=True)
class _Entity:
    """What is known of one name."""

    key: str
    id: str
    name: str = ""
    """As its first turn writes it."""
    first: str = ""
    speaks: bool = False
    relations: list[list[Any]] = field(default_factory=list)
    """What it is to whom: `[owner, relation, turn, start, end]`, by turn."""
    aliases: list[list[Any]] = field(default_factory=list)
    """Longer names that it may stand for: `[key, reason, score]`."""
    old: Made | None = None


class Entities:
    """Makes records of kind "entity" in the home scope."""

    name: ClassVar[str] = "entities"
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """The writes that make the entities what the turns say."""
        if not (batch.turns or batch.gone or batch.changed):
            return []
        turns = {turn.id: turn for turn in batch.turns}
        if batch.gone:
            # An erasure takes an entity along that rested on what was erased, with its edges to all who name it.
            (found,) = batch.read([Find(View(batch.now), limit=None, closed=True, derived=False)])
            turns |= {record.id: record for record in found if speaks(record)}
        work = _Work(batch, turns, standing(batch, "entity", self.name))
        work.renew_spoilt()
        work.mention()
        work.relate()
        return work.operations()


HANDLER = Entities()


class _Work:
    """One job's change to the entities of a home scope."""

    def __init__(self, batch: Batch, turns: Mapping[str, Record], made: Sequence[Made]) -> None:
        self.batch = batch
        self.turns = turns
        self.touched = touched = {*turns, *batch.gone}
        self.barred = {one.draft.meta["key"] for one in made if one.closed}
        self.entities = {one.draft.meta["key"]: _read(one) for one in made if not one.closed}
        self.first: list[WriteOperation] = []
        self.edges: list[WriteOperation] = []
        self.stale = {one.key for one in self.entities.values() if one.id in batch.changed or one.first in touched}
        self.removed: set[str] = set()
        # Which names may be short for which was noted for just these, unless somebody else was at it.
        self.noted = None if batch.gone or batch.changed else self._called()

    def renew_spoilt(self) -> None:
        """Make entities anew, under other ids, that rest on words of closed or erased turns."""
        gone = set(self.batch.gone)
        for entity in list(self.entities.values()):
            assert entity.old is not None
            if gone.isdisjoint(source.id for source in entity.old.draft.sources):
                continue
            fresh = _Entity(entity.key, self.batch.new_id(), relations=entity.relations)
            kept = [edge for edge in self._edges_of(entity) if edge.source not in self.touched]
            self.first.append(Erase((entity.id,), reason="made anew"))
            self.edges += [Link(Edge(edge.source, fresh.id, edge.type)) for edge in kept]
            self._begin(fresh, kept)
            if kept:
                self.entities[entity.key] = fresh
                self.stale.add(entity.key)
            else:
                del self.entities[entity.key]

    def mention(self) -> None:
        """Bring the edges of the touched turns up to date, and with them what comes first."""
        known: tuple[Edge, ...] = ()
        if self.touched:
            (known,) = self.batch.read([Edges(tuple(sorted(self.touched)), (MENTIONS, SPOKEN_BY))])
        ids = {entity.id: entity for entity in self.entities.values()}
        before = {_plain(edge) for edge in known if edge.source in self.touched and edge.target in ids}
        wanted: dict[Edge, None] = {}
        for id, turn in self.turns.items():
            named = [(key, MENTIONS) for key in dict.fromkeys(map(name_key, names(turn.text))) if key]
            if speaker := name_key(turn.speaker or ""):
                named.append((speaker, SPOKEN_BY))
            for key, type in named:
                if key in self.barred:
                    continue
                entity = self.entities.get(key)
                if entity is None:
                    entity = self.entities[key] = _Entity(key, self.batch.new_id(), first=id)
                    self.stale.add(key)
                if type == SPOKEN_BY and not entity.speaks:
                    entity.speaks = True
                    self.stale.add(key)
                wanted[Edge(id, entity.id, type)] = None
                if id < entity.first:
                    entity.first = id
                    self.stale.add(key)
        lost = before - wanted.keys()
        for target in {edge.target for edge in lost}:
            entity = ids[target]
            rest = [edge for edge in map(_plain, self._edges_of(entity)) if edge not in lost]
            rest += [edge for edge in wanted if edge.target == target]
            self._begin(entity, rest)
            self.stale.add(entity.key)
            if not rest:
                self.removed.add(entity.key)
                del self.entities[entity.key]
                self.first.append(Erase((entity.id,), reason="no longer named"))
                lost = {edge for edge in lost if edge.target != target}
        self.edges += [Unlink(edge) for edge in sorted(lost)]
        self.edges += [Link(edge) for edge in wanted if edge not in before]

    def relate(self) -> None:
        """Note what somebody is to others, and which names may be short for which."""
        found: dict[str, list[list[Any]]] = defaultdict(list)
        for id, turn in self.turns.items():
            named = set(map(name_key, names(turn.text)))
            for alias in relations(turn.text):
                if name_key(alias.name) not in named:
                    continue
                owner = alias.owner or turn.speaker or self.batch.home.user_id or "user"
                found[name_key(alias.name)].append([owner, alias.relation, id, alias.start, alias.end])
        for key, entity in self.entities.items():
            now = [one for one in entity.relations if one[2] not in self.touched] + found.get(key, [])
            if now != entity.relations:
                entity.relations = sorted(now, key=lambda one: one[2:])
                self.stale.add(key)

    def operations(self) -> list[WriteOperation]:
        """All writes: erasures, then entities, then edges."""
        self._name()
        self._alias()
        stale = [self.entities[key] for key in sorted(self.stale - self.removed) if key in self.entities]
        existing = {entity.key: entity.old for entity in stale if entity.old is not None}
        firsts = self._texts({entity.first for entity in stale})
        drafts = {entity.key: self._draft(entity, firsts[entity.first]) for entity in stale}
        return [*self.first, *rewrite(self.batch, existing, drafts), *self.edges]

    def _name(self) -> None:
        unnamed = [self.entities[key] for key in self.stale if key in self.entities]
        texts = self._texts({entity.first for entity in unnamed})
        for entity in unnamed:
            entity.name = _spelt(entity.key, texts[entity.first])

    def _called(self) -> set[tuple[str, str, bool]]:
        """All names, and who of them speaks."""
        return {(entity.key, entity.name, entity.speaks) for entity in self.entities.values()}

    def _alias(self) -> None:
        if self.noted == self._called():
            return
        speakers = [entity.name for entity in self.entities.values() if entity.speaks]
        noted: dict[str, list[list[Any]]] = defaultdict(list)
        for link in links([entity.name for entity in self.entities.values()], speakers):
            if link.short in self.entities and link.full in self.entities:
                noted[link.short].append([link.full, link.reason, link.score])
        for key, entity in sorted(self.entities.items()):
            before = [] if entity.old is None else entity.old.draft.meta["aliases"]
            entity.aliases = noted.get(key, [])
            if entity.aliases != before:
                self.stale.add(key)
            for full, _, score in entity.aliases:
                other = self.entities[full]
                # One that was noted before and is not there was taken away by somebody.
                if other.old is None or full not in {one[0] for one in before}:
                    self.edges.append(Link(Edge(entity.id, other.id, ALIAS, score)))
            for full, _, score in before:
                if full in self.entities and full not in {one[0] for one in entity.aliases}:
                    self.edges.append(Unlink(Edge(entity.id, self.entities[full].id, ALIAS, score)))

    def _draft(self, entity: _Entity, turn: Record) -> Draft:
        start, end = _introduction(entity.name, turn.text)
        line = " ".join(turn.text[start:end].split())
        said = f"{turn.speaker}: {line}" if turn.speaker else line
        roles = list(dict.fromkeys(f"{owner}'s {relation}" for owner, relation, *_ in entity.relations))
        spans = [Source(turn.id, start, end), *(Source(*one[2:]) for one in entity.relations)]
        return self.batch.draft(
            "\n".join((f"{entity.name}: {', '.join(roles)}" if roles else entity.name, said)),
            id=entity.id,
            kind="entity",
            scope=self.batch.home,
            sources=tuple(dict.fromkeys(spans)),
            event_at=turn.event_at,
            valid_from=turn.event_at,
            meta={
                "key": entity.key,
                "name": entity.name,
                "first": entity.first,
                "speaks": entity.speaks,
                "relations": entity.relations,
                "aliases": entity.aliases,
            },
        )

    def _begin(self, entity: _Entity, edges: Collection[Edge]) -> None:
        entity.first = min((edge.source for edge in edges), default="")
        entity.speaks = any(edge.type == SPOKEN_BY for edge in edges)

    def _edges_of(self, entity: _Entity) -> list[Edge]:
        (edges,) = self.batch.read([Edges((entity.id,), (MENTIONS, SPOKEN_BY))])
        return list(edges)

    def _texts(self, ids: Collection[str]) -> Mapping[str, Record]:
        missing = sorted(id for id in ids if id not in self.turns)
        found = {record.id: record for record in newest_versions(self.batch.engine, missing, self.batch.home)}
        return found | {id: self.turns[id] for id in ids if id in self.turns}


def _read(made: Made) -> _Entity:
    meta = made.draft.meta
    return _Entity(
        meta["key"], made.id, meta["name"], meta["first"], meta["speaks"], meta["relations"], meta["aliases"], made
    )


def _plain(edge: Edge) -> Edge:
    return Edge(*edge[:3])


def _spelt(key: str, turn: Record) -> str:
    spelt = next((name for name in names(turn.text) if name_key(name) == key), None)
    return spelt or turn.speaker or key


def _introduction(name: str, text: str) -> tuple[int, int]:
    """The first sentence that holds the name, else the first of all; its first `LINE` characters."""
    spans = sentences(text) or [(0, len(text))]
    start, end = next(((a, b) for a, b in spans if name in text[a:b]), spans[0])
    return start, min(end, start + LINE)

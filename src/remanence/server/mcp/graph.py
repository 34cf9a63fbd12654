"""The knowledge graph of the official memory server: its lines as they stand in the file, and what they say.

    {"type": "entity", "name": …, "entityType": …, "observations": […]}
    {"type": "relation", "from": …, "to": …, "relationType": …}

A line that cannot be read, or is something else, keeps its place and its bytes. A line that is changed keeps what it
holds besides. Several lines on one entity are read as one.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remanence.core.errors import NotFound

__all__ = ["Entity", "Graph", "Relation"]

Relation = tuple[str, str, str]
"""From, to, and how."""
_BOM: Final = b"\xef\xbb\xbf"
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity and what is known of it."""

    name: str
    type: str
    observations: tuple[str, ...]


@dataclass(slots=True)
class _Line:
    """One line. `value` is the object if it is an entity or a relation, as `kind` says."""

    raw: bytes
    kind: str
    value: dict[str, Any]


class Graph:
    """A graph as its lines. Changes touch the lines that they concern and add new ones at the end."""

    def __init__(self, data: bytes = b"") -> None:
        parts = data.removeprefix(_BOM).split(b"\n")
        self._lines = [_line(part.rstrip(b"\r")) for part in parts if part.strip()]
        self.changed = False

    def __bytes__(self) -> bytes:
        return b"".join(line.raw + b"\n" for line in self._lines)

    @property
    def damaged(self) -> int:
        """Lines that cannot be read as JSON objects, or are an entity or a relation only by name."""
        return sum(line.kind == "damaged" for line in self._lines)

    def entities(self) -> dict[str, Entity]:
        """All entities by name, in the order of the file."""
        found: dict[str, Entity] = {}
        for line in self._of("entity"):
            value = line.value
            old = found.get(value["name"])
            said = dict.fromkeys((*(old.observations if old else ()), *value["observations"]))
            found[value["name"]] = Entity(value["name"], (old or _entity(value)).type, tuple(said))
        return found

    def relations(self) -> list[Relation]:
        """All relations once, in the order of the file."""
        return list(dict.fromkeys(_relation(line.value) for line in self._of("relation")))

    def create_entities(self, entities: Iterable[Entity]) -> list[Entity]:
        """Add those whose name is not there yet; which these were."""
        known = {line.value["name"] for line in self._of("entity")}
        new = []
        for entity in entities:
            if entity.name not in known:
                known.add(entity.name)
                new.append(entity)
                self._add("entity", {"name": entity.name, "entityType": entity.type,
                                     "observations": list(entity.observations)})  # fmt: skip
        return new

    def create_relations(self, relations: Iterable[Relation]) -> list[Relation]:
        """Add those that are not there yet; which these were. Raises `NotFound` for an end that is no entity."""
        wanted = list(dict.fromkeys(relations))
        names = {line.value["name"] for line in self._of("entity")}
        for start, end, _ in wanted:
            for name in (start, end):
                if name not in names:
                    raise _missing(name)
        known = set(self.relations())
        new = [relation for relation in wanted if relation not in known]
        for start, end, kind in new:
            self._add("relation", {"from": start, "to": end, "relationType": kind})
        return new

    def add_observations(self, additions: Iterable[tuple[str, Sequence[str]]]) -> list[tuple[str, list[str]]]:
        """Add what is not said yet, per entity; what that was. Raises `NotFound` for a name that is no entity."""
        lines: dict[str, list[_Line]] = {}
        for line in self._of("entity"):
            lines.setdefault(line.value["name"], []).append(line)
        results = []
        for name, contents in additions:
            if name not in lines:
                raise _missing(name)
            said = {text for line in lines[name] for text in line.value["observations"]}
            new = [text for text in dict.fromkeys(contents) if text not in said]
            if new:
                first = lines[name][0]
                self._replace(first, {**first.value, "observations": [*first.value["observations"], *new]})
            results.append((name, new))
        return results

    def delete_entities(self, names: Collection[str]) -> list[str]:
        """Remove entities with their relations; which of them were there."""
        gone, there = set(names), {line.value["name"] for line in self._of("entity")}
        self._keep(
            lambda line: (
                not (
                    (line.kind == "entity" and line.value["name"] in gone)
                    or (line.kind == "relation" and not gone.isdisjoint((line.value["from"], line.value["to"])))
                )
            )
        )
        return [name for name in dict.fromkeys(names) if name in there]

    def delete_observations(self, deletions: Iterable[tuple[str, Collection[str]]]) -> tuple[int, list[str]]:
        """Remove observations; how many were there, and the names that are no entities."""
        count, missing = 0, []
        for name, texts in deletions:
            lines = [line for line in self._of("entity") if line.value["name"] == name]
            if not lines:
                missing.append(name)
                continue
            gone, met = set(texts), set()
            for line in lines:
                kept = [text for text in line.value["observations"] if text not in gone]
                met.update(gone.intersection(line.value["observations"]))
                if len(kept) < len(line.value["observations"]):
                    self._replace(line, {**line.value, "observations": kept})
            count += len(met)
        return count, missing

    def delete_relations(self, relations: Iterable[Relation]) -> int:
        """Remove relations; how many of them were there."""
        gone = set(relations)
        there = gone.intersection(self.relations())
        self._keep(lambda line: not (line.kind == "relation" and _relation(line.value) in gone))
        return len(there)

    def _of(self, kind: str) -> Iterator[_Line]:
        return (line for line in self._lines if line.kind == kind)

    def _add(self, kind: str, value: Mapping[str, Any]) -> None:
        whole = {"type": kind, **value}
        self._lines.append(_Line(_dump(whole), kind, whole))
        self.changed = True

    def _replace(self, line: _Line, value: dict[str, Any]) -> None:
        line.value, line.raw = value, _dump(value)
        self.changed = True

    def _keep(self, wanted: Any) -> None:
        kept = [line for line in self._lines if wanted(line)]
        self.changed |= len(kept) < len(self._lines)
        self._lines = kept


def _line(raw: bytes) -> _Line:
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return _Line(raw, "damaged", {})
    match value:
        case {"type": "entity", "name": str()}:
            texts = value.setdefault("observations", [])
            kind = value.setdefault("entityType", "")
            sound = isinstance(kind, str) and isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            return _Line(raw, "entity" if sound else "damaged", value)
        case {"type": "relation", "from": str(), "to": str(), "relationType": str()}:
            return _Line(raw, "relation", value)
        case {"type": str(kind)} if kind not in ("entity", "relation"):
            return _Line(raw, "other", value)
        case _:
            return _Line(raw, "damaged", {})


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    """A number; the largest there is for one beyond, which JSON could not be written with."""
    value = float(digits)
    return value if math.isfinite(value) else math.copysign(sys.float_info.max, value)


def _dump(value: Mapping[str, Any]) -> bytes:
    """One line, laid out as the official server does. Half a surrogate pair stays an escape."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def _entity(value: Mapping[str, Any]) -> Entity:
    return Entity(value["name"], value["entityType"], tuple(value["observations"]))


def _relation(value: Mapping[str, Any]) -> Relation:
    return value["from"], value["to"], value["relationType"]


def _missing(name: str) -> NotFound:
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    return NotFound(f"Entity with name {shown} not found; create it first")

"""Which entities answer a query, and how much of a graph fits into an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.bm25 import Postings, idf, length_norms, saturate
from remanence.kernels.fusion import reciprocal_rank_fusion
from remanence.server.mcp.budget import clean, cut, data_tokens
from remanence.server.mcp.graph import Entity, Relation

__all__ = ["Page", "Pieces", "Ranking", "page", "pieces"]

_FIELDS: Final = 24
"""Tokens of the names of fields, brackets and quotes of one entity or relation."""
_QUOTES: Final = 3
_ROOM: Final = 32
"""Least tokens into which it makes sense to cut an observation."""

Pieces = Sequence[Entity | Relation]


Index = tuple[Postings, NDArray[np.int32]]
"""Where terms occur, and how many each entity has."""


class _Cut(NamedTuple):
    """One entity, cut into numbered terms, and casefolded: name, type, all observations."""

    named: list[int]
    told: list[int]
    folded: tuple[str, str, str]


class Ranking:
    """The entities of one graph, ready to be searched.

    Three rankings are fused by reciprocal rank: BM25 over all that is said of an entity, BM25 over names and types, and
    entities that hold the whole query as it stands, which is all that the official server finds.

    `before`: the ranking of an earlier state of the graph; entities that are as they were need not be cut again.
    """

    def __init__(self, entities: Mapping[str, Entity], analyzer: Analyzer, before: Ranking | None = None) -> None:
        self._analyzer = analyzer
        # A copy: another thread may be making its own ranking from the same one.
        self._terms: dict[str, int] = {} if before is None else dict(before._terms)
        known: dict[Entity, _Cut] = {} if before is None else before._cut
        self._cut: dict[Entity, _Cut] = {
            entity: known.get(entity) or self._cut_up(entity) for entity in entities.values()
        }
        self._entities = list(self._cut)
        self._all = _index([[*cut.named, *cut.told] for cut in self._cut.values()])
        self._names = _index([cut.named for cut in self._cut.values()])

    def search(self, query: str) -> list[Entity]:
        """Entities with any word of the query, or with the query as a whole in them, best first."""
        terms = self.terms(query)
        rankings = [self._by_words(self._all, terms), self._by_words(self._names, terms), self._by_whole(query)]
        return [self._entities[row] for row, _ in reciprocal_rank_fusion(rankings)]

    def terms(self, query: str) -> list[str]:
        """The distinct terms of a query, without stop words unless it has nothing else."""
        terms = list(dict.fromkeys(self._analyzer.terms(query)))
        return [term for term in terms if not is_stopword(term)] or terms

    def told_first(self, entity: Entity, query: str) -> Entity:
        """The entity with the observations that share most words with the query in front."""
        wanted = set(self.terms(query))
        told = sorted(entity.observations, key=lambda text: -len(wanted.intersection(self._analyzer.terms(text))))
        return Entity(entity.name, entity.type, tuple(told))

    def _cut_up(self, entity: Entity) -> _Cut:
        folded = entity.name.casefold(), entity.type.casefold(), "\n".join(entity.observations).casefold()
        return _Cut(self._numbers((entity.name, entity.type)), self._numbers(entity.observations), folded)

    def _numbers(self, texts: Iterable[str]) -> list[int]:
        terms = (term for text in texts for term in self._analyzer.terms(text))
        return [self._terms.setdefault(term, len(self._terms)) for term in terms]

    def _by_words(self, index: Index, terms: Sequence[str]) -> list[int]:
        postings, lengths = index
        scores = np.zeros(len(lengths), np.float32)
        norms = length_norms(lengths.astype(np.float64))
        known = [self._terms[term] for term in terms if term in self._terms]
        for rows, frequencies in postings.of_many(known):
            scores[rows] += saturate(frequencies, norms[rows], idf(len(lengths), len(rows)))
        order = np.argsort(-scores, kind="stable")
        return [int(row) for row in order if scores[row] > 0]

    def _by_whole(self, query: str) -> list[int]:
        wanted = query.casefold()
        places = [
            (next(place for place, text in enumerate(cut.folded) if wanted in text), row)
            for row, cut in enumerate(self._cut.values())
            if any(wanted in text for text in cut.folded)
        ]
        return [row for _, row in sorted(places)]


def _index(rows: Sequence[Sequence[int]]) -> Index:
    lengths = np.array([len(row) for row in rows], np.int32)
    terms = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
    postings = Postings()
    postings.append(terms, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    return postings, lengths


def pieces(
    entities: Iterable[Entity], relations: Iterable[Relation], *, loose: bool = False
) -> list[Entity | Relation]:
    """Entities in order, each followed by the relations whose ends have all been shown by then.

    A relation with one end among the entities comes after that one; others are left out, or come last if `loose`.
    """
    shown = list(entities)
    place = {entity.name: at for at, entity in enumerate(shown)}
    after: dict[int, list[Relation]] = {}
    for relation in relations:
        ends = [place[name] for name in relation[:2] if name in place]
        if ends or loose:
            after.setdefault(max(ends, default=len(shown)), []).append(relation)
    found: list[Entity | Relation] = []
    for at, entity in enumerate(shown):
        found.append(entity)
        found.extend(after.get(at, ()))
    found.extend(after.get(len(shown), ()))
    return found


@dataclass(slots=True)
class Page:
    """What fits. `next` is where to go on: the piece, and the observation within it."""

    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    next: tuple[int, int] | None = None
    truncated: bool = False
    """Whether a text was cut that is longer than a whole answer may be, or a name that is longer than a quarter."""


def page(found: Pieces, budget: int, start: tuple[int, int] = (0, 0)) -> Page:
    """As many pieces from `start` on as `budget` tokens hold, at least a part of one.

    An entity that does not fit is shown with the observations that do, and again, with the others, on the next page.
    """
    result = Page()
    left = budget
    first, told = start

    def short(text: str) -> str:
        beginning, longer = cut(clean(text), max(budget // 4 - _FIELDS, _ROOM))
        result.truncated |= longer
        return f"{beginning}…" if longer else beginning

    for at in range(first, len(found)):
        piece = found[at]
        if not isinstance(piece, Entity):
            cost = _FIELDS + sum(data_tokens(short(text)) for text in piece)
            if cost > left and left < budget:
                result.next = (at, 0)
                return result
            left -= cost
            result.relations.append((short(piece[0]), short(piece[1]), short(piece[2])))
            continue
        name, kind = short(piece.name), short(piece.type)
        head = _FIELDS + data_tokens(name) + data_tokens(kind)
        observations = piece.observations[told:]
        fit, cost = _fitting(observations, left - head)
        if not fit and observations:
            if left < budget:
                result.next = (at, told)
                return result
            text, longer = cut(clean(observations[0]), max(budget - head - _QUOTES, _ROOM))
            result.truncated |= longer
            fit, cost = [f"{text}…" if longer else text], budget
        elif head > left and left < budget:
            result.next = (at, told)
            return result
        result.entities.append(Entity(name, kind, tuple(fit)))
        left -= head + cost
        if len(fit) < len(observations):
            result.next = (at, told + len(fit))
            return result
        told = 0
    return result


def _fitting(texts: Sequence[str], budget: int) -> tuple[list[str], int]:
    """The first texts that fit, and what they cost."""
    fit: list[str] = []
    spent = 0
    for text in texts:
        cost = data_tokens(clean(text)) + _QUOTES
        if spent + cost > budget:
            break
        spent += cost
        fit.append(clean(text))
    return fit, spent

"""A base for memories that read their turns as triples and walk over the graph of the phrases in them.

What a turn says is kept as a record of kind "extraction" that rests on the turn; every distinct phrase (and, where a
method wants them, every distinct triple) as a record that rests on the first extraction with it, so that it has a
vector. Forgetting a turn takes its extraction and with it whatever rested on that; what other turns say too is put back
from their extractions. The graph itself is never stored: it follows from the extractions, so its counts of support are
always right, and index(A and B) then forget(B) is index(A).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.openie import (
    Extraction,
    OpenIE,
    Triple,
    checked,
    extract_all,
    grounded,
    phrase_key,
    query_entities,
)
from remanence.kernels.pagerank import Graph
from remanence.kernels.phrase_graph import Pairs, PhraseGraph, capped, is_linkable, synonym_pairs
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import TURN, RecordMemory, key_of, whole
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.port import RecordStore

__all__ = ["EXTRACTION", "FACT", "PHRASE", "Link", "PhraseMemory", "Synonyms", "fact_of", "fact_text", "min_max"]

EXTRACTION: Final = "extraction"
"""Kind of what a turn says."""
PHRASE: Final = "phrase"
"""Kind of a distinct phrase; its text is its `phrase_key`."""
FACT: Final = "triple"
"""Kind of a distinct triple."""

Link = tuple[int, float]
"""A phrase of the graph, and the cosine by which something was linked to it (1: it is that very phrase)."""

LONGEST = 200
"""Characters of the longest phrase that is kept."""
MOST_CHARACTERS = 120_000
"""Of all that is kept of one text: a record holds a megabyte of JSON, and a character takes up to six bytes."""

_STRINGS: Final = {"type": "array", "items": {"type": "string"}}
_ENTITIES: Final = {
    "type": "object",
    "properties": {"named_entities": _STRINGS},
    "required": ["named_entities"],
    "additionalProperties": False,
}
_TRIPLES: Final = {
    "type": "object",
    "properties": {"triples": {"type": "array", "items": _STRINGS}},
    "required": ["triples"],
    "additionalProperties": False,
}
_NAME = (
    "List every named entity of the given text, spelt as there: people, places, organisations, works, dates, numbers."
)
_RELATE = (
    "Turn the given passage into triples of subject, relation and object, each an array of exactly three strings. "
    "Every triple should hold at least one of the named entities, better two. Replace pronouns by the names that they "
    "stand for. State nothing that the passage does not say."
)


class Synonyms:
    """Pairs of phrases with near vectors, found once per phrase however the set of phrases grows and shrinks."""

    def __init__(self, least: float, most: int) -> None:
        self.least, self.most = least, most
        self._rows: dict[str, int] = {}
        self._codes: NDArray[np.int8] = np.zeros((0, 0), np.int8)
        self._scales: NDArray[np.float32] = np.zeros(0, np.float32)
        self._pairs = Pairs.none()

    def unknown(self, phrases: Iterable[str]) -> list[str]:
        """Those of the phrases that may have synonyms and were not compared yet."""
        return [phrase for phrase in phrases if phrase not in self._rows and is_linkable(phrase)]

    def add(self, phrases: Sequence[str], codes: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        """Compare phrases with all before them, and with each other. Those without a vector (scale 0) stay unknown."""
        has = scales > 0
        if not has.any():
            return
        since = len(self._rows)
        self._rows.update((phrase, since + i) for i, phrase in enumerate(np.array(phrases, object)[has]))
        self._codes = np.concatenate([self._codes.reshape(since, codes.shape[1]), codes[has]])
        self._scales = np.concatenate([self._scales, scales[has]])
        fresh = synonym_pairs(self._codes, self._scales, self.least, since=since)
        self._pairs = Pairs.joined([self._pairs, fresh])

    def among(self, number: dict[str, int]) -> Pairs:
        """The pairs among numbered phrases, at most `most` per phrase."""
        numbers = np.array([number.get(phrase, -1) for phrase in self._rows], np.intp)
        return capped(self._pairs.among(numbers), self.most)


class PhraseMemory(RecordMemory):
    """Turns read as triples by `openie` (default: the model if there is one, else rules), and their phrase graph.

    `synonym` is the cosine from which two phrases are synonyms, `most_synonyms` how many a phrase has at most.
    """

    UNITS: ClassVar[str] = EXTRACTION
    """Kind of the records whose `entities` and `triples` the graph is made of."""
    ANSWERS: ClassVar[str] = TURN
    """Kind of what a read finds, the graph's passages: the turns that units rest on, or the units themselves."""
    KEEPS_FACTS: ClassVar[bool] = False
    """Whether distinct triples are records too, to be found by their vectors."""
    WALKS_PASSAGES: ClassVar[bool] = False
    """Whether passages are nodes of the graph to walk on."""

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        openie: OpenIE | None = None,
        synonym: float = 0.8,
        most_synonyms: int = 100,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        self.openie = openie
        self.synonym = synonym
        self._synonyms = Synonyms(synonym, most_synonyms)
        self._graph: tuple[list[tuple[str, int]], PhraseGraph] = ([], PhraseGraph())

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Read the turns that were not read yet; then keep each phrase (and fact) that has no record."""
        turns = self.open_turns(EXTRACTION, now)
        made = self.keep([self._extraction(*pair) for pair in zip(turns, self._read(turns), strict=True)], now)
        return made + self.complete(now)

    def complete(self, now: datetime) -> list[str]:
        """Keep each phrase (and fact) that has no record; their ids."""
        return self.keep(self._missing(now), now)

    # What turns say

    def _read(self, turns: Sequence[Record]) -> list[Extraction]:
        texts = [key_of(turn) for turn in turns]
        if self.openie is not None:
            return checked(self.openie(texts), texts) if texts else []
        found = extract_all(texts)
        if self.llm is not None:
            found = [self._asked(text) or rules for text, rules in zip(texts, found, strict=True)]
        return found

    def _asked(self, text: str) -> Extraction | None:
        """What the model reads in a passage: first its entities, then triples of them; None where it is of no use."""
        named = self.ask(_NAME, {"text": text}, _ENTITIES)
        if named is None:
            return None
        entities = grounded(Extraction(tuple(named["named_entities"])), text).entities
        related = self.ask(_RELATE, {"passage": text, "named_entities": entities}, _TRIPLES)
        triples = [] if related is None else [(one[0], one[1], one[2]) for one in related["triples"] if len(one) == 3]
        found = grounded(Extraction(entities, tuple(triples)), text)
        return found if found.triples else None

    @staticmethod
    def _extraction(turn: Record, said: Extraction) -> Draft:
        left = MOST_CHARACTERS
        kept: list[tuple[str, ...]] = []
        for parts in (*((entity,) for entity in said.entities), *said.triples):
            left -= sum(map(len, parts)) + 10 * len(parts)
            if left >= 0 and max(map(len, parts)) <= LONGEST:
                kept.append(parts)
        entities, triples = [one[0] for one in kept if len(one) == 1], [list(one) for one in kept if len(one) == 3]
        meta = {"entities": entities, "triples": triples}
        text = "; ".join(fact_text((one[0], one[1], one[2])) for one in triples[:3]) or "; ".join(entities[:3])
        return Draft(text or "nothing", kind=EXTRACTION, event_at=turn.event_at, meta=meta, sources=whole(turn))

    def _missing(self, now: datetime) -> list[Draft]:
        graph = self.phrases(now)
        current = self.current(now)
        units = list(current.of(self.UNITS).values())
        known = {record.text for record in current.of(PHRASE).values()}
        drafts = [
            self._resting(units[graph.origin[node]], PHRASE, phrase, {})
            for phrase, node in graph.number.items()
            if phrase not in known
        ]
        if self.KEEPS_FACTS:
            facts = {fact_of(record) for record in current.of(FACT).values()}
            drafts += [
                self._resting(units[passage], FACT, fact_text(fact), {"triple": list(fact)})
                for fact, passage in graph.facts.items()
                if fact not in facts
            ]
        return drafts

    @staticmethod
    def _resting(unit: Record, kind: str, text: str, meta: dict[str, Any]) -> Draft:
        return Draft(text, kind=kind, event_at=unit.event_at, meta=meta, sources=whole(unit))

    # The graph

    def phrases(self, now: datetime) -> PhraseGraph:
        """The graph of all that turns say; passage j is `passages(now)[j]`."""

        def make() -> PhraseGraph:
            units = self.current(now).of(self.UNITS)
            versions = [(record.id, record.version) for record in units.values()]
            known, graph = self._graph
            if versions[: len(known)] != known:
                known, graph = [], PhraseGraph()
            for record in list(units.values())[len(known) :]:
                triples = tuple((one[0], one[1], one[2]) for one in record.meta["triples"])
                graph.append(Extraction(tuple(record.meta["entities"]), triples))
            self._graph = versions, graph
            return graph

        return self.cached("phrases:graph", make)

    def passages(self, now: datetime) -> list[str]:
        """Ids of what the passages of the graph are, in their order."""
        units = self.current(now).of(self.UNITS)
        return list(units) if self.ANSWERS == self.UNITS else [unit.sources[0].id for unit in units.values()]

    def synonyms(self, now: datetime) -> Pairs:
        """Synonymous phrases of the graph."""

        def make() -> Pairs:
            number = self.phrases(now).number
            records = {record.text: record.id for record in self.current(now).of(PHRASE).values()}
            fresh = [phrase for phrase in self._synonyms.unknown(number) if phrase in records]
            if fresh:
                index = self.index()
                rows = index.rows([records[phrase] for phrase in fresh])
                scales = np.where(rows >= 0, index.scales[rows], np.float32(0))
                self._synonyms.add(fresh, index.codes[rows], scales)
            return self._synonyms.among(number)

        return self.cached("phrases:synonyms", make)

    def walk(self, now: datetime) -> Graph:
        """The graph to walk on: phrases first, then passages where these are nodes."""
        return self.cached(
            "phrases:walk", lambda: self.phrases(now).walk(self.synonyms(now), passages=self.WALKS_PASSAGES)
        )

    # Questions

    def entities_of(self, query: str, now: datetime) -> list[str]:
        """What a question names: as the model says, where there is one, else by rules and known phrases."""
        named = self.ask(_NAME, {"text": query}, _ENTITIES)
        entities = () if named is None else grounded(Extraction(tuple(named["named_entities"])), query).entities
        keys = list(dict.fromkeys(map(phrase_key, entities)))
        return keys or query_entities(query, self.phrases(now).number)

    def linked(self, entities: Sequence[str], now: datetime) -> list[Link]:
        """The most similar phrase of each entity, each phrase once: the entity itself where it is a known phrase."""
        number = self.phrases(now).number
        found: dict[int, float] = {}
        for entity in entities:
            if entity in number:
                found[number[entity]] = 1.0
                continue
            for id, cosine in self.nearest(entity, 1, kinds=(PHRASE,)):
                record = self.current(now).get(id)
                if cosine > 0 and record is not None and record.text in number:
                    node = number[record.text]
                    found[node] = max(found.get(node, 0.0), min(cosine, 1.0))
        return list(found.items())

    def nearness(self, query: str, now: datetime) -> NDArray[np.float64]:
        """[passages] the cosine of each passage with a question; -1 for one without a vector."""
        turns = self.passages(now)
        near = dict(self.nearest(query, len(turns), kinds=(self.ANSWERS,)))
        return np.array([near.get(turn, -1.0) for turn in turns])

    def by_nearness(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The passages nearest to a question."""
        scored = self.nearest(query, k, kinds=(self.ANSWERS,))
        return self.hits(scored, k, now=now, channels={id: {"dense": score} for id, score in scored})


def min_max(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values stretched to 0 … 1; all 1 where they are equal."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def fact_text(fact: Triple) -> str:
    """A triple as one line."""
    return " ".join(part for part in fact if part)


def fact_of(record: Record) -> Triple:
    """The triple that a record of kind `FACT` holds, subject and object by `phrase_key`."""
    one, two, three = record.meta["triple"]
    return one, two, three

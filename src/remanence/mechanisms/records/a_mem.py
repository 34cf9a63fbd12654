"""A-MEM: notes that describe themselves, link to their likes, and rewrite what their neighbours say of themselves.

    note  m_i = {content c_i, time t_i, keywords K_i, tags G_i, context X_i, vector e_i, links L_i}
    e_i   = enc(c_i + X_i + K_i + G_i)
    write N = the k nearest notes by cosine;  L_i ⊆ N;  X_j, G_j of linked j ∈ N are written anew, and e_j with them
    read  the notes nearest to the query, and the notes that are linked with them

One note stands for each turn; links lie between the turns, whose ids never change. A note names as sources its own turn
first, then every turn that lent it a word, so that forgetting a turn takes back what it lent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.errors import EmbeddingError
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import idf
from remanence.kernels.notes import Note, NoteBox, describe
from remanence.substrates.chat import ChatModel, Schema
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import KEY, TURN, RecordMemory, whole
from remanence.substrates.records.following import Current
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Edge, Record
from remanence.substrates.records.operations import Link, Operation, Put, Revise, Unlink
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="a_mem",
    substrate="records",
    title="A-MEM: agentic memory",
    paper="a_mem",
    claim="finds what shares no word with the question, over links between notes, more often than search alone",
    idea="Each note describes itself by keywords, tags and a context, links to similar notes, and rewrites how old "
    "neighbours describe themselves, so that they are found under the new words too.",
    equation="e_i = enc(c_i + K_i + G_i + X_i);  L_i, {X_j, G_j : j in top-k cos(e_i, e_j)} <- evolve(m_i, neighbours)",
    source="WujiangXu/AgenticMemory",
    can=frozenset({"update", "forget"}),
    deviations=(
        "without a model: keywords by tf-idf, tags by vote among linked notes in place of clusters, context = first "
        "sentence and its dates; linked from cosine `link`, or from `shared` with a name in common",
        "without a model: neighbours are the k nearest, and the k nearest of those with a name in common, because "
        "vectors without a model tell sentences apart by their frames; such a one takes over a name (else a keyword) "
        "of the new note that it lacks",
        "an evolved note is embedded at once, not at every hundredth evolution; ids everywhere, never ranks",
        "links are followed both ways, and linked notes take at most half of the k places that a read has",
        "the query is embedded as it is, not rewritten into keywords; no retrieval counts; no category",
    ),
)
NOTE = "note"
LINK = "linked"
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": [*properties], "properties": properties}


_DESCRIPTION = _object(keywords=_TEXTS, context=_TEXT, tags=_TEXTS)
_REWRITTEN: Schema = {"type": "array", "items": _object(id=_TEXT, context=_TEXT, tags=_TEXTS)}
_EVOLUTION = _object(links=_TEXTS, tags=_TEXTS, neighbours=_REWRITTEN)
_DESCRIBE = (
    "Describe a note for a card index. keywords: at least three words that carry its meaning, the weightiest first, no "
    "names of speakers and no times. context: one sentence on what it is about and what for. tags: at least three "
    "broad classes it belongs to."
)
_EVOLVE = (
    "A new note joins a card index; the existing notes most like it are given with their ids. links: ids of those that "
    "belong together with the new note. tags: tags of the new note, seen beside them. neighbours: for each existing "
    "note that the new one puts in another light, its id with a context and tags that say so; leave out the others."
)


class AMem(RecordMemory):
    """Notes, links and evolution.

    `neighbours`: how many notes a new one is compared with (k of the paper). `link`: cosine from which two notes are
    linked; `shared`: the same where they have a name in common. `keywords`, `tags`: how many a note gets without a
    model. `about`: how many words a note takes over at most; the oldest gives way. `links`: share of the places of a
    read that linked notes may take; 0 follows no links. `evolve`: whether neighbours are rewritten.
    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        neighbours: int = 5,
        link: float = 0.55,
        shared: float = 0.2,
        keywords: int = 6,
        tags: int = 3,
        about: int = 6,
        links: float = 0.5,
        evolve: bool = True,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        self.neighbours = neighbours
        self.link_from = link
        self.shared_from = shared
        self.most_keywords = keywords
        self.most_tags = tags
        self.most_about = about
        self.links = links
        self.evolve = evolve

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        """Let go of notes together with their turns, of their links, and of the words that they lent."""
        current = self.current(now)
        asked = dict.fromkeys(ids)
        held = [id for id in asked if current.get(id) is not None]
        super().forget([self._turn_id(id, current) for id in held], now=now)
        return len(held)

    def update(self, id: str, text: str, *, now: datetime) -> None:
        """Replace what a note says: its turn is replaced, and noted anew. `NotFound`."""
        super().update(self._turn_id(id, self.current(now)), text, now=now)

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """A note for every turn that has none, one after the other, all kept in one transaction."""
        current = self.current(now)
        stored = {record.sources[0].id: record for record in current.of(NOTE).values()}
        new = [turn for id, turn in current.of(TURN).items() if id not in stored]
        if not new:
            return []
        fresh = {turn.id for turn in new}
        edges = self.edges(LINK)
        # Links of a turn that is noted anew belong to what it said before.
        stale = {edge for edge in edges if edge.source in fresh or edge.target in fresh}
        box = NoteBox(
            [
                Note.from_attributes(id, note.text, note.speaker, note.event_at, note.meta)
                for id, note in stored.items()
            ],
            self.vectors_of([note.id for note in stored.values()]),
            [(edge.source, edge.target) for edge in edges if edge not in stale],
            len(new),
            self._vectors,
        )
        made = [edge for note in self._described(new) for edge in self._placed(note, box)]
        changed = {id: self._draft(box.notes[id], current) for id in box.changed}
        drafts = self.derive(list(changed.values()))
        writes: list[Operation] = [
            Revise(stored[id].id, draft) if id in stored else Put(draft)
            for id, draft in zip(changed, drafts, strict=True)
        ]
        written = self.commit([*writes, *map(Unlink, sorted(stale)), *map(Link, made)])
        self._embed_pending()
        return [one.id for one in written[: len(writes)]]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The notes nearest to the query, best first, and among them, `links` of all places, notes linked with them:

        box by box, all that is linked with the best note before what is linked with the next. A linked note has the
        score of the note before it, so that what k hits are does not depend on k.
        """
        if not query.strip() or k <= 0:
            return []
        current = self.current(now)
        seeds = self.nearest(query, k, kinds=(NOTE,))
        linked = self.cached("linked notes", lambda: self._linked(current)) if self.links else {}
        boxes = (id for seed, _ in seeds for id in linked.get(seed, ()))
        chosen: dict[str, float] = {}
        score = 0.0
        for seed, cosine in seeds:
            if seed not in chosen:
                chosen[seed] = score = cosine
            while int((len(chosen) + 1) * self.links) > int(len(chosen) * self.links):
                other = next((id for id in boxes if id not in chosen), None)
                if other is None:
                    break
                chosen[other] = score
        return self.hits(chosen.items(), k, now=now)

    def turns_of(self, record: Record, current: Current) -> tuple[str, ...]:
        """The turn that a note was made of; those that lent it words do not bear out what it says."""
        return (record.sources[0].id,) if record.kind == NOTE else super().turns_of(record, current)

    def _linked(self, current: Current) -> dict[str, list[str]]:
        """Notes linked with each note, those of the greatest cosine first."""
        note_of = {record.sources[0].id: record.id for record in current.of(NOTE).values()}
        found: dict[str, list[tuple[float, str]]] = {}
        for edge in self.edges(LINK):
            if edge.source in note_of and edge.target in note_of:
                one, other = note_of[edge.source], note_of[edge.target]
                found.setdefault(one, []).append((-edge.weight, other))
                found.setdefault(other, []).append((-edge.weight, one))
        return {id: [other for _, other in sorted(others)] for id, others in found.items()}

    @staticmethod
    def _turn_id(id: str, current: Current) -> str:
        record = current.get(id)
        return record.sources[0].id if record is not None and record.kind == NOTE else id

    def _described(self, turns: Sequence[Record]) -> Iterator[Note]:
        """Turns as notes that describe themselves."""
        terms = {term for turn in turns for term in self.analyzer.terms(turn.text)}
        rarity = self._rarity(sorted(terms))
        for turn in turns:
            note = describe(
                turn.id, turn.text, turn.speaker, turn.event_at, self.analyzer, rarity,
                keywords=self.most_keywords, tags=self.most_tags,
            )  # fmt: skip
            answer = self.ask(_DESCRIBE, {"note": note.text, "said by": note.speaker, "at": note.at}, _DESCRIPTION)
            if answer is not None:
                note.keywords = _clean(answer["keywords"]) or note.keywords
                note.tags = dict.fromkeys(_clean(answer["tags"]), (note.id,)) or note.tags
                note.context = answer["context"].strip() or note.context
            yield note

    def _placed(self, note: Note, box: NoteBox) -> list[Edge]:
        """Compare a new note with its neighbours, link it, and let both sides say of themselves what follows."""
        near = box.add(note, self.neighbours)
        if not near or not self._asked(note, near, box):
            for id in box.belongs(note.id, near, link=self.link_from, shared=self.shared_from):
                box.join(note.id, id)
            if self.evolve and box.linked(note.id):
                box.evolve(note.id, self.analyzer, tags=self.most_tags, about=self.most_about)
        return [Edge(note.id, id, LINK, round(near[id], 6)) for id in box.linked(note.id)]

    def _asked(self, note: Note, near: Mapping[str, float], box: NoteBox) -> bool:
        """Let the model link and evolve; False without one or where it failed."""
        shown = [{"id": id, **_shown(box.notes[id])} for id in near]
        answer = self.ask(_EVOLVE, {"new note": _shown(note), "neighbours": shown}, _EVOLUTION)
        if answer is None:
            return False
        for id in answer["links"]:
            if id in near:
                box.join(note.id, id)
        if not self.evolve:
            return True
        # What the model wrote may come from anything that it was shown.
        seen = [note, *(box.notes[id] for id in near)]
        lenders = tuple(dict.fromkeys(id for one in seen for id in (one.id, *one.lenders())))
        written = [{"id": note.id, "context": "", "tags": answer["tags"]}] if box.linked(note.id) else []
        touched = []
        for told in [*written, *(one for one in answer["neighbours"] if one["id"] in near)]:
            one, tags, context = box.notes[told["id"]], _clean(told["tags"]), told["context"].strip()
            one.tags = {tag: one.tags.get(tag, lenders) for tag in tags} or one.tags
            if context:
                one.context, one.context_from = context, lenders
            touched.append(one.id)
        box.rewritten(touched)
        return True

    def _draft(self, note: Note, current: Current) -> Draft:
        turn = current.get(note.id)
        lent = [lender for id in note.lenders() if (lender := current.get(id)) is not None]
        return Draft(
            note.text, kind=NOTE, event_at=note.at, speaker=note.speaker, role=turn.role if turn else None,
            sources=whole(*([turn] if turn else []), *lent), origin=f"mechanism:{self.card.slug}",
            meta={**note.attributes(), KEY: note.key},
        )  # fmt: skip

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        try:
            return self.embedder.embed(texts)
        except EmbeddingError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            return np.zeros((len(texts), self.embedder.space.dim), np.float32)

    def _rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """Inverse document frequency of terms among all turns."""
        index = self.index()
        with index.lock:
            mask = np.zeros(len(index), bool)
            mask[self._rows(index, (TURN,))] = True
            total = int(mask.sum())
            numbers = index.lookup(tuple(terms))
            found = iter(index.postings.of_many([number for number in numbers if number is not None]))
            counts = [0 if number is None else int(mask[next(found)[0]].sum()) for number in numbers]
        return {term: idf(total, count) for term, count in zip(terms, counts, strict=True)}


def _shown(note: Note) -> dict[str, Any]:
    return {"note": note.text, "at": note.at, "context": note.context, "keywords": note.keywords,
            "tags": list(note.tags)}  # fmt: skip


def _clean(texts: Sequence[str]) -> list[str]:
    """What a model gave as keywords or tags, without blanks and repetitions."""
    return list(dict.fromkeys(text for raw in texts if (text := " ".join(raw.split())[:80])))[:12]

"""Notes that describe themselves by keywords, tags and a context, and what a new note changes in its neighbours.

After Zettelkasten, as in A-MEM (W. Xu et al., "A-MEM: agentic memory for LLM agents", 2025), without a language model:

    keywords  the terms of greatest tf · idf
    tags      the most common tags of a note and the notes linked with it
    linked    cosine >= `link`, or >= `shared` and a name in common
    news      a linked note takes over the first name of the new one that it lacks, else its weightiest such keyword

Every word that a note owes to another text is kept with the id of that text, so that it can be taken back.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.dense import scan, top
from remanence.kernels.names import name_key, names
from remanence.kernels.quantize import quantize
from remanence.kernels.summaries import sentences
from remanence.kernels.timex import resolve

Lenders = tuple[str, ...]
"""Ids of texts that something was taken from."""
_SENTENCE = 240
"""Characters of a first sentence that stand for a text."""


@dataclass(slots=True)
class Note:
    """A text (`id`, `text`, `speaker`, `at`) and what it says of itself.

    `tags` and `about` say of each entry which texts it comes from; `about` are words taken over from later notes.
    """

    id: str
    text: str
    speaker: str | None
    at: datetime
    keywords: list[str]
    tags: dict[str, Lenders]
    context: str
    about: dict[str, Lenders] = field(default_factory=dict)
    context_from: Lenders = ()

    @property
    def key(self) -> str:
        """What is embedded and indexed: content, context (unless the content says it), keywords, tags, news."""
        said = f"{self.speaker}: {self.text}" if self.speaker else self.text
        context = "" if self.context in self.text else self.context
        return " ".join(filter(None, (said, context, *self.keywords, *self.tags, *self.about)))

    def lenders(self) -> list[str]:
        """Ids of the other texts that something here comes from."""
        found = [*self.context_from, *(id for ids in (*self.tags.values(), *self.about.values()) for id in ids)]
        return [id for id in dict.fromkeys(found) if id != self.id]

    def attributes(self) -> dict[str, Any]:
        """What it says of itself, as JSON values."""
        return {
            "keywords": self.keywords,
            "tags": list(self.tags),
            "context": self.context,
            "about": list(self.about),
            "rests": {
                "tags": list(map(list, self.tags.values())),
                "about": list(map(list, self.about.values())),
                "context": list(self.context_from),
            },
        }

    @classmethod
    def from_attributes(cls, id: str, text: str, speaker: str | None, at: datetime, said: Mapping[str, Any]) -> Note:
        """The note of a text that said `attributes()` of itself."""
        rests = said["rests"]
        tags = dict(zip(said["tags"], map(tuple, rests["tags"]), strict=True))
        about = dict(zip(said["about"], map(tuple, rests["about"]), strict=True))
        return cls(id, text, speaker, at, [*said["keywords"]], tags, said["context"], about, tuple(rests["context"]))


def describe(
    id: str,
    text: str,
    speaker: str | None,
    at: datetime,
    analyzer: Analyzer,
    rarity: Mapping[str, float],
    *,
    keywords: int = 6,
    tags: int = 3,
) -> Note:
    """The note of a text: its `keywords` terms of greatest tf · `rarity`, as first written; the first of them that
    belong to no name as tags; its first sentence and the days that it speaks of as context."""
    terms = analyzer.terms(text)
    written = dict(zip(reversed(terms), reversed(analyzer.words(text)), strict=True))
    counts = Counter(term for term in terms if not is_stopword(term) and not term[0].isdigit())
    ranked = sorted(counts, key=lambda term: -counts[term] * rarity[term])
    chosen = [written[term] for term in ranked[:keywords]]
    named = {word for name in names(text) for word in name_key(name).split()}
    plain = [word for word in chosen if word not in named][:tags]
    start, end = next(iter(sentences(text)), (0, len(text)))
    days = dict.fromkeys(span.start.date().isoformat() for span in resolve(text, at))
    context = " ".join(filter(None, (text[start : min(end, start + _SENTENCE)], ", ".join(days))))
    return Note(id, text, speaker, at, chosen, dict.fromkeys(plain, (id,)), context)


@functools.lru_cache(maxsize=1 << 13)
def names_of(text: str) -> frozenset[str]:
    """The names in a text, in normal form."""
    return frozenset(map(name_key, names(text)))


def news(note: Note, other: Note, analyzer: Analyzer) -> str:
    """The first name of a note that another one lacks, else its weightiest keyword that it lacks; "" if none."""
    known = set(analyzer.terms(other.key))
    for word in (*names(note.text), *note.keywords):
        if not known.issuperset(analyzer.terms(word)):
            return word
    return ""


def vote(note: Note, linked: Iterable[Note], most: int) -> dict[str, Lenders]:
    """The `most` tags (as many as the note has, if that is more) that are most common in the note and those linked with
    it. Among equals the note's own come first, then those of the first voter."""
    votes: Counter[str] = Counter()
    origins: dict[str, Lenders] = {}
    for one in (note, *linked):
        votes.update(one.tags.keys())
        for tag, lenders in one.tags.items():
            origins.setdefault(tag, lenders)
    return {tag: origins[tag] for tag, _ in votes.most_common(max(len(note.tags), most))}


class NoteBox:
    """Notes with their vectors and links, while new ones are added.

    `vectors` [len(notes), dim] are those of the `notes` as they are, `links` pairs of their ids; `room` is how many
    notes will be added; `embed` makes vectors [n, dim] of n texts. Notes are told apart by id and never by rank;
    `changed` are the ids of those that were added or rewritten.
    """

    def __init__(
        self,
        notes: Iterable[Note],
        vectors: NDArray[np.float32],
        links: Iterable[tuple[str, str]],
        room: int,
        embed: Callable[[list[str]], NDArray[np.float32]],
    ) -> None:
        self.notes = {note.id: note for note in notes}
        self.changed: dict[str, None] = {}
        self._embed = embed
        self._ids = list(self.notes)
        codes, scales = quantize(vectors)
        self._codes = np.vstack([codes, np.zeros((room, vectors.shape[1]), np.int8)])
        self._scales = np.concatenate([scales, np.zeros(room, np.float32)])
        self._place = {id: i for i, id in enumerate(self._ids)}
        self._linked: dict[str, dict[str, None]] = {}
        self._named: dict[str, list[int]] = {}
        for i, note in enumerate(self.notes.values()):
            for name in names_of(note.text):
                self._named.setdefault(name, []).append(i)
        for one, other in links:
            self.join(one, other)

    def add(self, note: Note, k: int) -> dict[str, float]:
        """Take in a note. The ids and cosines of its neighbours, nearest first: the `k` nearest notes, and the `k`
        nearest of those that have a name in common with it."""
        place = len(self._ids)
        self._ids.append(note.id)
        self._place[note.id] = place
        self.notes[note.id] = note
        self.rewritten([note.id])
        cosines = scan(self._codes[:place], self._scales[:place], self._codes[place], float(self._scales[place]))
        akin = np.array(sorted({i for name in names_of(note.text) for i in self._named.get(name, ())}), np.intp)
        near = {*top(cosines, k).tolist(), *akin[top(cosines[akin], k)].tolist()}
        for name in names_of(note.text):
            self._named.setdefault(name, []).append(place)
        return {self._ids[i]: float(cosines[i]) for i in sorted(near, key=lambda i: (-cosines[i], i))}

    def join(self, one: str, other: str) -> None:
        """Link two notes; ids that are not here are passed over."""
        if one in self.notes and other in self.notes:
            self._linked.setdefault(one, {})[other] = None
            self._linked.setdefault(other, {})[one] = None

    def linked(self, id: str) -> list[str]:
        """Ids of the notes linked with this one, in order of linking."""
        return list(self._linked.get(id, ()))

    def belongs(self, id: str, near: Mapping[str, float], *, link: float, shared: float) -> list[str]:
        """Which of the notes `near` (id to cosine) belong together with this one."""
        return [
            other for other, cosine in near.items() if cosine >= link or (cosine >= shared and self._akin(id, other))
        ]

    def evolve(self, id: str, analyzer: Analyzer, *, tags: int, about: int) -> None:
        """Rewrite a new note and those linked with it: tags by vote, and news for those that have a name in common with
        it, of which each keeps the latest `about`."""
        touched = []
        for other_id in (id, *self.linked(id)):
            other = self.notes[other_id]
            elected = vote(other, (self.notes[voter] for voter in self.linked(other_id)), tags)
            word = news(self.notes[id], other, analyzer) if self._akin(id, other_id) else ""
            if word:
                other.about[word] = (id,)
                for oldest in list(other.about)[:-about]:
                    del other.about[oldest]
            if word or list(elected) != list(other.tags):
                touched.append(other_id)
            other.tags = elected
        self.rewritten(touched)

    def rewritten(self, ids: Sequence[str]) -> None:
        """Embed notes as they are now, to the precision in which a store keeps vectors."""
        if ids:
            places = [self._place[id] for id in ids]
            self._codes[places], self._scales[places] = quantize(self._embed([self.notes[id].key for id in ids]))
            self.changed.update(dict.fromkeys(ids))

    def _akin(self, id: str, other: str) -> bool:
        return id != other and not names_of(self.notes[id].text).isdisjoint(names_of(self.notes[other].text))

"""The one shape that every data set is read into: corpora of documents, and questions with gold document ids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to remember: a turn, a message, a passage or an abstract.

    `event_at` is aware UTC. Sources that give a wall-clock time without a zone are read as if it were UTC, so that the
    calendar day stays the one that the speakers meant.
    """

    id: str
    text: str
    speaker: str | None = None
    role: str | None = None
    session: str | None = None
    event_at: datetime | None = None
    title: str | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one corpus and the ids of the documents that answer it.

    `answerable=False` marks questions whose premise is false or whose answer was never said; they are reported in
    their own category and never in the overall figures, and their gold (the near miss they were built on) may be
    empty. `newest` and `older` are set for knowledge updates: the current version must rank above the former ones.
    """

    id: str
    corpus: str
    text: str
    gold: frozenset[str]
    category: str
    now: datetime | None = None
    newest: str | None = None
    older: frozenset[str] = frozenset()
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class Corpus:
    """What one user's memory would hold, in the order in which it was said."""

    id: str
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Corpora, questions, and what a reader of the numbers must know about them."""

    name: str
    corpora: tuple[Corpus, ...]
    questions: tuple[Question, ...]
    licence: str
    notes: str
    title: str = ""

    def fingerprint(self) -> str:
        """12 hex digits over every document, question and gold id: equal only for the same content in the same order.

        Committed results carry it, so that numbers measured on another half of a set cannot be mistaken for these.
        """
        digest = hashlib.sha256()
        for corpus in self.corpora:
            for document in corpus.documents:
                digest.update(f"{corpus.id}\x1f{document.id}\x1f{document.text}\x1e".encode("utf-8", "surrogatepass"))
        for question in self.questions:
            gold = ",".join(sorted(question.gold))
            digest.update(f"{question.corpus}\x1f{question.text}\x1f{gold}\x1e".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:12]

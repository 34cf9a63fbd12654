"""How the documents of a data set become memories: one place, shared by learning, benchmarks and tests."""

from __future__ import annotations

from remanence.bench.datasets import Corpus, Document
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft

OWNER = "bench"


def text_of(document: Document) -> str:
    """What is remembered of a document: title, text and caption, in the way a user would pass them on."""
    text = f"{document.title}\n{document.text}" if document.title else document.text
    if document.caption:
        text = f"{text}\n[image: {document.caption}]"
    return text.strip() or "[empty]"


def drafts(corpus: Corpus) -> list[Draft]:
    """One draft per document, in order. A document of a conversation is a turn in the run of its session; one with
    neither session, speaker, role nor date stands alone."""
    return [
        Draft(
            text=text_of(document),
            kind="turn" if is_turn(document) else "document",
            scope=Scope(user_id=OWNER, run_id=document.session),
            event_at=document.event_at,
            speaker=document.speaker,
            role=document.role,
        )
        for document in corpus.documents
    ]


def is_turn(document: Document) -> bool:
    """Whether a document was said rather than written."""
    return any((document.session, document.speaker, document.role, document.event_at))

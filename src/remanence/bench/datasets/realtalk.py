"""REALTALK (Lee et al., 2025, arXiv:2502.13270): three weeks of real chat between pairs of people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from remanence.bench.datasets._files import find, read_json, turn_ids, wall_clock
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="realtalk",
    kind="benchmark",
    title="REALTALK, evidence turns",
    paper="",
    about="Three weeks of real chat between two people; finds the messages that answer a question.",
)
NAME = CARD.slug

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain"}

_SESSION = re.compile(r"session_(\d+)")


def load(data_dir: Path) -> Dataset:
    """Read every `Chat_*.json`; each message has its own time.

    Most evidence strings of two chats hold several ids or ranges; photo-only messages are absent from the chats, so
    evidence that names one is dropped, and the question with it when nothing else is left.
    """
    corpora: list[Corpus] = []
    questions: list[Question] = []
    for path in find(data_dir, "realtalk", "Chat_*.json"):
        chat = read_json(path)
        corpus = Corpus(path.stem, tuple(_documents(chat)))
        corpora.append(corpus)
        questions.extend(_questions(chat["qa"], corpus))
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(corpora),
        questions=tuple(questions),
        licence="not stated with the data; see the REALTALK repository",
        notes="Evidence ranges within a session are expanded; evidence on photo-only messages is dropped.",
    )


def _documents(chat: dict[str, Any]) -> list[Document]:
    numbers = sorted(int(match[1]) for key in chat if (match := _SESSION.fullmatch(key)))
    return [
        Document(
            id=turn["dia_id"],
            text=turn["clean_text"],
            speaker=turn["speaker"],
            session=f"session_{number}",
            event_at=wall_clock(turn["date_time"], "%d.%m.%Y, %H:%M:%S"),
            caption=turn.get("blip_caption"),
        )
        for number in numbers
        for turn in chat[f"session_{number}"]
    ]


def _questions(rows: list[dict[str, Any]], corpus: Corpus) -> list[Question]:
    known = {document.id: position for position, document in enumerate(corpus.documents)}
    now = max((document.event_at for document in corpus.documents if document.event_at), default=None)
    questions: list[Question] = []
    for number, row in enumerate(rows):
        gold = turn_ids(row.get("evidence") or [], known)
        if gold:
            category = CATEGORIES[int(row["category"])]
            questions.append(
                Question(f"{corpus.id}/q{number}", corpus.id, row["question"], gold, category=category, now=now)
            )
    return questions

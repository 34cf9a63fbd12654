"""LoCoMo (Maharana et al., 2024, arXiv:2402.17753): very long two-person chats with questions and evidence turns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from remanence.bench.datasets._files import find, read_json, turn_ids, wall_clock
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="locomo",
    kind="benchmark",
    title="LoCoMo, evidence turns",
    paper="locomo",
    about="Months of talk between two people; finds the turns that answer a question.",
)
NAME = CARD.slug

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}

_SESSION = re.compile(r"session_(\d+)")


def load(data_dir: Path) -> Dataset:
    """Read every `locomo*.json`; a conversation that stands in two files is read once.

    Document ids are the turns' `dia_id`. `session_<n>_date_time` keys without a session (one chat has sixteen) are
    ignored: `now` is the date of the last session that took place. Questions of category 5 ask about the wrong
    person and are marked unanswerable; their gold is the turn about the other person.
    """
    corpora: dict[str, Corpus] = {}
    questions: list[Question] = []
    for path in find(data_dir, "locomo", "locomo*.json"):
        for sample in read_json(path):
            corpus = Corpus(str(sample["sample_id"]), tuple(_documents(sample["conversation"])))
            if corpus.id not in corpora:
                corpora[corpus.id] = corpus
                questions.extend(_questions(sample["qa"], corpus))
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(corpora.values()),
        questions=tuple(questions),
        licence="CC BY-NC 4.0",
        notes="Overall figures cover categories 1 to 4; questions without a usable evidence id are left out.",
    )


def _documents(conversation: dict[str, Any]) -> list[Document]:
    numbers = sorted(int(match[1]) for key in conversation if (match := _SESSION.fullmatch(key)))
    documents: list[Document] = []
    for number in numbers:
        session = f"session_{number}"
        stamp = conversation.get(f"{session}_date_time")
        event_at = wall_clock(stamp.strip(), "%I:%M %p on %d %B, %Y") if stamp else None
        documents.extend(
            Document(
                id=turn["dia_id"],
                text=turn["text"],
                speaker=turn["speaker"],
                session=session,
                event_at=event_at,
                caption=turn.get("blip_caption"),
            )
            for turn in conversation[session]
        )
    return documents


def _questions(rows: list[dict[str, Any]], corpus: Corpus) -> list[Question]:
    known = {document.id: position for position, document in enumerate(corpus.documents)}
    now = max((document.event_at for document in corpus.documents if document.event_at), default=None)
    questions: list[Question] = []
    for number, row in enumerate(rows):
        gold = turn_ids(row.get("evidence") or [], known)
        if gold:
            category = CATEGORIES[row["category"]]
            questions.append(
                Question(
                    id=f"{corpus.id}/q{number}",
                    corpus=corpus.id,
                    text=row["question"],
                    gold=gold,
                    category=category,
                    now=now,
                    answerable=category != "adversarial",
                )
            )
    return questions

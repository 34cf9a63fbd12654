"""LongMemEval (Wu et al., 2024, arXiv:2410.10813), evidence turns pooled with one full haystack."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from remanence.bench.datasets._files import find, read_json, read_jsonl, wall_clock
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="longmemeval",
    kind="benchmark",
    title="LongMemEval evidence, pooled",
    paper="longmemeval",
    about="Histories of chats with an assistant; finds the evidence of questions of five abilities.",
)
NAME = CARD.slug

_CORPUS = "pooled"
_WEEKDAY = re.compile(r"\s*\(\w+\)\s*")


@dataclass(frozen=True, slots=True)
class _Session:
    id: str
    date: datetime
    turns: tuple[tuple[str, str], ...]


def load(data_dir: Path) -> Dataset:
    """Pool the evidence turns of every `evidence*.jsonl` with all turns of every `haystack*.json` into one corpus.

    Sessions stand in the order of their dates. A turn (role and text) that occurs twice, in two questions' evidence or
    in evidence and haystack, is one document: the haystack's copy, else the earliest in the file, so that no identical
    text can be the wrong answer. Evidence lists hold only the answering turns, so gold is all of them. The haystack's
    own further questions have gold at session level only and are left out.

    Abstention questions are unanswerable; their gold, the turn that nearly answers, is often empty. For knowledge
    updates with two or more dated versions, `newest` is the last turn of the latest one and `older` the turns of the
    others. In 19 of 250 questions `now` is some hours before a gold turn: it is when the question was asked, not a
    filter.
    """
    paths = find(data_dir, "longmemeval", "evidence*.jsonl")
    rows = list({row["question_id"]: row for path in paths for row in read_jsonl(path)}.values())
    haystacks = [entry for path in find(data_dir, "longmemeval", "haystack*.json") for entry in read_json(path)]
    sessions = [*_haystack_sessions(haystacks), *(session for row in rows for session in _evidence_sessions(row))]
    documents, ids = _pool(sessions)
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=(Corpus(_CORPUS, documents),),
        questions=tuple(_question(row, ids) for row in rows),
        licence="MIT",
        notes="Not LongMemEval_S: one pool of all evidence turns and one haystack. Abstention is reported apart.",
    )


def _haystack_sessions(haystacks: list[dict[str, Any]]) -> list[_Session]:
    seen: dict[str, _Session] = {}
    for entry in haystacks:
        columns = (entry["haystack_session_ids"], entry["haystack_dates"], entry["haystack_sessions"])
        for identity, date, turns in zip(*columns, strict=True):
            seen.setdefault(identity, _Session(identity, _date(date), _turns(turns)))
    return list(seen.values())


def _evidence_sessions(row: dict[str, Any]) -> list[_Session]:
    # gold_session_ids are not in the order of evidence_sessions, so they cannot name the sessions.
    return [
        _Session(f"{row['question_id']}/s{number}", _date(session["date"]), _turns(session["turns"]))
        for number, session in enumerate(row["evidence_sessions"])
    ]


def _pool(sessions: list[_Session]) -> tuple[tuple[Document, ...], dict[tuple[str, str], str]]:
    ids: dict[tuple[str, str], str] = {}
    documents: list[Document] = []
    for session in sessions:
        for number, turn in enumerate(session.turns):
            if turn not in ids:
                ids[turn] = f"{session.id}/t{number}"
                documents.append(Document(ids[turn], turn[1], role=turn[0], session=session.id, event_at=session.date))
    dates = {document.id: document.event_at for document in documents if document.event_at}
    return tuple(sorted(documents, key=lambda document: dates[document.id])), ids


def _question(row: dict[str, Any], ids: dict[tuple[str, str], str]) -> Question:
    versions = sorted(_evidence_sessions(row), key=lambda session: session.date)
    gold = [[ids[turn] for turn in session.turns] for session in versions]
    newest: str | None = None
    older: frozenset[str] = frozenset()
    if row["question_type"] == "knowledge-update" and not row["abstention"] and len(gold) > 1:
        newest = gold[-1][-1]
        older = frozenset(identity for version in gold[:-1] for identity in version) - {newest}
    return Question(
        id=row["question_id"],
        corpus=_CORPUS,
        text=row["question"],
        gold=frozenset(identity for version in gold for identity in version),
        category="abstention" if row["abstention"] else row["question_type"],
        now=_date(row["question_date"]) if row["question_date"] else None,
        newest=newest,
        older=older,
        answerable=not row["abstention"],
    )


def _turns(turns: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((turn["role"], turn["content"]) for turn in turns)


def _date(text: str) -> datetime:
    return wall_clock(_WEEKDAY.sub(" ", text).strip(), "%Y/%m/%d %H:%M")

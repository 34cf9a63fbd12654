"""MemDaily (Zhang et al., 2024, arXiv:2409.20163): short Chinese message streams with evidence ids."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from remanence.bench.datasets._files import find, read_json, wall_clock
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="memdaily",
    kind="benchmark",
    title="MemDaily, evidence messages (Chinese)",
    paper="",
    about="Short streams of Chinese messages; finds those that a question is about.",
)
NAME = CARD.slug

_WEEKDAY = re.compile(r"\s*周\w\s*")
_KIND = re.compile(r"\d+_(?P<kind>[a-z_]+)_(?P<subject>[a-z]+)")


def load(data_dir: Path) -> Dataset:
    """Read every `<number>_<kind>_<subject>.json`; each message list is a corpus of its own.

    Documents are the messages alone: `place` is where the speaker is, the same almost everywhere, and no part of what
    was said. Gold is `target_step_id`, which names messages by `mid`.
    """
    corpora: list[Corpus] = []
    questions: list[Question] = []
    for path in find(data_dir, "memdaily", "[0-9]*_*_*.json"):
        match = _KIND.fullmatch(path.stem)
        kind = match["kind"].replace("_", "-") if match else path.stem
        for stream in read_json(path):
            corpus = Corpus(f"{path.stem}/{stream['tid']}", tuple(map(_document, stream["message_list"])))
            corpora.append(corpus)
            questions.extend(_question(row, corpus, kind) for row in stream["question_list"])
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(corpora),
        questions=tuple(questions),
        licence="see the MemSim repository",
        notes="Streams hold about nine messages each, so recall@20 is nearly always 1: read recall@1 and recall@5.",
    )


def _document(message: dict[str, Any]) -> Document:
    return Document(id=str(message["mid"]), text=message["message"], event_at=_time(message["time"]))


def _question(row: dict[str, Any], corpus: Corpus, kind: str) -> Question:
    return Question(
        id=f"{corpus.id}/q{row['qid']}",
        corpus=corpus.id,
        text=row["question"],
        gold=frozenset(str(step) for step in row["target_step_id"]),
        category=kind,
        now=_time(row["time"]),
    )


def _time(text: str) -> datetime:
    return wall_clock(_WEEKDAY.sub(" ", text), "%Y年%m月%d日 %H:%M")

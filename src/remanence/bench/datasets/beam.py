"""BEAM (Tavakoli et al., 2025, arXiv:2510.27246): long user and assistant chats with probing questions of ten kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from remanence.bench.datasets._files import missing, read_json, wall_clock
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.card import EntryCard

CARD = EntryCard(
    slug="beam",
    kind="benchmark",
    title="BEAM, evidence messages",
    paper="",
    about="Long chats of users and assistants; finds the messages that probing questions of ten kinds rest on.",
)
NAME = CARD.slug

# Generation bookkeeping at the end of messages of both roles: "->-> 1,1", "->-> 2,N/A", "->-> 5,14)".
_TAIL = re.compile(r"\s*->->\s*[\w/]+\s*,\s*[\w/]+\W*$")


def load(data_dir: Path) -> Dataset:
    """Read every chat under `beam/<size>/<number>/` (`chat.json` and `probing_questions/*.json`).

    A batch is a session; its date is the anchor on its first message. Evidence ids come as a list or as a dict of
    lists; abstention questions have none and are unanswerable.
    """
    root = data_dir / "beam" if (data_dir / "beam").is_dir() else data_dir
    chats = sorted(root.glob("*/*/chat.json"), key=lambda path: (path.parts[-3], path.parts[-2].zfill(6)))
    if not chats:
        raise missing(data_dir, "beam/100K/<number>/chat.json")
    corpora: list[Corpus] = []
    questions: list[Question] = []
    for path in chats:
        corpus = Corpus(f"{path.parts[-3]}/{path.parts[-2]}", tuple(_documents(read_json(path))))
        probes = sorted((path.parent / "probing_questions").glob("*.json"))
        if not probes:
            raise missing(path.parent, "probing_questions/probing_questions.json")
        corpora.append(corpus)
        questions.extend(question for probe in probes for question in _questions(read_json(probe), corpus))
    return Dataset(
        name=NAME,
        title=CARD.title,
        corpora=tuple(corpora),
        questions=tuple(questions),
        licence="see the publisher's terms (Mohammadta/BEAM)",
        notes="Summaries ask for ten and more messages each, which caps recall at small k. Abstention is apart.",
    )


def _documents(batches: list[dict[str, Any]]) -> Iterator[Document]:
    for batch in batches:
        turns = [turn for group in batch["turns"] for turn in group]
        anchor = batch["time_anchor"] or next((turn["time_anchor"] for turn in turns if turn.get("time_anchor")), None)
        event_at = wall_clock(anchor, "%B-%d-%Y") if anchor else None
        for turn in turns:
            yield Document(
                id=str(turn["id"]),
                text=_TAIL.sub("", turn["content"]),
                role=turn["role"],
                session=f"batch_{batch['batch_number']}",
                event_at=event_at,
            )


def _questions(probes: dict[str, list[dict[str, Any]]], corpus: Corpus) -> Iterator[Question]:
    known = {document.id for document in corpus.documents}
    now = max((document.event_at for document in corpus.documents if document.event_at), default=None)
    for ability, rows in probes.items():
        for number, row in enumerate(rows):
            sources = row.get("source_chat_ids")
            gold = frozenset(_flat(sources)) & known
            answerable = ability != "abstention"
            if gold or not answerable:
                newest, older = _update(sources) if ability == "knowledge_update" else (None, frozenset[str]())
                yield Question(
                    id=f"{corpus.id}/{ability}/{number}",
                    corpus=corpus.id,
                    text=row["question"],
                    gold=gold,
                    category=ability.replace("_", "-"),
                    now=now,
                    newest=newest,
                    older=older,
                    answerable=answerable,
                )


def _update(sources: Any) -> tuple[str | None, frozenset[str]]:
    if not isinstance(sources, dict):
        return None, frozenset()
    updated, original = _flat(sources.get("updated_info")), _flat(sources.get("original_info"))
    # One message can state both versions; then there is nothing to order.
    older = frozenset(original) - frozenset(updated)
    return (updated[-1], older) if updated and older else (None, frozenset())


def _flat(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [identity for part in value.values() for identity in _flat(part)]
    if isinstance(value, list):
        return [identity for part in value for identity in _flat(part)]
    return [str(value)]

"""Conversations that engines are told, and ways to look at what they answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from remanence.core.scope import Scope
from remanence.kernels.claims.answers import NOTHING_KNOWN
from remanence.kernels.fusion import Profile
from remanence.mechanisms.records.recall import CHANNELS, SIGNS, Recall
from remanence.substrates.records.conversation import take_apart
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import (
    Find,
)
from remanence.substrates.records.port import RecordStore

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=365)
ANA = Scope(user_id="ana")
WORDS = "red blue green fox dog bird jump sing sleep oslo bergen lisbon apple pear plum tea coffee milk".split()
EVERYTHING = 10**6


def only(**weights: float) -> dict[str, Profile]:
    """Profiles that look at nothing but the channels named."""
    values = np.array([weights.get(channel, 0.0) for channel in CHANNELS])
    alike = Profile(CHANNELS, values, 0.0)
    return {"turn": alike, "document": alike, "answerable": Profile(SIGNS, np.array([1.0, 0, 0, 0]), 0.0)}


def said(texts: Sequence[str], **options: Any) -> Recall:
    """An engine that was told these texts, a minute apart, in one session."""
    recall = Recall(scope=ANA, **options)
    items = [Item(text, at=NOW + timedelta(minutes=i), session="s") for i, text in enumerate(texts)]
    recall.write(items, now=NOW + timedelta(minutes=len(texts)))
    return recall


def talk(seed: int, count: int, store: RecordStore | None = None, **options: Any) -> Recall:
    """An engine that was told a random conversation of some sessions."""
    rng = random.Random(seed)
    recall = Recall(store=store, scope=ANA, **options)
    for start in range(0, count, 10):
        at = NOW + timedelta(hours=start)
        items = [
            Item(
                rng.choice(["", "the ", "in a ", "and "])
                + " ".join([*rng.choices(WORDS, k=rng.randint(1, 7)), coined((start + i) // 2), coined(start + i, "k")])
                + rng.choice([".", "?", " yesterday"]),
                speaker=rng.choice(["Ana", "Bo", None]),
                role=rng.choice(["user", "assistant"]),
                at=at + timedelta(minutes=i),
                session=f"s{start}",
                meta={"even": i % 2 == 0, "rank": i},
            )
            for i in range(min(10, count - start))
        ]
        recall.write(items, now=at + timedelta(minutes=10))
    return recall


def coined(number: int, start: str = "z") -> str:
    """A word of its own for every number."""
    return start + "".join("bcdfghjklm"[int(digit)] + "o" for digit in str(number))


def question(seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=4)) + "?"


def plain(hits: Sequence[Hit]) -> list[tuple[str, str, float]]:
    return [(hit.id, hit.text, hit.score) for hit in hits]


def texts(hits: Sequence[Hit]) -> list[str]:
    return [hit.text for hit in hits]


def channel_values(
    recall: Recall, query: str, view: View | None = None, whole: int = 2000
) -> dict[str, dict[str, float]]:
    """Every channel of every candidate, by text."""
    space = recall.embedder.space
    index = recall.indexes.get(recall.scope, space.key, space.dim)
    vector = recall.embedder.embed([query], kind="query")[0]
    at = view or View(LATER)
    parsed = take_apart(
        query, index, recall.analyzer, LATER, recall.truth(query, at) if recall.truth else NOTHING_KNOWN
    )
    rows, features = recall.features(index, parsed, vector, at, whole)
    records = {record.id: record.text for record in found(recall, view)}
    assert len(set(records.values())) == len(records)
    return {
        records[index.ids[row]]: dict(zip(CHANNELS, line.tolist(), strict=True))
        for row, line in zip(rows, features, strict=True)
    }


def found(recall: Recall, view: View | None = None) -> tuple[Any, ...]:
    """Every record that is there."""
    find = Find(view or View(LATER), limit=None)
    records: tuple[Any, ...] = recall.store.batch([find], scope=recall.scope).results[0]
    return records

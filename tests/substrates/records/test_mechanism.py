"""The contract of record mechanisms and the probe, tried on a mechanism that is hardly more than a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from remanence.core.card import Card
from remanence.core.scope import Scope
from remanence.substrates.records.mechanism import (
    ABILITIES,
    CanConsolidate,
    CanForget,
    CanLearn,
    CanUpdate,
    Hit,
    Item,
    RecordMechanism,
)
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import Find, Put
from remanence.substrates.records.probe import QUERIES, SESSIONS, TURNS, conversation, drive, observe
from remanence.substrates.records.reference import MemoryStore

HERE = Scope(app_id="mechanism")


class WordOverlap:
    """Scores a memory by how many words it shares with the query."""

    card: ClassVar[Card] = Card(slug="word_overlap", substrate="records", title="", paper="", claim="shared words win")

    def __init__(self, *, store: MemoryStore | None = None) -> None:
        self._now: datetime | None = None
        self.store = store or MemoryStore(clock=lambda: self._now)  # type: ignore[arg-type, return-value]

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        self._now = now
        drafts = [Put(Draft(item.text, event_at=item.at or now, speaker=item.speaker)) for item in items]
        return [written.id for written in self.store.batch(drafts, scope=HERE).results]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        words = set(query.lower().split())
        (records,) = self.store.batch([Find(View(now), limit=None)], scope=HERE).results
        hits = []
        for record in records:
            shared = float(len(words & set(record.text.lower().split())))
            hits.append(Hit(record.id, record.text, shared, {"words": shared}, record))
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        return None


class Forgetful(WordOverlap):
    """Claims all abilities, in name."""

    def update(self, id: str, text: str, *, now: datetime) -> None:
        return None

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        return 0

    def consolidate(self, *, now: datetime) -> list[str]:
        return []

    def feedback(self, ids: Sequence[str], reward: float, *, now: datetime) -> None:
        return None


def test_protocols_tell_abilities_apart() -> None:
    plain, able = WordOverlap(), Forgetful()
    assert isinstance(plain, RecordMechanism)
    assert not isinstance(MemoryStore(), RecordMechanism)
    verbs = (CanUpdate, CanForget, CanConsolidate, CanLearn)
    for ability, protocol in zip(ABILITIES[:-1], verbs, strict=True):
        assert isinstance(able, protocol), ability
        assert not isinstance(plain, protocol), ability


def test_the_probe_uses_a_mechanism_the_same_way_each_time() -> None:
    assert conversation(3) == conversation(3)
    assert conversation(3) != conversation(4)
    assert len(conversation(0)) == SESSIONS * TURNS
    one, other, different = WordOverlap(), WordOverlap(), WordOverlap()
    assert observe(one) == [(query, []) for query in QUERIES]
    ids = drive(one, 0)
    assert len(set(ids)) == SESSIONS * TURNS
    drive(other, 0)
    drive(different, 1)
    assert observe(one) == observe(other)
    assert observe(one) != observe(different)
    assert all(len(hits) == 10 for _, hits in observe(one))

"""The base of mechanisms that distil turns, through the mechanisms that stand on it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.conformance.troubled import Crashing, StoreDied
from remanence.core.errors import EmbeddingError
from remanence.kernels.analyzer import Analyzer
from remanence.mechanisms.records.d_mem import DMem
from remanence.mechanisms.records.himem import HiMem
from remanence.mechanisms.records.nemori import Nemori
from remanence.scenarios.dialogues import generate
from remanence.substrates.embedding import EmbeddingKind, HashEmbedder
from remanence.substrates.records.families.distilling import Distiller, numbered, spoken, summary_of, title_of, written
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.reference import MemoryStore

ALL: tuple[type[Distiller], ...] = (Nemori, HiMem, DMem)


def dialogue(seed: int, sessions: int = 4) -> list[Item]:
    turns = generate(seed, sessions=sessions, hardness="medium").turns
    return [Item(turn.text, speaker=turn.speaker, at=turn.at, session=turn.session) for turn in turns]


def last(items: list[Item]) -> datetime:
    assert items[-1].at is not None
    return items[-1].at


def stated(memory: Distiller, now: datetime) -> set[str]:
    return {one.text for one in memory.current(now).of(memory.STATED).values() if not one.hidden}


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("seed", [4, 7, 12])
def test_what_is_forgotten_here_and_there_might_never_have_been_said(cls: type[Distiller], seed: int) -> None:
    # On these seeds corrections rest on turns that are forgotten, or are read a second time.
    items, rng = dialogue(seed), random.Random(seed)
    now, memory, kept = last(items), cls(), dict[str, Item]()
    while items:
        size = rng.choice([1, 2, 5, 9])
        part, items = items[:size], items[size:]
        kept.update(zip(memory.write(part, now=last(part)), part, strict=True))
        if rng.random() < 0.3:
            gone = rng.sample(sorted(kept), min(len(kept), rng.choice([1, 2])))
            assert memory.forget(gone, now=last(part)) == len(gone)
            for id in gone:
                del kept[id]
        if rng.random() < 0.1:
            memory.consolidate(now=last(part))
    plain = cls()
    plain.write([kept[id] for id in sorted(kept)], now=now)
    for one in (memory, plain):
        one.consolidate(now=now)
        assert one.consolidate(now=now) == []
    assert stated(memory, now) == stated(plain, now) != set()
    current = memory.current(now)
    for record in current.of(memory.STATED).values():
        assert all(current.get(source.id) is not None for source in record.sources)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("fatal", [2, 3, 4])
def test_work_that_was_cut_short_is_done_by_the_next_one_who_comes(cls: type[Distiller], fatal: int) -> None:
    items = dialogue(1, 2)
    now, store = last(items), MemoryStore()
    memory = cls(store=Crashing(store, fatal))
    with contextlib.suppress(StoreDied):
        memory.write(items, now=now)
        memory.consolidate(now=now)
    with pytest.raises(StoreDied):
        memory.write(items[:1], now=now)
    again, plain = cls(store=store), cls()
    plain.write(items, now=now)
    for one in (again, plain):
        one.consolidate(now=now)
    assert stated(again, now) == stated(plain, now) != set()


class Failing(HashEmbedder):
    """Fails at sentences that were derived."""

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        if any(" lives in " in text for text in texts) and self.fails:
            raise EmbeddingError("out of memory")
        return super().embed(texts, kind=kind)

    fails = True


def test_an_embedder_that_fails_leaves_the_rules_at_work() -> None:
    embedder = Failing()
    memory = DMem(embedder=embedder)
    items = dialogue(1, 1)
    with pytest.raises(EmbeddingError):
        # What is kept needs a vector of an embedder that works while writing; nothing is half written.
        memory.write([Item("I live in Oslo", speaker="Ana", at=items[0].at)], now=last(items))
    assert memory.troubles == ["EmbeddingError: out of memory"]
    embedder.fails = False
    memory.consolidate(now=last(items))
    assert stated(memory, last(items)) == {"Ana lives in Oslo"}


def test_titles_summaries_and_what_a_model_is_shown() -> None:
    memory = HiMem()
    items = [
        Item("The copper lantern is broken", speaker="Ana", at=dialogue(0, 1)[0].at),
        Item("A copper lantern, again? I saw it yesterday", speaker="Bo", at=dialogue(0, 1)[1].at),
    ]
    memory.write(items, now=last(items))
    turns = list(memory.current(last(items)).of("turn").values())
    assert title_of(Analyzer(), turns).startswith("Copper lantern, ")
    assert title_of(Analyzer(), turns[:1]).endswith(f"{turns[0].event_at:%Y-%m-%d}")
    assert "copper lantern" in summary_of(Analyzer(), turns, 12).lower()
    assert summary_of(Analyzer(), turns, 0) == ""
    assert "yesterday (" in spoken(turns[1])
    assert [one["number"] for one in numbered(turns)] == [1, 2]
    rows = [{"statement": " It broke ", "messages": [2, 2, 9]}, {"statement": "", "messages": [1]}]
    (found,) = written([*rows, {"statement": "  ", "messages": []}], turns)
    assert (found.text, [span[0] for span in found.spans]) == ("It broke", [turns[1].id])
    (whole,) = written([{"statement": "Both", "messages": [0]}], turns)
    assert [span[0] for span in whole.spans] == [turn.id for turn in turns]

"""What the witness of MemoryBank is worth: it holds, its stream is what it says, and wrong curves lose."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from remanence.mechanisms.records.memory_bank import CARD, EXCHANGE
from remanence.substrates.embedding import HashEmbedder
from remanence.witnesses.records.memory_bank import (
    CAPACITY,
    DAYS,
    LEARNT,
    START,
    Stream,
    _Ranked,
    _run,
    measure,
    witness,
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.baseline > 0.4
    assert "at equal size" in CARD.claim


def test_an_oracle_does_better_and_the_curve_of_the_public_code_worse_than_the_oldest_first() -> None:
    found = measure(1, ("curve", "fifo", "oracle", "inverted"))
    assert found["inverted"] < found["fifo"] < found["curve"] < found["oracle"]


def test_with_room_for_all_no_arm_loses_anything() -> None:
    assert measure(0, ("inverted",), capacity=DAYS * LEARNT) == {"inverted": 1}


def test_a_seed_gives_the_same_evidence_again() -> None:
    assert measure(7, ("curve",)) == measure(7, ("curve",))


def test_what_is_asked_is_known_and_a_few_facts_are_asked_often() -> None:
    stream = Stream.of(3)
    known: set[str] = set()
    counts: Counter[str] = Counter()
    for facts, questions in zip(stream.facts, stream.questions, strict=True):
        known.update(facts)
        assert {gold for _, gold in questions} <= known
        counts.update(gold for _, gold in questions)
    assert len(known) == DAYS * LEARNT
    top = sum(count for _, count in counts.most_common(15))
    assert top > 0.4 * sum(counts.values())
    last = stream.facts[-1][0]
    assert stream.asked_after(last, START + timedelta(days=DAYS)) == 0


def test_no_arm_keeps_more_than_it_may() -> None:
    bank = _Ranked(None, HashEmbedder(64), CAPACITY)
    _run(bank, Stream.of(0))
    exchanges = bank.current(START + timedelta(days=DAYS)).of(EXCHANGE).values()
    assert len(exchanges) == DAYS * LEARNT
    assert sum(one.state != "expired" for one in exchanges) == CAPACITY

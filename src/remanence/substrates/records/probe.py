"""How to use any record mechanism once, and how to see what it then remembers: what general laws are stated with."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from remanence.substrates.records.mechanism import Item, RecordMechanism

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
PEOPLE = ("Ana", "Bilal", "Chen", "Dora")
PLACES = ("Lisbon", "Oslo", "Bergen", "Kyoto", "Nairobi", "Quito")
ACTS = ("moved to", "came back from", "bought a flat in", "dreams of", "found work in", "met friends in")
SESSIONS = 3
TURNS = 4
QUERIES = ("who moved to Oslo?", "Ana", "work in Nairobi", "what does Chen dream of?", "")

Observation = list[tuple[str, list[tuple[str, float]]]]


def conversation(seed: int) -> list[Item]:
    """A small seeded conversation: several sessions, speakers and places, with repetitions across seeds."""
    rng = random.Random(seed)
    items = []
    for session in range(SESSIONS):
        for turn in range(TURNS):
            speaker = rng.choice(PEOPLE)
            items.append(
                Item(
                    text=f"I {rng.choice(ACTS)} {rng.choice(PLACES)}, says {speaker} in talk {seed}",
                    speaker=speaker,
                    role="user" if turn % 2 == 0 else "assistant",
                    at=START + timedelta(days=7 * session + 30 * seed, minutes=turn),
                    session=f"s{session}",
                )
            )
    return items


def drive(mechanism: RecordMechanism, seed: int) -> list[str]:
    """Use a mechanism once, the same way for the same seed: write a conversation, session by session."""
    items = conversation(seed)
    ids: list[str] = []
    for begin in range(0, len(items), TURNS):
        session = items[begin : begin + TURNS]
        ids += mechanism.write(session, now=(session[-1].at or START) + timedelta(minutes=1))
    return ids


def observe(mechanism: RecordMechanism, *, now: datetime = START + timedelta(days=365)) -> Observation:
    """What the mechanism answers to a fixed set of queries, as plain data.

    Texts and scores (to nine digits) in order. Ids stay out: two instances that were used alike remember the same
    under different ids.
    """
    return [
        (query, [(hit.text, float(f"{hit.score:.9g}")) for hit in mechanism.read(query, 10, now=now)])
        for query in QUERIES
    ]

"""What the tables of every back end promise each other, and how a broken promise is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from remanence.stores.relational.columns import Row
from remanence.substrates.records.packing import unpack_terms

Invariant = tuple[str, str]
"""A query that answers with rows that must not exist, and a sentence that takes the columns of one."""

OPENS = "('put', 'revise', 'restore', 'adopt')"
"""Journaled operations that open a version."""

# In standard SQL, and of no scope.
ONE_OPEN: Invariant = (
    "SELECT id, count(*) FROM versions WHERE closed_at IS NULL GROUP BY id HAVING count(*) > 1",
    "record {0} has {1} open versions",
)
NEWEST_OPEN: Invariant = (
    "SELECT id, version FROM versions v WHERE closed_at IS NULL AND EXISTS "
    "(SELECT 1 FROM versions n WHERE n.id = v.id AND n.version > v.version)",
    "version {1} of record {0} is open although it is not the newest",
)
CLOSED_WHOLLY: Invariant = (
    "SELECT id, version FROM versions WHERE (closed_at IS NULL) <> (closed_seq IS NULL) OR "
    "(closed_at IS NULL) <> (ended_at IS NULL) OR closed_at < recorded_at OR ended_at < valid_from",
    "version {1} of record {0} is closed by halves",
)
REINDEXED: Invariant = (
    "SELECT j.seq, j.version, j.id FROM journal j WHERE j.op = 'reindex' AND NOT EXISTS "
    "(SELECT 1 FROM versions v WHERE v.id = j.id AND v.version = j.version)",
    "journal entry {0} reindexed version {1} of record {2}, which is not there",
)
LINEAGE: Invariant = (
    "SELECT source, seq FROM lineage l WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.seq = l.seq) "
    "OR NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = l.source)",
    "the derivation of journal position {1} from {0} has a loose end",
)


def job_whole(differs: str) -> Invariant:
    """A job's columns fit its state. `differs`: the operator that compares NULLs like other values."""
    return (
        "SELECT id, state FROM jobs WHERE (leased_until IS NULL) <> (worker IS NULL) OR "
        f"ready {differs} CASE state WHEN 'waiting' THEN due WHEN 'leased' THEN leased_until END OR "
        "state NOT IN ('waiting', 'leased', 'dead') OR (state = 'leased') <> (leased_until IS NOT NULL)",
        "job {0} is {1} by halves",
    )


def broken(invariants: Iterable[Invariant], rows: Callable[[str], Iterable[Row]]) -> Iterator[str]:
    """What is wrong, in sentences. `rows` answers a query."""
    for query, sentence in invariants:
        for row in rows(query):
            yield sentence.format(*row)


def unknown_terms(known: set[int], versions: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """A sentence for each version, of which position and term stream are given, whose terms are not all `known`."""
    for seq, terms in versions:
        if len(terms) % 4 or not known.issuperset(unpack_terms(terms)):
            yield f"the terms of journal position {seq} are not all in the vocabulary"

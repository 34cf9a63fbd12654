"""Looking after a store: is it sound, how large is it, and its tables rewritten after an erasure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from remanence.core.clock import from_micros
from remanence.core.errors import StoreReadOnly
from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import KEY
from remanence.stores.postgres.reading import visible
from remanence.stores.postgres.schema import EVERYWHERE, SCOPED, SHARED, Connection, run
from remanence.stores.postgres.transaction import Transaction
from remanence.stores.relational.invariants import (
    CLOSED_WHOLLY,
    LINEAGE,
    NEWEST_OPEN,
    ONE_OPEN,
    OPENS,
    REINDEXED,
    broken,
    job_whole,
    unknown_terms,
)
from remanence.substrates.records.model import DERIVED, View
from remanence.substrates.records.port import Tally

_POLL = 0.02


def _same(one: str, other: str, prefix: str = "") -> str:
    return " AND ".join(f"{one}.{name} = {other}.{prefix}{name}" for name in FIELDS)


# Each query answers with rows that must not exist, each sentence takes the columns of one.
_INVARIANTS = (
    (
        f"SELECT v.id, v.version FROM versions v LEFT JOIN journal j ON j.seq = v.seq AND {_same('v', 'j')} "
        f"WHERE j.seq IS NULL OR j.id <> v.id OR j.version <> v.version OR j.op NOT IN {OPENS}",
        "version {1} of record {0} has no journal entry of its own",
    ),
    (
        f"SELECT j.seq, j.id FROM journal j WHERE j.op IN {OPENS} AND NOT EXISTS "
        f"(SELECT 1 FROM versions v WHERE v.seq = j.seq AND {_same('v', 'j')})",
        "journal entry {0} opened a version of record {1} that is not there",
    ),
    REINDEXED,
    (
        "SELECT change, count(DISTINCT at) FROM journal GROUP BY change HAVING count(DISTINCT at) > 1",
        "change {0} has {1} times",
    ),
    (
        "SELECT seq FROM (SELECT seq, at, lag(at) OVER (ORDER BY seq) AS before FROM journal) j WHERE at < before",
        "journal entry {0} is dated before the one that precedes it",
    ),
    ("SELECT seq, count(*) FROM journal GROUP BY seq HAVING count(*) > 1", "journal position {0} was given {1} times"),
    (
        "SELECT seq FROM journal WHERE seq > (SELECT seq FROM state)",
        "journal position {0} lies beyond the last one given out",
    ),
    ONE_OPEN,
    NEWEST_OPEN,
    CLOSED_WHOLLY,
    (
        f"SELECT id FROM versions GROUP BY id HAVING count(DISTINCT ({KEY})) > 1",
        "record {0} lies in more than one scope",
    ),
    (
        f"SELECT v.id FROM versions v WHERE NOT EXISTS (SELECT 1 FROM scopes s WHERE {_same('s', 'v')})",
        "record {0} lies in no known scope",
    ),
    (
        f"SELECT e.seq FROM vectors e LEFT JOIN versions v ON v.seq = e.seq AND {_same('v', 'e')} "
        "LEFT JOIN spaces s ON s.space = e.space WHERE v.seq IS NULL OR s.space IS NULL OR s.dim <> length(e.data)",
        "the vector of journal position {0} has no version, or no space of its dimension",
    ),
    (
        f"SELECT source, target FROM edges e WHERE NOT EXISTS "
        f"(SELECT 1 FROM versions v WHERE v.id = e.source AND {_same('v', 'e')}) OR NOT EXISTS "
        f"(SELECT 1 FROM versions v WHERE v.id = e.target AND {_same('v', 'e', 'target_')})",
        "the edge from {0} to {1} has a loose end",
    ),
    (
        f"SELECT id FROM usage u WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = u.id AND {_same('v', 'u')})",
        "the counters of {0} belong to no record",
    ),
    LINEAGE,
    ("SELECT id FROM retired WHERE id IN (SELECT id FROM versions)", "record {0} is there although it was erased"),
    job_whole("IS DISTINCT FROM"),
)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Sizes and counts of a store."""

    name: str
    layout: int
    """Number of the schema's layout, see `schema.STEPS`."""
    position: int
    """Last journal position."""
    records: int
    """Distinct ids, closed ones included."""
    rows: dict[str, int]
    """Rows by table."""
    bytes: dict[str, int]
    """Size of each table with its indexes."""
    residue_cleared: bool


def check(tx: Transaction) -> list[str]:
    """What is wrong, in sentences: what the tables promise each other."""
    found = [*broken(_INVARIANTS, lambda query: tx.execute(query).fetchall())]
    known = {tid for (tid,) in tx.execute("SELECT tid FROM vocab")}
    with tx.connection.cursor("check", binary=True) as cursor:
        cursor.execute(b"SELECT seq, terms FROM versions")
        found += unknown_terms(known, cursor)
    return found


def scopes(tx: Transaction) -> tuple[Scope, ...]:
    """Scopes that hold a record, in order of their keys."""
    used = f"EXISTS (SELECT 1 FROM versions v WHERE {_same('v', 's')})"
    return tuple(
        [tx.scope_of(key) for key in tx.execute(f"SELECT {KEY} FROM scopes s WHERE {used} ORDER BY {KEY}").fetchall()]
    )


def tallies(tx: Transaction, view: View) -> tuple[Tally, ...]:
    """How many records are visible in each scope that holds one, the first of them, and when the last was changed."""
    shown, values = visible(view)
    own = ", ".join(f"v.{name}" for name in FIELDS)
    newest = f"SELECT DISTINCT ON (v.id) {own}, v.id, v.origin, v.recorded_at FROM versions v WHERE {shown}"
    counted = (
        f"SELECT {own}, count(*) AS number, min(v.id) AS first, max(v.recorded_at) AS changed "
        f"FROM ({newest} ORDER BY v.id, v.version DESC) v "
        f"WHERE NOT coalesce(starts_with(v.origin, %s), false) GROUP BY {own}"
    )
    theirs = ", ".join(f"s.{name}" for name in FIELDS)
    query = (
        f"SELECT {theirs}, coalesce(c.number, 0), c.first, c.changed FROM scopes s LEFT JOIN ({counted}) c "
        f"ON {_same('c', 's')} WHERE EXISTS (SELECT 1 FROM versions v WHERE {_same('v', 's')}) ORDER BY {theirs}"
    )
    rows = tx.execute(query, (*values, DERIVED)).fetchall()
    return tuple(
        [Tally(tx.scope_of(row[:4]), row[4], row[5], None if row[6] is None else from_micros(row[6])) for row in rows]
    )


def info(tx: Transaction, name: str, schema: str) -> StoreInfo:
    """Sizes and counts."""
    tables = (*SCOPED, *SHARED)
    ((layout, records, residue),) = tx.execute(
        "SELECT (SELECT max(number) FROM layouts), (SELECT count(DISTINCT id) FROM versions), residue FROM state"
    ).fetchall()
    sizes = tx.execute(
        "SELECT t, pg_total_relation_size((%s || '.' || t)::regclass) FROM unnest(%s::text[]) t", (schema, [*tables])
    )
    return StoreInfo(
        name=name,
        layout=layout,
        position=tx.seq,
        records=records,
        rows={table: tx.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables},
        bytes=dict(sizes.fetchall()),
        residue_cleared=not residue,
    )


def rewrite(connection: Connection, schema: str, patience: float) -> bool:
    """Write every table anew without its dead rows, and note that no erasure left any since.

    Rows that an older transaction may still look at are copied with the others, so those are waited for, up to
    `patience` seconds. Answer: whether there are none. Raises `StoreReadOnly` for a login that does not own the tables.
    """
    deadline = time.monotonic() + patience
    state = f"{schema}.state"
    query = f"SELECT epoch, pg_current_xact_id()::xid FROM {state}"
    ((epoch, mine),) = connection.execute(query.encode()).fetchall()
    tables = connection.execute(
        "SELECT c.relname, pg_has_role(c.relowner, 'USAGE') FROM pg_class c "
        "WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'",
        (schema,),
    ).fetchall()
    # The server would pass over tables of others with a mere warning.
    if not all(owned for _, owned in tables):
        raise StoreReadOnly("only the owner of the tables may write them anew; call clear_residue with that login")
    while _held(connection, mine):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    warnings: list[str | None] = []
    connection.add_notice_handler(lambda diagnostic: warnings.append(diagnostic.message_primary))
    for table, _ in tables:
        run(connection, f'VACUUM (FULL, ANALYZE) {schema}."{table}"')
    if warnings:
        return False
    with connection.transaction():
        connection.execute("SELECT set_config('remanence.scope', %s, true)", (EVERYWHERE,))
        query = f"UPDATE {state} SET residue = false WHERE epoch = %s"
        return connection.execute(query.encode(), (epoch,)).rowcount == 1


def _held(connection: Connection, mine: object) -> bool:
    """Whether a session or a replica may still look at what was there before the transaction `mine`."""
    rows = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND age(backend_xmin) > age(%s::xid)) "
        "OR EXISTS (SELECT 1 FROM pg_replication_slots WHERE age(xmin) > age(%s::xid))",
        (mine, mine),
    ).fetchall()
    return bool(rows[0][0])

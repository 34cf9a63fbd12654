"""The tables, their policies, and the numbered steps from one layout to the next.

Every table that holds what belongs to somebody leads its key with the four scope columns and has a policy by them. The
principal of a transaction is the setting `remanence.scope`, a text array of four ids in the order of the columns: a row
is seen, and may be written, where each id of the principal is empty or that of the row. Without the setting nothing is.
`vocab`, `spaces`, `retired` and the counters are of the whole store; any principal sees them, and none without. What
servers share is for a role of its own, and no principal sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from remanence.core.errors import InvalidInput, StoreCorrupt, StoreError, StoreReadOnly, StoreVersionError
from remanence.core.scope import FIELDS
from remanence.stores.postgres.codec import KEY

if TYPE_CHECKING:
    import psycopg

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

ROLE: Final = "remanence_app"
"""The role under which every batch runs; it owns nothing and can log in nowhere by itself."""
SCHEMA: Final = "remanence"
SERVER_ROLE: Final = "remanence_server"
"""The role under which servers keep keys and requests; `ROLE`, under which tenants are served, reaches neither."""
EVERYWHERE: Final = '{"","","",""}'
"""The principal of those who look after the whole store."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_SCOPE = ", ".join(f'{name} text COLLATE "C" NOT NULL' for name in FIELDS)
_TARGET = ", ".join(f'target_{name} text COLLATE "C" NOT NULL' for name in FIELDS)

SCOPED: Final = (
    "scopes", "journal", "versions", "lineage", "vectors", "edges", "usage", "floors", "receipts", "jobs",
)  # fmt: skip
"""Tables with a policy by scope."""
SHARED: Final = ("state", "work", "vocab", "spaces", "retired")
"""Tables of the whole store."""
SERVER: Final = ("server_keys", "server_requests")
"""Tables of the servers on the store, for `SERVER_ROLE` alone; see `server_tables.py`."""

_FIRST = f"""
CREATE FUNCTION principal(place int) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT (nullif(current_setting('remanence.scope', true), '')::text[])[place] $$;

-- Where the store stands. The row is locked by each batch that writes, before anything else, until its commit: so
-- positions are given out in the order of commits, without gaps. at: newest time. last_id: newest id given out.
-- late: position in the stream of late vectors. reindexed, epoch: positions of the last reindexing and erasure.
-- tid: newest term. residue: whether something was erased since the tables were last rewritten.
CREATE TABLE state(
    one int PRIMARY KEY CHECK (one = 1), seq bigint NOT NULL, at bigint NOT NULL, last_id text COLLATE "C" NOT NULL,
    late bigint NOT NULL, reindexed bigint NOT NULL, epoch bigint NOT NULL, tid int NOT NULL, residue boolean NOT NULL
) WITH (fillfactor = 10);
INSERT INTO state VALUES (1, 0, -9223372036854775808, '', 0, 0, 0, 0, false);
-- The newest time of a batch that only leased: those do not wait for the ones that write.
CREATE TABLE work(one int PRIMARY KEY CHECK (one = 1), at bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO work VALUES (1, -9223372036854775808);

-- ids: the four ids in full, NULL where the columns hold them.
CREATE TABLE scopes({_SCOPE}, ids text[], PRIMARY KEY ({KEY}));
CREATE INDEX scopes_user ON scopes(user_id);
CREATE INDEX scopes_agent ON scopes(agent_id);
CREATE INDEX scopes_run ON scopes(run_id);

-- other: the target of a link. detail: JSON of what undo needs, NULL for nothing.
CREATE TABLE journal(
    {_SCOPE}, seq bigint NOT NULL, change text COLLATE "C" NOT NULL, at bigint NOT NULL, actor text NOT NULL,
    why text NOT NULL, op text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, version bigint NOT NULL,
    other text COLLATE "C", detail text, PRIMARY KEY ({KEY}, seq)
);
CREATE INDEX journal_seq ON journal(seq);
CREATE INDEX journal_id ON journal(id, version);
CREATE INDEX journal_change ON journal(change);
CREATE INDEX journal_other ON journal(other) WHERE other IS NOT NULL;

-- seq is the journal position that opened the version. Times are microseconds since 1970 UTC.
-- terms: little-endian int32 of vocab.tid.
CREATE TABLE versions(
    {_SCOPE}, seq bigint NOT NULL, id text COLLATE "C" NOT NULL, version bigint NOT NULL, kind text NOT NULL,
    event_at bigint NOT NULL, valid_from bigint NOT NULL, valid_to bigint, recorded_at bigint NOT NULL,
    closed_at bigint, ended_at bigint, closed_seq bigint, state text NOT NULL, zone text, speaker text, role text,
    language text, origin text, trust double precision NOT NULL, sources text, meta text, terms bytea NOT NULL,
    text text NOT NULL, PRIMARY KEY ({KEY}, id, version)
);
CREATE INDEX versions_seq ON versions(seq);
CREATE INDEX versions_id ON versions(id, version);
CREATE INDEX versions_user ON versions(user_id, run_id, seq);
CREATE INDEX versions_closed ON versions(closed_seq) WHERE closed_seq IS NOT NULL;

CREATE TABLE lineage(
    {_SCOPE}, source text COLLATE "C" NOT NULL, seq bigint NOT NULL, PRIMARY KEY ({KEY}, source, seq)
);
CREATE INDEX lineage_source ON lineage(source);

-- digest: what a term is found by, which is short however long the term.
CREATE TABLE vocab(tid int PRIMARY KEY, digest bytea NOT NULL UNIQUE, term text NOT NULL);

-- near: whether vectors of the space are kept in an index of their own besides, see `nearest.py`.
CREATE TABLE spaces(
    space int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE, key text NOT NULL,
    dim int NOT NULL, near boolean NOT NULL DEFAULT false
);
-- late: position in the stream of vectors that came after their version; NULL for those written with it.
CREATE TABLE vectors(
    {_SCOPE}, space int NOT NULL, seq bigint NOT NULL, late bigint, scale double precision NOT NULL,
    data bytea NOT NULL, PRIMARY KEY ({KEY}, space, seq)
);
CREATE INDEX vectors_user ON vectors(user_id, space, seq);
CREATE INDEX vectors_late ON vectors(late) WHERE late IS NOT NULL;
ALTER TABLE vectors ALTER data SET STORAGE PLAIN;

-- type: what stands for the label in the key.
CREATE TABLE edges(
    {_SCOPE}, source text COLLATE "C" NOT NULL, target text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL,
    label text NOT NULL, weight double precision NOT NULL, {_TARGET}, PRIMARY KEY ({KEY}, source, target, type)
);
CREATE INDEX edges_source ON edges(source);
CREATE INDEX edges_target ON edges(target);

CREATE TABLE usage(
    {_SCOPE}, id text COLLATE "C" NOT NULL, hits bigint NOT NULL, last_hit bigint, strength double precision NOT NULL,
    utility double precision NOT NULL, PRIMARY KEY ({KEY}, id)
);

-- The highest version number of a record whose newest version was destroyed while the record stayed.
CREATE TABLE floors({_SCOPE}, id text COLLATE "C" NOT NULL, version bigint NOT NULL, PRIMARY KEY ({KEY}, id));

CREATE TABLE receipts(
    {_SCOPE}, seq bigint NOT NULL, change text COLLATE "C" NOT NULL, at bigint NOT NULL, actor text NOT NULL,
    reason text NOT NULL, counts text NOT NULL, asked text[] NOT NULL, derived text[] NOT NULL, kept text[] NOT NULL,
    again text[] NOT NULL, PRIMARY KEY ({KEY}, seq)
);
-- Ids of what was erased: they are never given out or taken in again.
CREATE TABLE retired(id text COLLATE "C" PRIMARY KEY);

-- ready: when the job can be leased, which is due or leased_until; NULL for dead ones. payload: JSON, NULL for nothing.
CREATE TABLE jobs(
    {_SCOPE}, id text COLLATE "C" NOT NULL, kind text NOT NULL, key text, payload text, change text,
    state text COLLATE "C" NOT NULL, attempts bigint NOT NULL, created_at bigint NOT NULL, due bigint NOT NULL,
    ready bigint, worker text, leased_until bigint, error text NOT NULL, PRIMARY KEY ({KEY}, id)
);
CREATE INDEX jobs_id ON jobs(id);
CREATE INDEX jobs_ready ON jobs({KEY}, ready, id) WHERE ready IS NOT NULL;
CREATE INDEX jobs_key ON jobs USING hash (key);

-- Not `SET remanence.scope` of the function: only a superuser may attach a setting that no extension has defined.
CREATE FUNCTION taken(wanted text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
    DECLARE before text := coalesce(current_setting('remanence.scope', true), '');
    BEGIN
        PERFORM set_config('remanence.scope', '{EVERYWHERE}', true);
        RETURN QUERY SELECT id FROM versions WHERE id = ANY(wanted) UNION SELECT id FROM retired WHERE id = ANY(wanted);
        PERFORM set_config('remanence.scope', before, true);
    END $$;
"""

_SECOND = f"""
-- digest: SHA-256 of the secret. scope: JSON of the ids that the key is bound to. Nothing but the end of a key changes.
CREATE TABLE server_keys(
    id text COLLATE "C" PRIMARY KEY, name text NOT NULL, digest bytea NOT NULL, scope text NOT NULL,
    rights text NOT NULL, created bigint NOT NULL, expires bigint, revoked bigint
);
-- name, body: hashes. lease: when whoever works on it is given up. answer: masked, NULL until there is one.
CREATE TABLE server_requests(
    name bytea PRIMARY KEY, body bytea NOT NULL, at bigint NOT NULL, lease bigint NOT NULL, nonce bytea NOT NULL,
    status int, answer bytea
);
CREATE INDEX server_requests_at ON server_requests(at);
GRANT SELECT, INSERT, UPDATE (revoked) ON server_keys TO {SERVER_ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON server_requests TO {SERVER_ROLE};
"""


def covers(prefix: str = "") -> str:
    """The condition of a policy: the principal of the transaction covers the row."""
    parts = (
        f"((SELECT principal({place})) = '' OR (SELECT principal({place})) = {prefix}{name})"
        for place, name in enumerate(FIELDS, start=1)
    )
    return " AND ".join(parts)


def protect(connection: Connection, table: str, condition: str) -> None:
    """Show and take rows of a table only where a condition holds, also to its owner."""
    run(connection, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    run(connection, f"CREATE POLICY by_scope ON {table} USING ({condition}) WITH CHECK ({condition})")


def run(connection: Connection, script: str) -> None:
    """Run statements of our own that take no parameters."""
    connection.execute(script.encode())


def _create(connection: Connection) -> None:
    """The tables, and who may do what with their rows."""
    run(connection, _FIRST)
    for table in SCOPED:
        protect(connection, table, covers() if table != "edges" else f"{covers()} AND {covers('target_')}")
    for table in SHARED:
        protect(connection, table, "(SELECT principal(1)) IS NOT NULL")
    # How many changes there were tells nothing of them, and is asked for before every search.
    run(connection, "CREATE POLICY position ON state FOR SELECT USING (true)")


def _servers(connection: Connection) -> None:
    """What servers on the store share, out of reach of the role that serves tenants."""
    _require_role(connection, SERVER_ROLE)
    run(connection, _SECOND)
    for table in SERVER:
        run(connection, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        run(connection, f"CREATE POLICY servers ON {table} TO {SERVER_ROLE} USING (true) WITH CHECK (true)")
    ((schema,),) = connection.execute("SELECT current_schema()").fetchall()
    run(connection, f"GRANT USAGE ON SCHEMA {schema} TO {SERVER_ROLE}")


STEPS: tuple[Callable[[Connection], None], ...] = (_create, _servers)
"""`STEPS[n]` leads from layout `n` to layout `n + 1`; a published step is never edited, only followed by another."""


def check_name(schema: str) -> str:
    """A schema's name that needs no quotes. Raises `InvalidInput`."""
    if not _NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise InvalidInput(f"schema {schema!r} must be a word of at most 48 small letters, digits and underscores")
    return schema


def layout(connection: Connection, schema: str) -> int:
    """The number of a schema's layout; 0 when there is no such schema or it is empty.

    Raises `StoreCorrupt` when something else lies in it.
    """
    # Asked of the catalogue itself: a session remembers what it did not find by name, even when it has come since.
    query = (
        "SELECT count(*), count(*) FILTER (WHERE c.relname = 'layouts') FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s"
    )
    ((things, layouts),) = connection.execute(query, (schema,)).fetchall()
    if not layouts:
        if things:
            raise StoreCorrupt(
                f"schema {schema!r} holds tables of another program, not a Remanence store; name another"
            )
        return 0
    return int(connection.execute(f"SELECT max(number) FROM {schema}.layouts".encode()).fetchall()[0][0])


def migrate(connection: Connection, schema: str, name: str) -> None:
    """Bring a schema to the newest layout, or make it; one opener at a time. `name`: of the store, for messages.

    Raises `StoreVersionError` for a newer layout, `StoreReadOnly` where this login may not make or change tables.
    """
    from psycopg import IsolationLevel
    from psycopg.errors import InsufficientPrivilege

    # Whatever a session was told before: who waited for another opener has to see what that one made.
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    try:
        with connection.transaction():
            _as_login(connection)
            if layout(connection, schema) == len(STEPS):
                return
    except InsufficientPrivilege as error:
        raise _no_member(name) from error
    try:
        with connection.transaction():
            _as_login(connection)
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('remanence'), hashtext(%s))", (schema,))
            _climb(connection, schema, name)
    except InsufficientPrivilege as error:
        raise StoreReadOnly(
            f"{name}: this login may not bring {schema!r} to layout {len(STEPS)} ({error.diag.message_primary}); "
            "open the store once as the role that owns it, or as one that may create roles and schemas"
        ) from error


def _as_login(connection: Connection) -> None:
    """Act as the login itself until the transaction ends: a pooler may hand on a session that took a role."""
    run(connection, "SET LOCAL role TO DEFAULT")


def _climb(connection: Connection, schema: str, name: str) -> None:
    begin = layout(connection, schema)
    if begin > len(STEPS):
        raise StoreVersionError(
            f"{name} has layout {begin}, written by a newer Remanence; this one knows layouts up to {len(STEPS)}. "
            "Install the newer version, or name another schema. Nothing was touched"
        )
    if begin == len(STEPS):
        return
    _require_role(connection, ROLE)
    if not begin:
        run(connection, f"CREATE SCHEMA IF NOT EXISTS {schema}")
    run(connection, f"SET LOCAL search_path = {schema}, public")
    if not begin:
        run(connection, "CREATE TABLE layouts(number int PRIMARY KEY, step text NOT NULL)")
    connection.execute("SELECT set_config('remanence.scope', %s, true)", (EVERYWHERE,))
    for number, step in enumerate(STEPS[begin:], start=begin + 1):
        step(connection)
        connection.execute("INSERT INTO layouts VALUES (%s, %s)", (number, step.__name__.strip("_")))
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND relname <> ALL(%s)",
        (schema, [*SERVER]),
    ).fetchall()
    run(
        connection,
        f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(table for (table,) in tables)} TO {ROLE}; "
        f"REVOKE INSERT, UPDATE, DELETE ON layouts FROM {ROLE}",
    )


def _require_role(connection: Connection, role: str) -> None:
    """Make a role of ours where it is missing, and let this login take it on."""
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        # Roles are of the whole server: another database may be making it right now.
        run(
            connection,
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        )
    # Since PostgreSQL 16 whoever made a role may give it to others, but not take it on.
    right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    if not connection.execute("SELECT pg_has_role(current_user, %s, %s)", (role, right)).fetchall()[0][0]:
        run(connection, f"GRANT {role} TO CURRENT_USER")


def take_role(connection: Connection, name: str, role: str = ROLE, *, local: bool = False) -> None:
    """Go on as a role of ours, if `local` until the transaction ends.

    Raises `StoreError` where it would not be held back by policies.
    """
    from psycopg import errors

    try:
        run(connection, f"SET {'LOCAL ' if local else ''}ROLE {role}")
    except (errors.InsufficientPrivilege, errors.InvalidParameterValue) as error:
        raise _no_member(name, role) from error
    rows = connection.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", (role,)).fetchall()
    if rows[0][0]:
        raise StoreError(
            f"role {role} is exempt from row-level security; run: ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS"
        )


def _no_member(name: str, role: str = ROLE) -> StoreError:
    return StoreError(f"{name}: this login may not act as {role}; as an administrator, run: GRANT {role} TO its name")

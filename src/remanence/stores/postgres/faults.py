"""What PostgreSQL reports, said in the words of the store: typed errors that name the server and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remanence.core.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly, StoreUncertain

if TYPE_CHECKING:
    import psycopg

# What is refused before a session begins comes without a code.
_FULL = ("too many clients", "too many connections", "remaining connection slots")
# Poolers: PgBouncer, which says all it has to say under the code of a broken protocol, and Supavisor.
_CROWDED = (
    "no more connections allowed", "query_wait_timeout", "max clients reached", "max client connections reached",
)  # fmt: skip
_SLOW = ("query timeout", "query_timeout")
_SINGLE = "transaction blocks not allowed"
_LOST = ("57P01", "57P02", "57P03", "57P05")
_STARTING = ("the database system is starting up", "not yet accepting connections", "in recovery mode")
_NOTHING_KEPT = "nothing of this batch was kept"


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same batch may succeed if it is tried again: another one got in its way."""
    from psycopg import errors

    return isinstance(error, errors.SerializationFailure | errors.DeadlockDetected)


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, or the server is about to close it."""
    import psycopg

    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    # What is fatal ends the session, whoever says it: a pooler in front does so too when it loses the server.
    severity = error.diag.severity_nonlocalized or error.diag.severity
    return error.sqlstate.startswith("08") or error.sqlstate in _LOST or severity in ("FATAL", "PANIC")


def is_crowded(error: psycopg.Error) -> bool:
    """Whether others take up the server or the pooler in front, so that asking at once again would be no better."""
    return any(part in str(error).lower() for part in (*_CROWDED, *_SLOW))


class Displaced(StoreError):
    """Statements came to a session that was not set up for the store called `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: a session has lost its settings; {_NOTHING_KEPT}. A pooler in front has to pool sessions "
            "(pool_mode = session); if it pools transactions, add pool_mode=transaction to the address"
        )


def is_displaced(error: psycopg.Error) -> bool:
    """Whether that may be why: without its role and search path a session finds nothing, or may not look."""
    from psycopg import errors

    return _is_unprepared(error) or isinstance(
        error, errors.UndefinedTable | errors.UndefinedFunction | errors.InsufficientPrivilege
    )


def _is_unprepared(error: psycopg.Error) -> bool:
    from psycopg import errors

    return isinstance(error, errors.InvalidSqlStatementName | errors.DuplicatePreparedStatement)


def translate(error: psycopg.Error, name: str, timeout: float) -> StoreError:
    """The store error that says what `error` means for the store called `name`."""
    from psycopg import errors

    said = (error.diag.message_primary or str(error)).strip().splitlines()
    first = said[0] if said else type(error).__name__
    if any(part in str(error) for part in _FULL) and is_lost(error):
        return _no_room(name, first)
    if any(part in str(error).lower() for part in _CROWDED) and is_lost(error):
        return StoreBusy(f"{name}: the pooler in front has no session to give ({first}); {_NOTHING_KEPT}, try again")
    if _is_unprepared(error):
        return Displaced(name)
    if _SINGLE in first:
        return StoreError(f"{name}: {first}; {_NOTHING_KEPT}. Let the pooler in front pool sessions or transactions")
    if any(part in first for part in _SLOW) and is_lost(error):
        return _stopped(name, first)
    match error:
        case errors.LockNotAvailable():
            return StoreBusy(
                f"{name} was locked by another writer for more than {timeout:g} s; {_NOTHING_KEPT}, try again"
            )
        case errors.SerializationFailure() | errors.DeadlockDetected():
            return StoreBusy(
                f"{name}: other batches got in the way again and again ({first}); {_NOTHING_KEPT}, try again"
            )
        case errors.TooManyConnections():
            return _no_room(name, first)
        case errors.QueryCanceled():
            return _stopped(name, first)
        case errors.DiskFull():
            return StoreFull(f"no room left on the server of {name} ({first}); {_NOTHING_KEPT}")
        case errors.ReadOnlySqlTransaction():
            return StoreReadOnly(f"{name} is a replica or read-only ({first}); {_NOTHING_KEPT}. Write to the primary")
        case errors.InsufficientPrivilege():
            return StoreReadOnly(
                f"{name}: {first}; {_NOTHING_KEPT}. Grant this login the role remanence_app; behind a pooler of "
                "transactions, add pool_mode=transaction to the address"
            )
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction() | errors.DataCorrupted():
            return StoreCorrupt(f"{name} is not what it was when it was opened ({first}); {_NOTHING_KEPT}")
    if is_lost(error):
        return StoreError(
            f"{name} cannot be reached ({first}); {_NOTHING_KEPT}. Is the server running, and the address right?"
        )
    return StoreError(f"{name}: {first}; {_NOTHING_KEPT}")


def is_starting(error: psycopg.Error) -> bool:
    """Whether a connection was refused by a server that is about to take some."""
    return any(part in str(error) for part in _STARTING)


def _stopped(name: str, said: str) -> StoreBusy:
    return StoreBusy(f"{name}: a statement was stopped ({said}); {_NOTHING_KEPT}. Ask for less, or give it more time")


def _no_room(name: str, said: str) -> StoreBusy:
    return StoreBusy(f"{name} takes no more connections ({said}); {_NOTHING_KEPT}, try again, or use a pooler")


def unknown(name: str) -> StoreUncertain:
    """The error for a connection that was lost between the request to commit and its confirmation."""
    return StoreUncertain(
        f"the connection to {name} was lost while a batch was committed: it was kept whole or not at all; read what it "
        "wrote before doing it again"
    )

"""Reading in one round trip: everything that a batch asks first goes to the server together, in one snapshot.

An operation that reads is written as steps: it yields statements, gets their rows, and returns its answer. Run by
itself (within a batch that writes, say) one statement follows the other in the batch's transaction. `at_once` instead
sends the principal, where the store stands, and the first statements of all operations as one pipeline, which the
server runs as one transaction of its own: nothing is opened, closed or waited for in between.

Such statements are made before it is known where the store stands. What they took for granted (which words, spaces and
scopes are known, and whether a single scope is covered) comes back in the same answer; where it was wrong, or grew out
of date meanwhile, the batch is asked again. What is asked in a second round is of rows that nothing but an erasure
changes (words, ids of scopes), and another position of the newest erasure shows that there was one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from remanence.core.scope import FIELDS
from remanence.stores.postgres.codec import KEY, Key
from remanence.stores.postgres.pool import MARK, Pool
from remanence.stores.postgres.schema import Connection
from remanence.stores.postgres.transaction import LONG_SCOPE, STANDING, TERMS, Standing, Transaction
from remanence.stores.relational.columns import Row

AT_ONCE = 16_384
"""Rows that a batch may get in one piece; what is larger is fetched in portions."""
_ROUNDS = 8

T = TypeVar("T")
O_contra = TypeVar("O_contra", contravariant=True)


class Ask(NamedTuple):
    """A statement of our own with its parameters."""

    query: str
    parameters: Sequence[Any] = ()


Steps: TypeAlias = Generator[Sequence[Ask], Sequence[Sequence[Row]], T]
"""What an operation asks, in turn, and answers in the end."""


class TooMuch(Exception):
    """What is asked for does not go in one piece."""


class Asked(Generic[O_contra, T]):
    """An operation that reads, as steps; callable as one statement after the other, or as `instead` where given."""

    def __init__(
        self,
        steps: Callable[[Transaction, O_contra], Steps[T]],
        instead: Callable[[Transaction, O_contra], T] | None = None,
    ) -> None:
        self.steps = steps
        self._instead = instead

    def __call__(self, tx: Transaction, operation: O_contra) -> T:
        """The answer, within the transaction `tx`."""
        if self._instead is not None:
            return self._instead(tx, operation)
        steps = self.steps(tx, operation)
        try:
            asks = next(steps)
            while True:
                asks = steps.send([tx.execute(*ask).fetchall() for ask in asks])
        except StopIteration as stop:
            answer: T = stop.value
            return answer


def learn(tx: Transaction, tids: Iterable[int] = (), scopes: Iterable[Key] = ()) -> Steps[None]:
    """Ask for what stands behind numbers of words and hashes of ids, as far as that is not known."""
    missing, long = tx.unknown_terms(tids), tx.unknown_scopes(scopes)
    if missing or long:
        terms, *found = yield [Ask(TERMS, (missing,)), *(Ask(LONG_SCOPE, key) for key in long)]
        tx.learn_terms(terms)
        tx.learn_scopes(chain.from_iterable(found))


def at_once(
    pool: Pool, connection: Connection, tx: Transaction, asked: Sequence[tuple[Asked[Any, Any], Any]]
) -> tuple[Standing, list[Any] | None]:
    """Answers to operations, all of one moment; None where what `tx` took for granted was not so: then ask again.

    Raises `TooMuch` where an answer is too large for one piece, and what `Pool.check_session` raises.
    """
    check = tx.take_for_granted()
    answers: list[Any] = [None] * len(asked)
    waiting = {place: read.steps(tx, operation) for place, (read, operation) in enumerate(asked)}
    asks: dict[int, Sequence[Ask]] = {}
    standing: Standing | None = None
    sent: dict[int, Sequence[Sequence[Row]] | None] = dict.fromkeys(waiting)
    for _ in range(_ROUNDS):
        for place, rows in sent.items():
            try:
                asks[place] = next(waiting[place]) if rows is None else waiting[place].send(rows)
            except StopIteration as stop:
                answers[place] = stop.value
                del waiting[place]
        if standing is not None and not waiting:
            return standing, answers
        first = [_only(tx.key)] if check and standing is None else []
        now, *results = _together(
            pool, connection, tx.key, [*first, *(ask for place in waiting for ask in asks[place])]
        )
        pool.check_session(now[0][1])
        where = Standing(*now[0][2:])
        if standing is None:
            if not tx.stands(where, results.pop(0) if check else None):
                return where, None
            standing = where
        elif where.epoch != standing.epoch:
            return where, None
        rows_of = iter(results)
        sent = {place: [next(rows_of) for _ in asks[place]] for place in waiting}
    raise AssertionError(f"{[type(operation).__name__ for _, operation in asked]} did not come to an end")


def _only(key: Key) -> Ask:
    """Asks for the first two scopes that a principal covers."""
    ids = [(name, value) for name, value in zip(FIELDS, key, strict=True) if value]
    where = " AND ".join(f"{name} = %s" for name, _ in ids)
    return Ask(f"SELECT {KEY} FROM scopes WHERE {where} LIMIT 2", [value for _, value in ids])


def _together(pool: Pool, connection: Connection, key: Key, asks: Sequence[Ask]) -> list[list[Row]]:
    """One transaction in one round trip; the first answer is where the store stands.

    That row is open to any principal, so that it may be read by the statement that names the principal of the others.
    """
    principal = f"SELECT set_config('remanence.scope', %s::text[]::text, true), {MARK}, {STANDING} FROM state"
    with pool.together(connection):
        cursors = [
            connection.execute(query.encode(), parameters, binary=True)
            for query, parameters in (Ask(principal, ([*key],)), *asks)
        ]
    return [cursor.fetchall() for cursor in cursors]

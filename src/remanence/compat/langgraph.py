"""A LangGraph store over a record store: durable, searched by words and meaning, with no model and no server.

>>> from remanence.compat.langgraph import RemanenceStore
>>> store = RemanenceStore(":memory:")
>>> store.put(("users", "ana"), "tea", {"text": "Ana drinks green tea in the morning"})
>>> [item.key for item in store.search(("users", "ana"), query="what does she drink?")]
['tea']

Namespaces are scopes (see `namespaces`): columns that lead every key of the store, never metadata. An item is a record
of kind "item" whose metadata holds the value; one with several indexed texts has a record of kind "part" for each.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from remanence.compat.extras import missing
from remanence.compat.langgraph_index import IndexedFields, LangChainEmbedder, admits, check_filter
from remanence.compat.namespaces import Address, address_of, item_scope, prefix_scope
from remanence.core.clock import Clock, utc_now
from remanence.core.errors import Conflict, InvalidInput, NotFound, StoreError, StoreReadOnly
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.runtime.adding import derive
from remanence.runtime.engine import Engine, open_store
from remanence.runtime.resilience import Resilient
from remanence.runtime.vectors import LateVectors
from remanence.stores.embedders import as_embedder
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record, View, meta_json
from remanence.substrates.records.operations import Close, Erase, Find, Operation, Put, Revise, Touch
from remanence.substrates.records.port import RecordStore

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        InvalidNamespaceError,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
    )
except ImportError as error:
    raise missing(__name__, "langgraph", error) from error

__all__ = ["InvalidNamespace", "RemanenceStore"]

_UNSEARCHED: Final = "-"
"""Text of an item's record that is not searched itself: nothing of the value gets into an index."""
_KINDS: Final = ("item", "part")
_ATTEMPTS: Final = 10
"""How often a write is tried anew when another writer was faster."""
_LOOK: Final = 32
_MINUTES_BETWEEN_SWEEPS: Final = 5.0
MOST_MINUTES: Final = 1e9
"""A `ttl` is less than this, about 1,900 years, so that what it ends at is a date."""


class InvalidNamespace(InvalidInput, InvalidNamespaceError):
    """A namespace that no item can have."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """One item and the records that it consists of."""

    address: Address
    record: Record
    others: tuple[Record, ...] = ()
    """Parts, and twins that another process wrote at the same moment."""

    @property
    def created_at(self) -> datetime:
        """When the item was first put."""
        first = self.record.meta.get("created_at")
        return self.record.recorded_at if first is None else datetime.fromisoformat(first)

    @property
    def expires_at(self) -> datetime | None:
        """A `ttl` after it was last put, or read in a way that counts; None: never."""
        ttl = self.record.meta.get("ttl")
        used = max(filter(None, (self.record.recorded_at, self.record.last_hit)))
        return None if ttl is None else used + timedelta(minutes=ttl)

    def item(self) -> Item:
        """As `get` gives it."""
        namespace, key = self.address
        return Item(
            value=dict(self.record.meta["value"]),
            key=key,
            namespace=namespace,
            created_at=self.created_at,
            updated_at=self.record.recorded_at,
        )

    def found(self, score: float | None) -> SearchItem:
        """As `search` gives it."""
        item = self.item()
        return SearchItem(item.namespace, item.key, item.value, item.created_at, item.updated_at, score)


class RemanenceStore(BaseStore):
    """A `BaseStore` whose items are records. Thread-safe; one file may be used by many stores and processes.

    A batch reads first and writes then, as LangGraph's own stores do: its reads see what was there before it. All its
    writes are durable when it returns, or none when it raises; of several puts of one key the last one counts.

    Args:
        path: the file, as `Memory` takes it; `":memory:"` keeps nothing.
        store: an open record store instead; `close` leaves it open.
        index: LangGraph's `IndexConfig`: `fields` that are searched, `embed` and `dims` of another embedder than the
            one that ships with the package. None: everything is searched, by words and by that embedder.
            False: nothing is, and a query is passed over.
        ttl: LangGraph's `TTLConfig`. Expired items are left out at once unless `omit_expired` is False, and removed by
            `sweep_ttl`.
        app_id: under which id the items lie; stores with different ids share nothing.
        erase_deleted: what is deleted or expires is destroyed in every version, instead of kept in its history.
        language: of the texts, as `Memory` takes it.
        clock: where the time comes from.

    """

    supports_ttl = True

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        store: RecordStore | None = None,
        index: IndexConfig | Mapping[str, Any] | bool | None = None,
        ttl: TTLConfig | None = None,
        app_id: str = "langgraph",
        erase_deleted: bool = False,
        language: str = "auto",
        clock: Clock = utc_now,
    ) -> None:
        if index is True:
            raise InvalidInput("index=True says nothing; leave it out to search everything, or pass an IndexConfig")
        config = dict(index) if isinstance(index, Mapping) else {}
        embed = config.get("embed")
        self.ttl_config = ttl
        self._root = Scope(app_id=app_id)
        self._app_id = app_id
        self._searches = index is not False
        self._fields = IndexedFields(config.get("fields"))
        self._erases = erase_deleted
        self._owns_store = store is None
        self._engine = Engine(
            open_store(path, clock) if store is None else store,
            embedder=as_embedder("static")
            if embed is None
            else LangChainEmbedder(embed, config.get("dims"), config.get("name")),
            analyzer=Analyzer(language),
            clock=clock,
            defaults={},
            actor="langgraph",
            index_bytes=2 * 1024**3,
            enrich=False,
        )
        self._late = LateVectors(self._engine)
        self._writing = threading.Lock()
        self._sweeper: threading.Thread | None = None
        self._stop = threading.Event()

    @classmethod
    @contextmanager
    def from_conn_string(
        cls, conn_string: str, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> Iterator[Self]:
        """A store on a file for the length of a `with` block, as LangGraph's `SqliteStore` is opened."""
        with cls(conn_string, index=index, ttl=ttl) as store:
            yield store

    def setup(self) -> None:
        """Nothing is to be set up; here for programs that call it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop sweeping, and close the record store unless it was handed in."""
        self.stop_ttl_sweeper()
        self._engine.close(close_store=self._owns_store)

    # The interface

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do all operations; results in their order.

        Raises:
            InvalidNamespace: a label that is empty, no string, or holds a period; nothing was done.
            InvalidInput: a value that cannot be kept as JSON, a bad limit, ttl or filter; nothing was done.

        """
        operations = list(ops)
        for op in operations:
            _check(op)
        view = View(self._engine.now())
        results: list[Result] = []
        puts: dict[Address, PutOp] = {}
        read: dict[str, None] = {}
        for op in operations:
            match op:
                case GetOp():
                    stored = self._get((tuple(op.namespace), op.key), view)
                    results.append(None if stored is None else stored.item())
                    self._note(read, [stored] if stored is not None and op.refresh_ttl else [])
                case SearchOp():
                    found = self._search(op, view)
                    results.append([stored.found(score) for stored, score in found])
                    self._note(read, [stored for stored, _ in found] if op.refresh_ttl else [])
                case ListNamespacesOp():
                    results.append(self._list(op, view))
                case PutOp():
                    puts[tuple(op.namespace), op.key] = op
                    results.append(None)
        if puts:
            self._write(puts)
        if read:
            self._refresh(tuple(read), view.now)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, in a thread of its own."""
        return await asyncio.to_thread(self.batch, list(ops))

    # What expires

    def sweep_ttl(self) -> int:
        """Delete what has expired; how many items."""
        with self._writing:
            for _ in range(_ATTEMPTS):
                now = self._engine.now()
                gone = [
                    stored
                    for stored in self._under((), View(now), expired=True)
                    if stored.expires_at is not None and stored.expires_at <= now
                ]
                try:
                    self._commit(self._removing(gone), why="expired")
                except (Conflict, NotFound):
                    # Another process has put one of them anew, or removed it.
                    continue
                return len(gone)
        raise Conflict(f"expired items were changed by others {_ATTEMPTS} times in a row; sweep again")

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> concurrent.futures.Future[None]:
        """Sweep every few minutes in a thread until `stop_ttl_sweeper`; cancelling the future stops it too.

        The interval is the argument, `sweep_interval_minutes` of the `TTLConfig`, or five. A store that cannot be
        written ends the sweeping, and the future holds the error.
        """
        if sweep_interval_minutes is None:
            sweep_interval_minutes = (self.ttl_config or {}).get("sweep_interval_minutes") or _MINUTES_BETWEEN_SWEEPS
        if not sweep_interval_minutes > 0:
            raise InvalidInput(f"sweep_interval_minutes={sweep_interval_minutes!r} must be more than 0")
        self.stop_ttl_sweeper()
        self._stop = stop = threading.Event()
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        done.add_done_callback(lambda future: stop.set() if future.cancelled() else None)

        def sweep() -> None:
            try:
                while not stop.wait(sweep_interval_minutes * 60):
                    self.sweep_ttl()
            except StoreError as error:
                done.set_exception(error)
            else:
                if not done.cancelled():
                    done.set_result(None)

        self._sweeper = threading.Thread(target=sweep, daemon=True, name="remanence-ttl-sweeper")
        self._sweeper.start()
        return done

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeping thread, if there is one; whether it has ended within `timeout` seconds."""
        self._stop.set()
        if self._sweeper is None:
            return True
        self._sweeper.join(timeout)
        return not self._sweeper.is_alive()

    def _refresh(self, ids: tuple[str, ...], at: datetime) -> None:
        try:
            self._engine.store.batch([Touch(ids, at)], scope=self._root)
        except StoreReadOnly:
            # Whoever may not write cannot prolong anything either; that must not stop them from reading.
            return

    @staticmethod
    def _note(read: dict[str, None], items: Iterable[_Stored]) -> None:
        read.update((stored.record.id, None) for stored in items if stored.record.meta.get("ttl") is not None)

    # Reading

    def _get(self, address: Address, view: View, *, expired: bool = False) -> _Stored | None:
        scope = item_scope(self._app_id, *address)
        records: tuple[Record, ...]
        (records,) = self._engine.read([Find(view, kinds=_KINDS, limit=None)], scope)
        return next(iter(self._assembled(records, view, expired=expired)), None)

    def _under(self, prefix: Sequence[str], view: View, *, expired: bool = False) -> list[_Stored]:
        """All items of a namespace and below, the last changed first."""
        records: tuple[Record, ...]
        (records,) = self._engine.read(
            [Find(view, kinds=_KINDS, limit=None)], prefix_scope(self._app_id, tuple(prefix))
        )
        found = [stored for stored in self._assembled(records, view, expired=expired) if _lies_in(stored, prefix)]
        return sorted(found, key=lambda stored: (stored.record.recorded_at, stored.record.id), reverse=True)

    def _assembled(self, records: Iterable[Record], view: View, *, expired: bool) -> list[_Stored]:
        by_scope: dict[Scope, list[Record]] = {}
        for record in records:
            by_scope.setdefault(record.scope, []).append(record)
        found = []
        for scope, together in by_scope.items():
            address = address_of(scope)
            items = [record for record in together if record.kind == "item" and "value" in record.meta]
            if address is None or not items:
                continue
            newest = max(items, key=lambda record: (record.recorded_at, record.id))
            stored = _Stored(address, newest, tuple(record for record in together if record is not newest))
            if expired or not self._over(stored, view):
                found.append(stored)
        return found

    def _over(self, stored: _Stored, view: View) -> bool:
        if not (self.ttl_config or {}).get("omit_expired", True):
            return False
        return stored.expires_at is not None and stored.expires_at <= view.now

    def _search(self, op: SearchOp, view: View) -> list[tuple[_Stored, float | None]]:
        prefix, wanted = tuple(op.namespace_prefix), op.offset + op.limit
        if not op.query or not op.query.strip() or not self._searches:
            listed = [one for one in self._under(prefix, view) if admits(op.filter, one.record.meta["value"])]
            return [(stored, None) for stored in listed[op.offset : wanted]]
        scope, k = prefix_scope(self._app_id, prefix), max(2 * wanted, _LOOK)
        while True:
            hits = self._hits(op.query, k, scope, view)
            best: dict[Address, tuple[_Stored, float | None]] = {}
            for hit in hits:
                stored = self._of(hit, view)
                # An item may be hit by several of its parts; the best one comes first.
                if stored is None or stored.address in best or not _lies_in(stored, prefix):
                    continue
                if admits(op.filter, stored.record.meta["value"]):
                    best[stored.address] = stored, hit.score
                if len(best) == wanted:
                    break
            if len(best) == wanted or len(hits) < k:
                return list(best.values())[op.offset : wanted]
            k *= 4

    def _hits(self, query: str, k: int, scope: Scope, view: View) -> list[Hit]:
        embedder = Resilient(self._engine.embedder, self._engine.breaker)
        recall = self._engine.recall(scope, embedder)
        hits = recall.search(query, k, view=view, kinds=_KINDS)
        if embedder.reason is None and self._late.behind(scope, embedder.space):
            self._late.catch_up(scope, embedder)
            hits = recall.search(query, k, view=view, kinds=_KINDS)
        return hits

    def _of(self, hit: Hit, view: View) -> _Stored | None:
        """The item that a hit is of; None where it is not searched, or over, or another version has its place."""
        record, address = hit.record, None if hit.record is None else address_of(hit.record.scope)
        if record is None or address is None:
            return None
        if record.kind == "item" and record.meta.get("searched") and not self._over(_Stored(address, record), view):
            return _Stored(address, record)
        return self._get(address, view) if record.kind == "part" else None

    def _list(self, op: ListNamespacesOp, view: View) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        fixed: tuple[str, ...] = ()
        for condition in conditions:
            if condition.match_type == "prefix" and "*" not in condition.path:
                fixed = max(fixed, tuple(condition.path), key=len)
        spaces = {stored.address[0] for stored in self._under(fixed, view)}
        spaces = {space for space in spaces if all(_matches(condition, space) for condition in conditions)}
        shown = sorted({space[: op.max_depth] for space in spaces})
        return shown[op.offset : op.offset + op.limit]

    # Writing

    def _write(self, puts: Mapping[Address, PutOp]) -> None:
        with self._writing:
            for _ in range(_ATTEMPTS):
                view = View(self._engine.now())
                there = {address: self._get(address, view, expired=True) for address in puts}
                try:
                    operations = [operation for at, op in puts.items() for operation in self._plan(at, op, there[at])]
                    self._commit(operations)
                    self._settle([at for at, op in puts.items() if op.value is not None and there[at] is None])
                except (Conflict, NotFound):
                    continue
                return
        raise Conflict(f"{len(puts)} items were changed by others {_ATTEMPTS} times in a row; try again")

    def _commit(self, operations: Sequence[Operation], why: str = "") -> None:
        if operations:
            self._engine.write(operations, self._root, why=why)
        if any(isinstance(operation, Erase) for operation in operations):
            # What was read of the erased texts must not stay in memory either.
            self._engine.indexes.clear()

    def _plan(self, address: Address, op: PutOp, stored: _Stored | None) -> list[Operation]:
        if op.value is None:
            return [] if stored is None else self._removing([stored])
        value = dict(op.value)
        texts = self._fields.texts(value, op.index) if self._searches else []
        meta: dict[str, Any] = {"value": value, "searched": len(texts) == 1}
        if op.ttl is not None:
            meta["ttl"] = op.ttl
        if stored is not None:
            meta["created_at"] = stored.created_at.isoformat()
        scope = item_scope(self._app_id, *address)
        drafts = [Draft(texts[0] if len(texts) == 1 else _UNSEARCHED, kind="item", scope=scope, meta=meta)]
        drafts += [Draft(text, kind="part", scope=scope) for text in (texts if len(texts) > 1 else ())]
        drafts, _ = derive(self._engine, drafts, scope)
        self._engine.note_unembedded(scope for draft in drafts if draft.vector is None)
        if stored is None:
            return [Put(draft) for draft in drafts]
        record = stored.record
        return [
            Revise(record.id, drafts[0], expected_version=record.version),
            *(Close(other.id, expected_version=other.version) for other in stored.others),
            *map(Put, drafts[1:]),
        ]

    def _removing(self, items: Iterable[_Stored]) -> list[Operation]:
        records = [record for stored in items for record in (stored.record, *stored.others)]
        if self._erases and records:
            return [Erase(tuple(record.id for record in records), "deleted from the store")]
        return [Close(record.id, expected_version=record.version) for record in records]

    def _settle(self, fresh: Iterable[Address]) -> None:
        """Two processes may put the same new key at the same moment: the older record stays, with the newer value."""
        view = View(self._engine.now())
        for address in fresh:
            stored = self._get(address, view, expired=True)
            twins = [] if stored is None else [one for one in stored.others if one.kind == "item"]
            if stored is not None and twins:
                op = PutOp(*address, stored.record.meta["value"], ttl=stored.record.meta.get("ttl"))
                oldest = min((stored.record, *twins), key=lambda record: record.id)
                rest = tuple(one for one in (stored.record, *stored.others) if one is not oldest)
                self._commit(self._plan(address, op, _Stored(address, oldest, rest)))


def _lies_in(stored: _Stored, prefix: Sequence[str]) -> bool:
    return stored.address[0][: len(prefix)] == tuple(prefix)


def _matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path = tuple(condition.path)
    if len(path) > len(namespace):
        return False
    labels = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, labels, strict=True))


def _check(op: object) -> None:
    """Raise what `batch` raises for a bad operation."""
    match op:
        case GetOp():
            _check_labels(op.namespace)
            _check_key(op.key)
        case SearchOp():
            _check_labels(op.namespace_prefix, least=0)
            _check_page(op.limit, op.offset)
            check_filter(op.filter)
            if op.query is not None and not isinstance(op.query, str):
                raise InvalidInput(f"the query must be a string, not {type(op.query).__name__}")
        case ListNamespacesOp():
            for condition in op.match_conditions or ():
                _check_labels(condition.path, least=0)
                if condition.match_type not in ("prefix", "suffix"):
                    raise InvalidInput(f"match_type={condition.match_type!r} must be 'prefix' or 'suffix'")
            _check_page(op.limit, op.offset)
            if op.max_depth is not None:
                _check_page(op.max_depth, 0)
        case PutOp():
            _check_labels(op.namespace)
            _check_key(op.key)
            if op.namespace[0] == "langgraph":
                raise InvalidNamespace(
                    f"the first label of {op.namespace} is reserved; choose another than 'langgraph'"
                )
            if op.value is not None:
                meta_json(op.value, "value")
            _check_ttl(op.ttl)
        case _:
            raise InvalidInput(f"{op!r} is none of GetOp, SearchOp, PutOp and ListNamespacesOp")


def _check_labels(namespace: object, least: int = 1) -> None:
    if not isinstance(namespace, tuple | list) or len(namespace) < least:
        raise InvalidNamespace(f"a namespace is a tuple of at least {least} labels, not {namespace!r}")
    for label in namespace:
        if not isinstance(label, str) or not label or "." in label or "\x00" in label:
            raise InvalidNamespace(f"label {label!r} of {namespace!r} must be text without periods and NULs, not empty")


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidInput(f"key={key!r} must be a string")


def _check_ttl(ttl: object) -> None:
    if ttl is None:
        return
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 <= ttl < MOST_MINUTES:
        raise InvalidInput(f"ttl={ttl!r} must be minutes from 0 up, or None for no end")


def _check_page(limit: object, offset: object) -> None:
    for name, number in (("limit", limit), ("offset", offset)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidInput(f"{name}={number!r} must be a whole number from 0 up")

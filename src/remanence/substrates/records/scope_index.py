"""The in-process view of one scope: all of its versions as columns, postings and vectors, kept up by the journal.

An index is derived data: it is loaded from the store at first use, moved forward by the journal before each read,
started over after an erasure, and thrown away when the cache is over its budget of bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import simsimd
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.kernels.bm25 import Postings, length_norms
from remanence.kernels.growing import Growing
from remanence.kernels.sequence_links import SessionLinks
from remanence.substrates.records.columns import only
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import NEVER, Columns, Lookup, Scan
from remanence.substrates.records.port import RecordStore

MARK = "\ue000"
"""First character of marker terms, which no analyzer yields: properties of a text that travel in its token stream."""
ASKS = MARK + "asks"
"""The text ends with a question mark."""
DATED = MARK + "dated"
"""The text holds an expression of time."""
MARKERS = (ASKS, DATED)

WINDOW = {0: 1.0, -1: 0.6, 1: 0.6, -2: 0.3, 2: 0.3}
"""Weights of a turn and its neighbours in the window around it."""
_CHUNK = 1024
"""Rows whose vectors are gathered at once: little enough to stay in the cache."""
_UNKNOWN = np.float32(-1)
_MAX_INTEGERS = 100_000
_SAMPLE = 256
_ALIKE = 98.0
"""Percentile of the cosines of a scope's pairs."""
_ALIKE_UNMEASURED = 0.5


_Looked = tuple[int, int | None, int | None, bool]
"""`now`, `as_of`, `known_at` of a view, and whether what is put away was asked for."""


class ScopeIndex:
    """Columns of every version in a scope, closed ones included; row numbers are stable until an erasure.

    What was derived from other records would count their words twice: it has an index of its own (`derived`).
    Row -1 stands for "no neighbour". Hold `lock` while reading more than one attribute.
    """

    def __init__(self, store: RecordStore, scope: Scope, space: str | None, dim: int, *, derived: bool = False) -> None:
        self.scope = scope
        self.space = space
        self.dim = dim
        self.derived = derived
        self.lock = threading.RLock()
        self._store = store
        self._clear()

    def _clear(self) -> None:
        self.seq = 0
        self.vectors_seq = 0
        self.ids: list[str] = []
        self.speakers: list[str] = []
        self.postings = Postings()
        self._links = SessionLinks()
        self._span = (0, 0)
        self._groups: dict[Scope, int] = {}
        self._speaker_codes: dict[str, int] = {}
        self._kind_codes: dict[str, int] = {}
        self._latest: dict[str, int] | None = None
        self._markers: dict[str, int] = {}
        self._version: Growing[np.int32] = Growing(np.int32)
        self._older: Growing[np.int32] = Growing(np.int32)
        self._session: Growing[np.int32] = Growing(np.int32)
        self._previous: Growing[np.int32] = Growing(np.int32)
        self._next: Growing[np.int32] = Growing(np.int32)
        self._speaker: Growing[np.int32] = Growing(np.int32)
        self._is_user: Growing[np.bool_] = Growing(np.bool_)
        self._is_turn: Growing[np.bool_] = Growing(np.bool_)
        self._kind: Growing[np.int32] = Growing(np.int32)
        self._hidden: Growing[np.bool_] = Growing(np.bool_)
        self._flags: Growing[np.uint8] = Growing(np.uint8)
        self._lengths: Growing[np.float32] = Growing(np.float32)
        self._scales: Growing[np.float32] = Growing(np.float32)
        self._codes: Growing[np.int8] = Growing(np.int8, self.dim)
        self._window: Growing[np.float32] = Growing(np.float32)
        self._stale = False
        self._terms: Growing[np.int32] = Growing(np.int32)
        self._ends: Growing[np.int64] = Growing(np.int64)
        self._integers: dict[str, int] = {}
        self._absent: set[str] = set()
        self._times: Growing[np.int64] = Growing(np.int64, 6)
        self._norms: NDArray[np.float32] | None = None
        self._window_sums: dict[int, float] | None = None
        self._session_totals: NDArray[np.float64] | None = None
        self._revised = False
        self._alike = (0, _ALIKE_UNMEASURED)
        self._visible: tuple[_Looked, int, NDArray[np.bool_] | None, int] | None = None

    # Columns, [n] each unless said otherwise.

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def version(self) -> NDArray[np.int32]:
        """Version numbers."""
        return self._version.view

    @property
    def session(self) -> NDArray[np.int32]:
        """Session numbers, from 0."""
        return self._session.view

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return self._links.sessions

    @property
    def previous(self) -> NDArray[np.int32]:
        """Row of the turn before in the same session; -1 for none."""
        return self._previous.view

    @property
    def next(self) -> NDArray[np.int32]:
        """Row of the turn after in the same session; -1 for none."""
        return self._next.view

    @property
    def speaker(self) -> NDArray[np.int32]:
        """Index into `speakers`."""
        return self._speaker.view

    @property
    def is_turn(self) -> NDArray[np.bool_]:
        """Whether the kind is "turn": the rows that have neighbours."""
        return self._is_turn.view

    def of_kinds(self, kinds: Sequence[str]) -> NDArray[np.bool_]:
        """Which rows are of one of these kinds."""
        codes = [self._kind_codes[kind] for kind in kinds if kind in self._kind_codes]
        return np.isin(self._kind.view, codes)

    @property
    def is_user(self) -> NDArray[np.bool_]:
        """Whether the role is "user"."""
        return self._is_user.view

    @property
    def event_at(self) -> NDArray[np.int64]:
        """Event time in microseconds."""
        return self._times.view[:, 0]

    @property
    def lengths(self) -> NDArray[np.float32]:
        """Number of terms."""
        return self._lengths.view

    @property
    def codes(self) -> NDArray[np.int8]:
        """[n, dim] vectors."""
        return self._codes.view

    @property
    def scales(self) -> NDArray[np.float32]:
        """Scale of each vector; 0 where there is none yet."""
        return self._scales.view

    @property
    def window_norms(self) -> NDArray[np.float32]:
        """Length of the sum of a row's vector and its neighbours', weighted by `WINDOW`; at least a small positive."""
        if self._stale:
            rows = np.flatnonzero(self._window.view < 0)
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                self._window.view[part] = self._window_lengths(part)
            self._stale = False
        return self._window.view

    def _window_lengths(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        # |Σ w s c|² = Σ Σ w s w' s' (c · c'): products of bytes are exact, and faster than sums of vectors.
        members = []
        for distance, near in self.neighbours(rows).items():
            weights = np.where(near >= 0, self.scales[near], 0) * np.float64(WINDOW[distance])
            members.append((weights, self.codes[near]))
        total = np.zeros(len(rows))
        for i, (weights, codes) in enumerate(members):
            total += weights * weights * np.asarray(simsimd.dot(codes, codes))
            for others, other_codes in members[:i]:
                total += 2 * weights * others * np.asarray(simsimd.dot(codes, other_codes))
        return np.maximum(np.sqrt(np.maximum(total, 0)), 1e-6)

    def neighbours(self, rows: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
        """Rows at distance -2 … 2 of `rows` in the same session; -1 where the session ends."""
        found = {0: rows}
        for links, sign in ((self.previous, -1), (self.next, 1)):
            near = np.where(rows >= 0, links[rows], -1)
            found[sign] = near.astype(np.intp)
            found[2 * sign] = np.where(near >= 0, links[near], -1).astype(np.intp)
        return found

    def rows(self, ids: Sequence[str], visible: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Row of the newest version of each id, or of the newest that is `visible`; -1 where there is none."""
        latest = self._rows_by_id(len(self.ids))
        found = np.array([latest.get(id, -1) for id in ids], np.intp)
        if visible is not None:
            while (away := (found >= 0) & ~visible[found]).any():
                found[away] = self._older.view[found[away]]
        return found

    def terms_of(self, row: int) -> NDArray[np.int32]:
        """Term integers of a row, in text order."""
        return self._terms.view[int(self._ends.view[row - 1]) if row else 0 : int(self._ends.view[row])]

    @property
    def alike(self) -> float:
        """Cosine from which two rows are taken to speak of the same matter: few pairs of the scope are as near.

        Measured on the scope's own vectors, because every embedder spreads its cosines differently.
        """
        # From a beginning whose length is a power of two: the same in every process, however it came by its rows.
        size = 1 << len(self).bit_length() >> 1
        if size not in (0, self._alike[0]):
            rows = np.linspace(0, size - 1, min(_SAMPLE, size)).astype(np.intp)
            rows = rows[self.scales[rows] > 0]
            vectors = self.codes[rows] * self.scales[rows, None]
            pairs = (vectors @ vectors.T)[np.triu_indices(len(rows), 1)]
            enough = len(rows) >= _SAMPLE // 4
            self._alike = (size, float(np.percentile(pairs, _ALIKE)) if enough else _ALIKE_UNMEASURED)
        return self._alike[1]

    def recency(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Where the rows stand between the oldest (0) and the newest (1) event of the scope, by time."""
        oldest, newest = self._span
        places = (self.event_at[rows] - oldest) / max(newest - oldest, 1)
        return places.astype(np.float32)

    def flagged(self, marker: str, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of `rows` carry the marker; row -1 carries none."""
        bit = 1 << MARKERS.index(marker)
        found: NDArray[np.bool_] = (self._flags.view[rows] & bit).astype(bool) & (rows >= 0)
        return found

    @property
    def session_lengths(self) -> NDArray[np.float32]:
        """Number of terms in each session, [sessions]."""
        if self._session_totals is None:
            totals = np.bincount(self.session, self.lengths, minlength=self.sessions)
            self._session_totals = totals.astype(np.float64)
        return self._session_totals.astype(np.float32)

    @property
    def norms(self) -> NDArray[np.float32]:
        """BM25's length norms."""
        if self._norms is None:
            self._norms = length_norms(self.lengths)
        return self._norms

    @property
    def window_length(self) -> float:
        """Number of terms in the window around a row, weighted by `WINDOW`, on average."""
        if self._window_sums is None:
            lengths = np.append(self.lengths, np.float32(0)).astype(np.float64)
            around = self.neighbours(np.arange(len(self)))
            self._window_sums = {distance: float(lengths[rows].sum()) for distance, rows in around.items()}
        # Sums of whole numbers are exact in any order; their weighted sum is taken in this one.
        return sum(total * WINDOW[distance] for distance, total in self._window_sums.items()) / max(len(self), 1)

    @property
    def nbytes(self) -> int:
        """Bytes held, Python's own objects estimated."""
        columns = (
            self._version, self._older, self._session, self._previous, self._next, self._speaker, self._is_user,
            self._is_turn, self._kind, self._hidden, self._flags, self._lengths, self._scales, self._codes, self._times,
            self._window, self._terms, self._ends,
        )  # fmt: skip
        looked_up = 0 if self._latest is None else 104 * len(self._latest)
        tables = looked_up + 300 * len(self._groups) + 150 * len(self._integers)
        norms = 0 if self._norms is None else self._norms.nbytes
        return sum(c.nbytes for c in columns) + 83 * len(self.ids) + self.postings.nbytes + tables + norms

    def visible(self, view: View, *, hidden: bool = False) -> NDArray[np.bool_] | None:
        """Which rows `view` shows, at most one version of each record; None means all of them.

        The column form of `View.shows`, and of the rule that the newest version shown stands for its record. What is
        put away (`Record.hidden`) is left out unless `hidden`.
        """
        now, as_of, known_at = view.micros()
        if self._visible is not None:
            (from_now, *cached), until, mask, rows = self._visible
            if cached == [as_of, known_at, hidden] and (as_of is not None or from_now <= now < until):
                if rows < len(self):
                    shown, ends = self._shown(rows, now, as_of, known_at)
                    shown = shown if hidden else shown & ~self._hidden.view[rows:]
                    if mask is not None or not shown.all():
                        mask = np.concatenate([np.ones(rows, bool) if mask is None else mask, shown])
                    until = min(until, int(ends[ends > now].min(initial=NEVER)))
                    self._visible = ((now, as_of, known_at, hidden), until, mask, len(self))
                return mask
        shown, ends = self._shown(0, now, as_of, known_at)
        older = self._older.view[shown]
        while len(older := older[older >= 0]):
            shown[older] = False
            older = self._older.view[older]
        if not hidden:
            shown &= ~self._hidden.view
        until = int(ends[ends > now].min(initial=NEVER))
        found = None if shown.all() else shown
        self._visible = ((now, as_of, known_at, hidden), until, found, len(self))
        return found

    def _shown(
        self, first: int, now: int, as_of: int | None, known_at: int | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which rows from `first` on a view shows by their own times, and when their validity ends."""
        _, valid_from, valid_to, recorded, closed, ended = self._times.view[first:].T
        known = closed <= (NEVER - 1 if known_at is None else known_at)
        ends = np.minimum(valid_to, np.where(known, ended, NEVER))
        shown = ends > (np.maximum(now, valid_from) if as_of is None else as_of)
        if as_of is not None:
            shown &= valid_from <= as_of
        if known_at is not None:
            shown &= recorded <= known_at
        return shown, ends

    # Following the store.

    def refresh(self) -> None:
        """Bring the index up to the store's present state."""
        with self.lock:
            columns = self._scan()
            if columns.erased:
                self._clear()
                columns = self._scan()
            if columns.seq != self.seq:
                # A word that occurred nowhere may occur now.
                self._absent.clear()
            if columns.ids:
                self._append(columns)
            for id, version, closed, ended in columns.closed:
                row = self._row(id, version)
                if row >= 0:
                    self._times.view[row, 4:] = closed, ended
            for id, version, data, scale in columns.embedded:
                row = self._row(id, version)
                if row >= 0:
                    self._codes.view[row] = np.frombuffer(data, np.int8)
                    self._scales.view[row] = scale
                    self._alike = (0, _ALIKE_UNMEASURED)
                    self._touch(np.array([row], np.intp))
            if columns.closed or (columns.ids and self._revised):
                self._visible = None
            self.seq, self.vectors_seq = columns.seq, columns.vectors_seq

    def _scan(self) -> Columns:
        scan = Scan(after=self.seq, space=self.space, vectors_after=self.vectors_seq)
        (columns,) = self._store.batch([scan], scope=self.scope).results
        assert isinstance(columns, Columns)
        return only(columns, self.derived)

    def _touch(self, rows: NDArray[np.intp]) -> None:
        around = np.concatenate(list(self.neighbours(rows).values()))
        while len(around := around[around >= 0]):
            self._window.view[around] = _UNKNOWN
            self._stale = True
            # A version that was replaced keeps its neighbours, which then know only its successor.
            around = self._older.view[around]

    def lookup(self, terms: tuple[str, ...]) -> tuple[int | None, ...]:
        """The store's integers for analysed terms; None for a term that occurs nowhere."""
        integers, absent = self._integers, self._absent
        unknown = tuple(term for term in terms if term not in integers and term not in absent)
        if unknown:
            (found,) = self._store.batch([Lookup(unknown)], scope=self.scope).results
            integers.update((term, integer) for term, integer in zip(unknown, found, strict=True) if integer)
            absent.update(term for term, integer in zip(unknown, found, strict=True) if not integer)
            if len(integers) + len(absent) > _MAX_INTEGERS:
                self._integers = {term: integers[term] for term in terms if term in integers}
                self._absent = set()
        return tuple(integers.get(term) for term in terms)

    def _append(self, columns: Columns) -> None:
        first, count = len(self.ids), len(columns.ids)
        self.ids.extend(columns.ids)
        self._version.extend(columns.versions)
        times = (columns.event_at, columns.valid_from, columns.valid_to, columns.recorded_at, columns.closed_at,
                 columns.ended_at)  # fmt: skip
        self._times.extend(np.stack(times, axis=1))
        self._hidden.extend(columns.hidden)
        self._scales.extend(columns.scales)
        self._codes.take(np.zeros((count, self.dim), np.int8) if columns.vectors is None else columns.vectors)
        events = self.event_at
        self._span = (int(events.min()), int(events.max())) if not first else (
            min(self._span[0], int(columns.event_at.min())), max(self._span[1], int(columns.event_at.max())),
        )  # fmt: skip
        self._append_terms(columns)
        self._append_speakers(columns)
        self._append_links(columns, first)
        self._window.extend(np.full(count, _UNKNOWN))
        self._stale = True
        if first:
            self._touch(np.arange(first, first + count))
        self._norms = None
        self._follow_lengths(first)

    def _follow_lengths(self, first: int) -> None:
        """Bring the sums of lengths up to date: by the rows from `first` on, where nothing before them has moved."""
        if not first or self._revised:
            self._window_sums = self._session_totals = None
            return
        new = self.lengths[first:].astype(np.float64)
        if self._session_totals is not None:
            grown = np.zeros(self.sessions)
            grown[: len(self._session_totals)] = self._session_totals
            np.add.at(grown, self.session[first:], new)
            self._session_totals = grown
        if self._window_sums is not None:
            around = self.neighbours(np.arange(first, len(self)))
            self._window_sums[0] += float(new.sum())
            for distance in (1, 2):
                # A row enters the windows of those before it, as they enter its own.
                there = around[-distance] >= 0
                self._window_sums[-distance] += float(self.lengths[around[-distance][there]].sum(dtype=np.float64))
                self._window_sums[distance] += float(new[there].sum())

    def _append_terms(self, columns: Columns) -> None:
        terms, offsets = columns.terms, columns.term_offsets
        flags = np.zeros(len(columns.ids), np.uint8)
        if len(self._markers) < len(MARKERS):
            found = zip(MARKERS, self.lookup(MARKERS), strict=True)
            self._markers = {marker: integer for marker, integer in found if integer is not None}
        if self._markers:
            marked = np.zeros(len(terms), bool)
            for bit, marker in enumerate(MARKERS):
                if marker in self._markers:
                    carried = terms == self._markers[marker]
                    marked |= carried
                    flags[np.searchsorted(offsets, np.flatnonzero(carried), "right") - 1] |= 1 << bit
            offsets = offsets - np.searchsorted(np.flatnonzero(marked), offsets)
            terms = terms[~marked]
        self._flags.extend(flags)
        self._lengths.extend(np.diff(offsets).astype(np.float32))
        self.postings.append(terms, offsets.astype(np.int64))
        self._ends.extend(offsets[1:] + len(self._terms))
        self._terms.take(terms)

    def _append_speakers(self, columns: Columns) -> None:
        # Speakers and roles are few and scopes many, but only where nobody is named does the scope matter.
        spoken = list(zip(columns.speakers, columns.roles, strict=True))
        distinct = {pair: number for number, pair in enumerate(dict.fromkeys(spoken))}
        pairs = np.fromiter(map(distinct.__getitem__, spoken), np.int64, len(spoken))
        named = np.array([bool(speaker) for speaker, _ in distinct], bool)[pairs]
        keys = pairs * len(columns.scopes) + np.where(named, 0, columns.scope_of)
        _, first, key_of = np.unique(keys, return_index=True, return_inverse=True)
        codes = np.empty(len(first), np.int32)
        for key in np.argsort(first).tolist():
            row = int(first[key])
            name = who_speaks(*spoken[row], columns.scopes[columns.scope_of[row]])
            codes[key] = self._speaker_codes.setdefault(name, len(self._speaker_codes))
        self.speakers = list(self._speaker_codes)
        self._speaker.extend(codes[key_of])
        is_user = np.array([role == "user" for _, role in distinct], bool)
        self._is_user.extend(is_user[pairs])

    def _append_links(self, columns: Columns, first: int) -> None:
        count = len(columns.ids)
        streams = [self._groups.setdefault(scope, len(self._groups)) for scope in columns.scopes]
        splits = np.array([scope.run_id is None for scope in columns.scopes], bool)[columns.scope_of]
        revised = columns.versions > 1
        is_turn = np.fromiter(map("turn".__eq__, columns.kinds), bool, count)
        self._is_turn.extend(is_turn)
        for kind in dict.fromkeys(columns.kinds):
            self._kind_codes.setdefault(kind, len(self._kind_codes))
        self._kind.extend(np.fromiter(map(self._kind_codes.__getitem__, columns.kinds), np.int32, count))
        # Only turns have neighbours; and a new version takes its predecessor's place instead of standing at the end.
        groups = np.where(is_turn & ~revised, np.array(streams, np.int64)[columns.scope_of], -1)
        session, previous, following, joined = self._links.extend(first, groups, columns.event_at, splits)
        self._session.extend(session)
        self._previous.extend(previous)
        self._next.extend(following)
        self._older.extend(np.full(count, -1, np.int32))
        for old, new in joined:
            newest = old if self._latest is None else self._latest[self.ids[old]]
            self._previous.view[new] = newest
            while newest >= 0:
                self._next.view[newest] = new
                newest = int(self._older.view[newest])
        self._revised |= bool(revised.any())
        if self._latest is not None or revised.any():
            latest = self._rows_by_id(first)
            for i in range(count):
                self._place(first + i, latest)

    def _place(self, row: int, latest: dict[str, int]) -> None:
        id = self.ids[row]
        old = latest.get(id, -1)
        latest[id] = row
        self._older.view[row] = old
        if old < 0:
            return
        previous, following = self._previous.view, self._next.view
        self._session.view[row] = self._session.view[old]
        previous[row], following[row] = previous[old], following[old]
        if previous[row] >= 0:
            following[previous[row]] = row
        if following[row] >= 0:
            previous[following[row]] = row

    def _rows_by_id(self, upto: int) -> dict[str, int]:
        if self._latest is None:
            self._latest = {id: row for row, id in enumerate(self.ids[:upto])}
        return self._latest

    def _row(self, id: str, version: int) -> int:
        row = self._rows_by_id(len(self.ids)).get(id, -1)
        while row >= 0 and self._version.view[row] != version:
            row = int(self._older.view[row])
        return row


def who_speaks(speaker: str | None, role: str | None, scope: Scope) -> str:
    """The name that a question would call the speaker of a turn by."""
    if speaker:
        return speaker
    if role == "user":
        return scope.user_id or "user"
    if role == "assistant":
        return scope.agent_id or "assistant"
    return role or ""


_Key = tuple[Scope, str | None, bool]


class IndexCache:
    """Scope indexes in use, least recently used thrown away first once they hold more than `budget` bytes."""

    def __init__(self, store: RecordStore, budget: int = 2 * 1024**3) -> None:
        self.budget = budget
        self._store = store
        self._lock = threading.RLock()
        self._indexes: OrderedDict[_Key, ScopeIndex] = OrderedDict()
        self._sizes: dict[_Key, int] = {}

    def get(self, scope: Scope, space: str | None, dim: int, *, derived: bool = False) -> ScopeIndex:
        """The index of a scope, or of what was derived in it, brought up to date with the store."""
        key = (scope, space, derived)
        with self._lock:
            index = self._indexes.get(key)
            if index is None:
                index = self._indexes[key] = ScopeIndex(self._store, scope, space, dim, derived=derived)
            self._indexes.move_to_end(key)
        index.refresh()
        self._shrink(key, index.nbytes)
        return index

    def _shrink(self, used: _Key, size: int) -> None:
        with self._lock:
            if used in self._indexes:
                self._sizes[used] = size
            # Only the one in use has grown since the last time.
            held = sum(self._sizes.values())
            # The newest one is in use: a single scope larger than the budget still has to work.
            while held > self.budget and len(self._indexes) > 1:
                dropped, _ = self._indexes.popitem(last=False)
                held -= self._sizes.pop(dropped, 0)

    @property
    def nbytes(self) -> int:
        """Bytes held by all indexes."""
        with self._lock:
            return sum(index.nbytes for index in self._indexes.values())

    def __len__(self) -> int:
        return len(self._indexes)

    def clear(self) -> None:
        """Forget everything; the next read loads anew."""
        with self._lock:
            self._indexes.clear()
            self._sizes.clear()

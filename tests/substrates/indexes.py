"""What can be read from a scope index, and what the records say that it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from remanence.core.clock import to_micros
from remanence.core.scope import Scope
from remanence.kernels.quantize import dequantize
from remanence.kernels.sequence_links import SESSION_GAP, link_naive
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.scope_index import MARK, MARKERS, WINDOW, ScopeIndex, who_speaks
from tests.substrates.worlds import ANA, DIM, SPACE, STEMS, history, rows


def index_of(store: RecordStore, scope: Scope = ANA, *, derived: bool = False) -> ScopeIndex:
    index = ScopeIndex(store, scope, SPACE, DIM, derived=derived)
    index.refresh()
    return index


def content(index: ScopeIndex, views: list[View]) -> dict[str, Any]:
    """All that can be read from an index, as plain data."""
    everything = np.arange(len(index))
    integers = index.lookup((*STEMS, *MARKERS))
    return {
        "ids": index.ids,
        "version": index.version.tolist(),
        "session": index.session.tolist(),
        "sessions": index.sessions,
        "previous": index.previous.tolist(),
        "next": index.next.tolist(),
        "speakers": index.speakers,
        "speaker": index.speaker.tolist(),
        "is_user": index.is_user.tolist(),
        "is_turn": index.is_turn.tolist(),
        "event_at": index.event_at.tolist(),
        "lengths": index.lengths.tolist(),
        "codes": index.codes.tolist(),
        "scales": index.scales.tolist(),
        "window_norms": index.window_norms.tolist(),
        "window_length": index.window_length,
        "norms": index.norms.tolist(),
        "session_lengths": index.session_lengths.tolist(),
        "alike": index.alike,
        "recency": index.recency(everything).tolist(),
        "terms": [index.terms_of(row).tolist() for row in range(len(index))],
        "integers": integers,
        "postings": [postings_of(index, integer) for integer in integers],
        "flags": [index.flagged(marker, everything).tolist() for marker in MARKERS],
        "rows": index.rows([*dict.fromkeys(index.ids), "unknown"]).tolist(),
        "visible": [visible(index, view).tolist() for view in views],
        "put away": [visible(index, view, hidden=True).tolist() for view in views],
    }


def postings_of(index: ScopeIndex, integer: int | None) -> list[tuple[int, int]]:
    docs, tfs = index.postings.of(-1 if integer is None else integer)
    return list(zip(docs.tolist(), tfs.tolist(), strict=True))


def visible(index: ScopeIndex, view: View, *, hidden: bool = False) -> np.ndarray:
    found = index.visible(view, hidden=hidden)
    assert found is None or not found.all()
    return np.ones(len(index), bool) if found is None else found


def records_of(store: RecordStore, scope: Scope = ANA, *, derived: bool = False) -> list[Record]:
    """The record of every row."""
    found = []
    for id, version in rows(store, scope, derived):
        found += [record for record in history(store, id, scope) if record.version == version]
    return found


def check(index: ScopeIndex, store: RecordStore, views: list[View]) -> None:
    """Compare an index with what the records themselves say, row by row."""
    records = records_of(store, index.scope, derived=index.derived)
    assert [(record.id, record.version) for record in records] == list(
        zip(index.ids, index.version.tolist(), strict=True)
    )
    words = {integer: word for word, integer in zip(STEMS, index.lookup(tuple(STEMS)), strict=True) if integer}
    for row, record in enumerate(records):
        plain = [term for term in record.terms if not term.startswith(MARK)]
        assert [words[integer] for integer in index.terms_of(row).tolist()] == plain
        assert index.lengths[row] == len(plain)
        assert index.event_at[row] == to_micros(record.event_at)
        assert index.is_turn[row] == (record.kind == "turn")
        assert index.is_user[row] == (record.role == "user")
        assert index.speakers[index.speaker[row]] == who_speaks(record.speaker, record.role, record.scope)
        for marker in MARKERS:
            assert index.flagged(marker, np.array([row]))[0] == (marker in record.terms)
    for word, integer in zip(STEMS, index.lookup(tuple(STEMS)), strict=True):
        expected = [(row, record.terms.count(word)) for row, record in enumerate(records) if word in record.terms]
        if expected:
            assert postings_of(index, integer) == expected
    newest = {record.id: row for row, record in enumerate(records)}
    for view in views:
        shown = {(r.id, r.version) for id in newest for r in [n for n in records if n.id == id and view.shows(n)][-1:]}
        there = [(record.id, record.version) in shown for record in records]
        assert visible(index, view, hidden=True).tolist() == there
        assert visible(index, view).tolist() == [
            known and record.trust > 0 and record.state not in ("merged", "archived", "expired")
            for known, record in zip(there, records, strict=True)
        ]
    check_links(index, records, newest)
    check_windows(index)


def check_links(index: ScopeIndex, records: list[Record], newest: dict[str, int]) -> None:
    """Neighbours of the newest version of each record: those of its first version, in their newest versions."""
    first = {record.id: record for record in reversed(records)}
    firsts = [record for record in records if first[record.id] is record]
    streams: dict[Scope, int] = {}
    groups = [streams.setdefault(r.scope, len(streams)) if r.kind == "turn" and r.version == 1 else -1 for r in firsts]
    times = [to_micros(record.event_at) for record in firsts]
    session, previous, following = link_naive(groups, times, [r.scope.run_id is None for r in firsts], SESSION_GAP)
    sessions = {}
    for place, record in enumerate(firsts):
        row = newest[record.id]
        for links, column in ((previous, index.previous), (following, index.next)):
            assert column[row] == (newest[firsts[links[place]].id] if links[place] >= 0 else -1)
        sessions[session[place]] = int(index.session[row])
        assert index.session[row] == sessions[session[place]]
    assert len(set(sessions.values())) == len(sessions)


def check_windows(index: ScopeIndex) -> None:
    vectors = dequantize(index.codes, index.scales)
    for row in range(len(index)):
        total = np.zeros(index.dim)
        for distance, near in index.neighbours(np.array([row])).items():
            if near[0] >= 0:
                total += WINDOW[distance] * vectors[near[0]]
        assert index.window_norms[row] == pytest.approx(max(float(np.linalg.norm(total)), 1e-6), rel=1e-4)

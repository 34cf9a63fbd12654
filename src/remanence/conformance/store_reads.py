"""Rules S40 to S59: what each reading operation answers."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from remanence.conformance.rules import CannotRun, rule
from remanence.conformance.stage import ANA, BOB, NOW, START, Stage, day, expect, one, put, refused, same
from remanence.core.clock import SteppingClock, to_micros
from remanence.core.errors import InvalidFilter, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.filters import compile_filter
from remanence.substrates.records.model import Draft, Edge, Record, Source, State, Vector, View
from remanence.substrates.records.operations import (
    NEVER,
    Changes,
    Close,
    Columns,
    Count,
    Edges,
    Embed,
    Find,
    Get,
    History,
    Link,
    Lookup,
    Pending,
    Put,
    Restore,
    Revise,
    Scan,
    Spaces,
)
from remanence.substrates.records.port import RecordStore, Surveyable

NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
KINDS = ("turn", "fact", "note")


@rule("S40")
def views_follow_their_definition(stage: Stage) -> None:
    """Find, Get and Count show, of each record, the newest version that View.shows accepts, at any two times."""
    store, ids = _lived_in(stage, seed=40)
    versions = {id: one(store, History(id)) for id in ids}
    for view in _views(random.Random(41), 60):
        wanted = [shown[-1] for id in sorted(ids) if (shown := [v for v in versions[id] if view.shows(v)])]
        same(list(one(store, Find(view, limit=None))), wanted, f"Find under {view}")
        same(one(store, Count(view)), len(wanted), f"Count under {view}")
        rest = [([v for v in versions[id] if view.shows(v)] or versions[id])[-1] for id in sorted(ids)]
        same(list(one(store, Find(view, limit=None, closed=True))), rest, f"Find with what is over under {view}")
        by_id = {record.id: record for record in wanted}
        same(one(store, Get(tuple(ids), view)), tuple(by_id.get(id) for id in ids), f"Get under {view}")


@rule("S41")
def a_date_ahead_does_not_hide(stage: Stage) -> None:
    """What was just added is found even when its date lies ahead, hidden as of a time before, and gone once deleted."""
    store = stage.store()
    id = put(store, "the trip", event_at=day(900))
    same(len(one(store, Find(View(START)))), 1, "found on the day it was added")
    same(one(store, Get((id,), View(START, as_of=day(899)))), (None,), "as of the day before")
    same(one(store, Get((id,), View(START, as_of=day(900))))[0].id, id, "as of its day")
    one(store, Close(id))
    for view in (View(START), View(day(900)), View(START, as_of=day(900))):
        same(one(store, Find(view)), (), f"a deleted record whose date lies ahead, under {view}")
    same(len(one(store, Find(View(START, known_at=START)))), 1, "as known before it was deleted")


@rule("S42")
def get_answers_in_order(stage: Stage) -> None:
    """Get answers once per id, in the order asked, with None for what is not there."""
    store = stage.store()
    a, b = put(store, "a"), put(store, "b")
    got = one(store, Get((b, NOWHERE, a, b, "not an id"), NOW))
    same([record and record.text for record in got], ["b", None, "a", "b", None], "texts")
    same(one(store, Get((), NOW)), (), "no ids")


@rule("S43")
def find_filters_and_pages(stage: Stage) -> None:
    """Find goes by id, newest or oldest first, and honours kinds, where, limit and after, all on the version shown."""
    store, ids = _lived_in(stage, seed=43)
    records = list(one(store, Find(NOW, limit=None)))
    same([record.id for record in records], sorted(record.id for record in records), "order by id")
    wheres: list[dict[str, Any]] = [
        {}, {"kind": "fact"}, {"meta.n": {"gte": 3}}, {"n": 1}, {"speaker": "*"}, {"text": {"icontains": "TEXT 1"}},
        {"OR": [{"kind": "note"}, {"speaker": {"in": ["Ana", "Bo"]}}]}, {"NOT": [{"role": "user"}]},
        {"event_at": {"gt": day(-10).isoformat()}}, {"valid_from": {"lte": day(0)}}, {"version": {"gt": 1}},
        {"user_id": "ana"}, {"run_id": "r"}, {"state": {"ne": "generated"}}, {"missing": None},
    ]  # fmt: skip
    for kinds in (None, ("fact",), ("turn", "note"), ()):
        for where in wheres:
            accepts = compile_filter(where)
            wanted = [record for record in records if (kinds is None or record.kind in kinds) and accepts(record)]
            asked = f"kinds={kinds} where={where}"
            same(list(one(store, Find(NOW, kinds, where, None))), wanted, f"Find {asked}")
            newest = one(store, Find(NOW, kinds, where, None, newest_first=True))
            same(list(newest), wanted[::-1], f"Find newest first {asked}")
            same(list(one(store, Find(NOW, kinds, where, 2))), wanted[:2], f"Find limit 2 {asked}")
        if kinds is not None:
            same(one(store, Count(NOW, kinds)), sum(record.kind in kinds for record in records), f"Count {kinds}")
    for newest_first in (False, True):
        paged: list[Record] = []
        after = None
        for _ in range(0, len(records) + 1, 3):
            page = one(store, Find(NOW, limit=3, after=after, newest_first=newest_first))
            paged += page
            after = page[-1].id if page else after
        same(paged, records[::-1] if newest_first else records, f"pages, newest_first={newest_first}")
    same(one(store, Find(NOW, limit=0)), (), "limit 0")
    same(len(one(store, Find(NOW, after=NOWHERE, limit=None))), len(records), "after an id that is not there")
    refused(store, [Find(NOW, where={"x": {"like": 1}}), Find(NOW, where={"$xor": []})], InvalidFilter, "a filter")
    expect(len(ids) > len(records) > 5, "the history of this rule hides nothing")


@rule("S44")
def history_shows_every_version(stage: Stage) -> None:
    """History gives every version, oldest first, closed ones included."""
    store = stage.store()
    id = put(store, "1")
    for text in ("2", "3", "4"):
        one(store, Revise(id, Draft(text)))
    one(store, Close(id))
    history = one(store, History(id))
    same([(v.version, v.text) for v in history], [(n, str(n)) for n in (1, 2, 3, 4)], "versions")
    expect(all(version.closed_at is not None for version in history), "a version of a closed record is open")
    refused(store, [History(NOWHERE)], NotFound, "an unknown record")


@rule("S45")
def changes_can_be_narrowed(stage: Stage) -> None:
    """Changes gives entries after a position and up to another, oldest first, of one change or one record when asked,
    up to a limit."""
    store, ids = _lived_in(stage, seed=45)
    everything = one(store, Changes())
    same([entry.seq for entry in everything], list(range(1, store.position() + 1)), "positions")
    same(one(store, Changes(since=7)), everything[7:], "since a position")
    same(one(store, Changes(since=store.position())), (), "since the end")
    same(one(store, Changes(until=9)), everything[:9], "up to a position")
    same(one(store, Changes(since=3, until=9, limit=4)), everything[3:7], "between two positions, limit 4")
    same(one(store, Changes(since=9, until=9)), (), "between a position and itself")
    same(one(store, Changes(limit=3)), everything[:3], "limit 3")
    same(one(store, Changes(limit=0)), (), "limit 0")
    for id in ids[:5]:
        wanted = tuple(entry for entry in everything if entry.id == id)
        same(one(store, Changes(id=id)), wanted, "of one record")
        same(one(store, Changes(id=id, since=wanted[0].seq)), wanted[1:], "of one record, since")
        same(one(store, Changes(id=id, until=wanted[0].seq)), wanted[:1], "of one record, up to")
    for change in {entry.change for entry in everything[:20]}:
        same(one(store, Changes(change=change)), tuple(e for e in everything if e.change == change), "of one change")
    same(one(store, Changes(change=NOWHERE)), (), "of an unknown change")
    one(store, Changes())[0].detail["planted"] = 1
    same(one(store, Changes()), everything, "the journal after a caller changed an answer")


@rule("S46")
def edges_can_be_narrowed(stage: Stage) -> None:
    """Edges gives, sorted, the edges that touch any of some records and have any of some types."""
    store = stage.store()
    ids = [put(store, str(number)) for number in range(5)]
    rng = random.Random(46)
    made = {(rng.choice(ids), rng.choice(ids), rng.choice("tuv")): rng.random() for _ in range(25)}
    for (source, target, type), weight in made.items():
        one(store, Link(Edge(source, target, type, weight)))
    wanted = sorted(Edge(*key, weight) for key, weight in made.items())
    same(one(store, Edges()), tuple(wanted), "all edges")
    for asked, types in (((ids[0],), None), ((ids[1], ids[3]), ("t",)), (None, ("u", "v")), ((), None), (None, ())):
        narrowed = [
            edge
            for edge in wanted
            if (asked is None or edge.source in asked or edge.target in asked) and (types is None or edge.type in types)
        ]
        same(one(store, Edges(asked, types)), tuple(narrowed), f"edges of {asked} with types {types}")
    same(one(store, Edges((NOWHERE,))), (), "edges of an unknown record")


@rule("S47")
def scan_shows_what_history_shows(stage: Stage) -> None:
    """Scan lists every covered version in the order of the journal, column by column as History has it."""
    store, ids = _lived_in(stage, seed=47)
    put(store, "elsewhere", BOB, terms=("elsewhere",))
    columns = one(store, Scan(space="space"))
    opened = [(e.id, e.version) for e in one(store, Changes()) if e.op in ("put", "revise", "restore")]
    same(list(zip(columns.ids, columns.versions.tolist(), strict=True)), opened, "rows in journal order")
    versions = {(id, version.version): version for id in ids for version in one(store, History(id))}
    rows = [versions[key] for key in opened]
    same([columns.scopes[number] for number in columns.scope_of], [row.scope for row in rows], "scopes")
    same(len(set(columns.scopes)), len(columns.scopes), "distinct scopes")
    same(columns.kinds, [row.kind for row in rows], "kinds")
    same(columns.speakers, [row.speaker for row in rows], "speakers")
    same(columns.roles, [row.role for row in rows], "roles")
    for name in ("event_at", "valid_from", "valid_to", "recorded_at", "closed_at", "ended_at"):
        moments = [getattr(row, name) for row in rows]
        wanted = [NEVER if moment is None else to_micros(moment) for moment in moments]
        same(getattr(columns, name).tolist(), wanted, name)
    terms = [
        tuple(columns.terms[begin:end].tolist())
        for begin, end in zip(columns.term_offsets, columns.term_offsets[1:], strict=False)
    ]
    same(terms, [one(store, Lookup(row.terms)) for row in rows], "terms of the rows")
    closed = [(k[0], k[1], to_micros(v.closed_at), to_micros(v.ended_at)) for k, v in versions.items() if v.closed_at]
    same(sorted(columns.closed), sorted(closed), "closings")
    expect(columns.vectors is not None and columns.vectors.shape[0] == len(rows), "vectors do not go with the rows")
    dtypes = {name: getattr(columns, name).dtype.name for name in ("versions", "event_at", "terms", "term_offsets")}
    same(dtypes, {"versions": "int32", "event_at": "int64", "terms": "int32", "term_offsets": "int64"}, "types")
    same((columns.vectors.dtype.name, columns.scales.dtype.name), ("int8", "float32"), "types of vectors")
    empty = one(store, Scan(space="space"), Scope(user_id="nobody"))
    same((empty.ids, empty.vectors, empty.term_offsets.tolist(), empty.seq), ([], None, [0], columns.seq), "no rows")
    same(one(store, Scan()).vectors, None, "vectors when no space is asked for")


@rule("S48")
def scans_add_up(stage: Stage) -> None:
    """A reader that follows with Scan(after) knows after each step what a scan from the beginning shows."""
    store = stage.store()
    rng = random.Random(48)
    known: dict[tuple[str, int], tuple[Any, ...]] = {}
    seq = vectors_seq = 0
    ids: list[str] = []
    for _ in range(25):
        _live(store, rng, ids)
        if ids and rng.random() < 0.5:
            one(store, Embed(rng.choice(ids), 1, Vector("space", rng.randbytes(2), rng.randrange(1, 9) / 8)))
        step = one(store, Scan(after=seq, space="space", vectors_after=vectors_seq))
        expect(not step.erased, "a scan speaks of an erasure that never was")
        known |= _rows(step)
        for id, version, closed_at, ended_at in step.closed:
            known[id, version] = (*known[id, version][:-4], closed_at, ended_at, *known[id, version][-2:])
        for id, version, data, scale in step.embedded:
            known[id, version] = (*known[id, version][:-2], data, scale)
        seq, vectors_seq = step.seq, step.vectors_seq
        same(seq, store.position(), "position of a scan")
        same(known, _rows(one(store, Scan(space="space"))), "what a following reader knows")


@rule("S49")
def lookup_numbers_terms(stage: Stage) -> None:
    """Lookup gives each term of the store its integer, from 1 in order of appearance, and None to unknown ones."""
    store = stage.store()
    put(store, "x", terms=("b", "a", "b"))
    put(store, "y", BOB, terms=("c", "a"))
    same(one(store, Lookup(("a", "b", "c", "d", "a"))), (2, 1, 3, None, 2), "integers")
    same(one(store, Lookup(())), (), "no terms")


@rule("S50")
def pending_and_spaces(stage: Stage) -> None:
    """Pending lists open versions without a vector in a space, oldest first; Spaces counts the vectors of each."""
    store = stage.store()
    vector = Vector("space", b"\x01", 1.0)
    a, b, c = put(store, "a"), put(store, "b", vector=vector), put(store, "c")
    one(store, Revise(a, Draft("a2")))
    one(store, Close(c))
    d = put(store, "d")
    put(store, "elsewhere", BOB)
    waiting = one(store, Pending("space"))
    same([(record.id, record.version) for record in waiting], [(a, 2), (d, 1)], "waiting for a vector")
    same([record.id for record in one(store, Pending("other", limit=2))], [b, a], "waiting in another space")
    one(store, Embed(a, 2, vector))
    same([record.id for record in one(store, Pending("space"))], [d], "after one was embedded")
    same(one(store, Spaces()), (("space", 2),), "spaces")
    same(one(store, Spaces(), BOB), (), "spaces elsewhere")


@rule("S54")
def whose_records_there_are(stage: Stage) -> None:
    """scopes names every scope that holds a record, and tallies counts what Find shows of each that is not derived."""
    store, ids = _lived_in(stage, seed=54)
    if not isinstance(store, Surveyable):
        raise CannotRun("the store cannot list its scopes")
    put(store, "of somebody else", scope=BOB)
    gone = put(store, "soon gone", scope=Scope(user_id="carl"))
    one(store, Close(gone), Scope(user_id="carl"))
    put(store, "worked out", scope=ANA, origin="derived:facts", sources=(Source(ids[0], 0, 1),))
    places = [ANA, Scope(user_id="ana", run_id="r"), BOB, Scope(user_id="carl")]
    same(sorted(map(str, store.scopes())), sorted(map(str, places)), "scopes")
    for view in _views(random.Random(55), 20):
        found = {tally.scope: tally[1:] for tally in store.tallies(view)}
        same(len(found), len(places), f"scopes of the tallies under {view}")
        for place in places:
            shown = one(store, Find(view, limit=None, derived=False), place)
            own = [record for record in shown if record.scope == place]
            first = min((record.id for record in own), default=None)
            changed = max((record.recorded_at for record in own), default=None)
            same(found[place], (len(own), first, changed), f"tally of {place} under {view}")


def _lived_in(stage: Stage, seed: int) -> tuple[RecordStore, list[str]]:
    """A store after some seeded writing, one hour per batch, and the ids of its records."""
    store = stage.store(SteppingClock(START, timedelta(hours=1)))
    rng = random.Random(seed)
    ids: list[str] = []
    for _ in range(60):
        _live(store, rng, ids)
    return store, ids


def _live(store: RecordStore, rng: random.Random, ids: list[str]) -> None:
    """Write something: new, revised, closed or restored, with event times scattered around the present."""
    draft = Draft(
        text=f"text {rng.randrange(30)}",
        kind=rng.choice(KINDS),
        event_at=_moment(rng),
        valid_from=_moment(rng),
        valid_to=day(rng.randrange(41, 60)) if rng.random() < 0.2 else None,
        speaker=rng.choice([None, "Ana", "Bo"]),
        role=rng.choice(["user", "assistant", None]),
        meta={"n": rng.randrange(5)} if rng.random() < 0.7 else {},
        terms=tuple(rng.choice("abcdefg") for _ in range(rng.randrange(4))),
        vector=Vector("space", rng.randbytes(2), rng.randrange(1, 9) / 8) if rng.random() < 0.5 else None,
        scope=ANA if rng.random() < 0.7 else Scope(user_id="ana", run_id="r"),
        state=rng.choice(["generated", "archived"]),
    )
    if not ids or rng.random() < 0.5:
        ids.append(one(store, Put(draft)).id)
        return
    id = rng.choice(ids)
    versions = one(store, History(id))
    if versions[-1].closed_at is not None or rng.random() < 0.2:
        one(store, Restore(id, rng.choice(versions).version))
    elif rng.random() < 0.6:
        one(store, Revise(id, draft))
    else:
        one(store, Close(id, _moment(rng)))


@rule("S51")
def find_what_is_over(stage: Stage) -> None:
    """With closed, Find adds the newest version of each record that its view does not show, to filter like the rest."""
    store = stage.store()
    ended, deleted, revised, mended = (put(store, name) for name in ("ended", "deleted", "revised", "mended"))
    coming = put(store, "coming", valid_from=day(400))
    one(store, Close(ended, day(3)))
    one(store, Close(deleted))
    one(store, Revise(revised, Draft("revised again", kind="fact", valid_from=day(5), origin="derived:facts")))
    one(store, Revise(mended, Draft("mended today", kind="fact", trust=0.5)))
    put(store, "not seen", BOB)

    def found(view: View = NOW, **options: Any) -> list[str]:
        return [record.text for record in one(store, Find(view, closed=True, **options))]

    now = ["ended", "deleted", "revised again", "mended today", "coming"]
    same(found(), now, "of now")
    same(found(newest_first=True), now[::-1], "newest first")
    same(found(View(NOW.now, as_of=day(4))), ["ended", "deleted", "revised", "mended today", "coming"], "as of day 4")
    same(found(View(NOW.now, as_of=day(-4))), now, "before all")
    same(found(kinds=("turn",)), ["ended", "deleted", "coming"], "turns")
    same(found(View(NOW.now, as_of=day(4)), kinds=("fact",)), ["mended today"], "facts as of day 4")
    same(found(View(NOW.now, as_of=day(-4)), kinds=("fact",)), ["revised again", "mended today"], "facts before all")
    same(found(where={"origin": "derived:facts"}), ["revised again"], "by origin")
    same(found(where={"trust": {"lt": 1}}), ["mended today"], "by trust")
    same(found(limit=2, after=ended), now[1:3], "a page")
    same(found(limit=2, after=coming, newest_first=True), now[-2:-4:-1], "a page, newest first")
    for number, version in ((ended, 1), (deleted, 1), (revised, 2)):
        (record,) = one(store, Find(NOW, where={"id": number}, closed=True))
        same(record, one(store, History(number))[version - 1], "a record as its history has it")
    one(store, Close(revised, day(6)))
    same(
        found(View(NOW.now, as_of=day(7)), kinds=("turn",)), ["ended", "deleted", "coming"], "over, and of another kind"
    )


@rule("S53")
def derived_or_not(stage: Stage) -> None:
    """Find and Count leave out what is derived, or all else, by the version that is found, beside the other filters."""
    store = stage.store()
    origins = (None, "user", "derived:facts", "derived", "Derived:facts", "derived:\ud800", "\ud800", "xderived:facts")
    ids = [put(store, str(number), origin=origin) for number, origin in enumerate(origins)]
    made = {ids[2], ids[5]}
    one(store, Revise(ids[1], Draft("1", origin="derived:facts", valid_from=day(5))))
    over = put(store, "over", origin="derived:facts", kind="fact")
    one(store, Close(over))
    for view, derived in ((NOW, {*made, ids[1]}), (View(NOW.now, as_of=day(4)), made)):
        for options, wanted in (
            ({"derived": True}, derived),
            ({"derived": False}, {*ids} - derived),
            ({"derived": None}, {*ids}),
        ):
            found = {record.id for record in one(store, Find(view, limit=None, **options))}
            same(found, wanted, f"{options} under {view}")
            same(one(store, Count(view, **options)), len(wanted), f"count of {options} under {view}")
    same([record.id for record in one(store, Find(NOW, closed=True, kinds=("fact",), derived=True))], [over], "over")
    same(one(store, Find(NOW, closed=True, kinds=("fact",), derived=False)), (), "over and not derived")
    same(one(store, Count(NOW, ("turn",), derived=True)), 3, "turns that are derived")
    page = one(store, Find(NOW, derived=True, limit=1, after=ids[1]))
    same([record.id for record in page], [ids[2]], "a page")
    refused(store, [Find(NOW, derived="yes"), Count(NOW, derived=1)], InvalidInput, "derived")  # type: ignore[arg-type]


@rule("S52")
def columns_tell_what_is_put_away(stage: Stage) -> None:
    """Scan gives the origin of each version, and whether its state or trust puts it away."""
    store = stage.store()
    id = put(store, "0", origin="user")
    states: list[State] = ["generated", "activated", "merged", "archived", "expired", "frozen"]
    for state in states:
        one(store, Revise(id, Draft(state, state=state, origin=f"derived:{state}")))
    put(store, "quarantined", trust=0, origin="tool", state="frozen")
    put(store, "doubted", trust=1e-9)
    columns = one(store, Scan())
    same(columns.origins, ["user", *(f"derived:{state}" for state in states), "tool", None], "origins")
    same((columns.hidden.dtype, columns.hidden.shape), (np.dtype(np.bool_), (9,)), "the column of what is put away")
    hidden = [False, False, False, True, True, True, False, True, False]
    same(columns.hidden.tolist(), hidden, "what is put away")
    versions = [*one(store, History(id)), *one(store, Find(NOW, limit=None))[1:]]
    same([version.hidden for version in versions], hidden, "the same of the records")
    tail = one(store, Scan(after=columns.seq - 1))
    same((tail.origins, tail.hidden.tolist()), ([None], [False]), "the tail")
    none = one(store, Scan(after=columns.seq))
    same((none.origins, none.hidden.dtype, none.hidden.shape), ([], np.dtype(np.bool_), (0,)), "nothing new")


def _moment(rng: random.Random) -> datetime | None:
    return day(rng.randrange(-40, 40)) if rng.random() < 0.7 else None


def _views(rng: random.Random, count: int) -> list[View]:
    """Views at whole days and at the very hours of the writes, where `<` and `<=` part."""
    views = []
    for _ in range(count):
        as_of = day(rng.randrange(-45, 65)) if rng.random() < 0.6 else None
        known_at = START + timedelta(hours=rng.randrange(-2, 62)) if rng.random() < 0.6 else None
        views.append(View(day(rng.randrange(-45, 65)), as_of, known_at))
    return views


def _rows(columns: Columns) -> dict[tuple[str, int], tuple[Any, ...]]:
    rows = {}
    for row, (id, version) in enumerate(zip(columns.ids, columns.versions.tolist(), strict=True)):
        begin, end = columns.term_offsets[row : row + 2]
        scale = float(columns.scales[row])
        data = columns.vectors[row].tobytes() if columns.vectors is not None and scale else b""
        rows[id, version] = (
            columns.kinds[row],
            columns.scopes[columns.scope_of[row]],
            columns.terms[begin:end].tolist(),
            int(columns.valid_from[row]),
            int(columns.valid_to[row]),
            int(columns.closed_at[row]),
            int(columns.ended_at[row]),
            data,
            scale,
        )
    return rows

"""Rules S20 to S39: what each writing operation does, except for erasing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from remanence.conformance.rules import rule
from remanence.conformance.stage import ANA, NOW, START, Stage, day, expect, one, put, refused, same
from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, EmbeddingSpaceMismatch, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Edge, Record, Source, Vector, View
from remanence.substrates.records.operations import (
    Adopt,
    Changes,
    Close,
    Count,
    Edges,
    Embed,
    Erase,
    Find,
    Get,
    History,
    Link,
    Lookup,
    Operation,
    Put,
    Reindex,
    Restore,
    Revise,
    Scan,
    Spaces,
    Touch,
    Unlink,
)
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.undo import undo

NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

TEXTS = (
    "plain", " spaces kept \n", "\x00", "a\x00b", "\ud800", "x\udfff\x00y", "👩‍👩‍👧 emoji", "مرحبا بالعالم",
    "我搬到卑尔根了", "ฉันย้ายบ้าน",
    "e\u0301 é", "'; DROP TABLE records; --", "%_\\", "\r\n", "\ufeffbom", "x" * 100_000,
)  # fmt: skip
"""Texts that come back as they were."""


@rule("S20")
def put_fills_in_what_is_left_out(stage: Stage) -> None:
    """Put gives id, version 1 and system time; event_at defaults to it and valid_from to event_at."""
    store = stage.store()
    written = one(store, Put(Draft("x")))
    record = _newest(store, written.id)
    same((written.version, written.recorded_at), (1, START), "what Put answered")
    wanted = Record(
        id=written.id, version=1, kind="turn", text="x", scope=ANA, event_at=START, zone=None, valid_from=START,
        valid_to=None, recorded_at=START, closed_at=None, ended_at=None, speaker=None, role=None, language=None,
        sources=(), meta={}, terms=(), state="generated",
    )  # fmt: skip
    same(record, wanted, "a record of nothing but text")
    record = _newest(store, put(store, "x", event_at=day(-3)))
    same((record.event_at, record.valid_from), (day(-3), day(-3)), "valid_from where only event_at is given")
    record = _newest(store, put(store, "x", event_at=day(-3), valid_from=day(-9), valid_to=day(-5)))
    same((record.event_at, record.valid_from, record.valid_to), (day(-3), day(-9), day(-5)), "times that are given")
    for late in ({"valid_to": START - timedelta(days=1)}, {"event_at": day(3), "valid_to": day(3)}):
        refused(store, [Put(Draft("x", **late))], InvalidInput, "validity that ends before it begins")  # type: ignore[arg-type]


@rule("S21")
def content_comes_back_exactly(stage: Stage) -> None:
    """Text, people, metadata and terms come back exactly, NULs and lone surrogates included; times in UTC."""
    store = stage.store()
    for text in TEXTS:
        record = _newest(store, put(store, text, speaker=text, role=text, zone=text, language=text, meta={"k": text}))
        got = (record.text, record.speaker, record.role, record.zone, record.language, record.meta)
        same(got, (text, text, text, text, text, {"k": text}), "strings")
    meta = {"list": [1, 2.5, None, True, "x"], "deep": {"a": {"b": []}}, "": 0, "big": 2**70, "tuple": (1, 2)}
    id = put(store, "x", meta=meta, terms=("b", "a", "b"), state="frozen", kind="fact_2")
    record = _newest(store, id)
    same(record.meta, {**meta, "tuple": [1, 2]}, "metadata")
    same((record.terms, record.state, record.kind), (("b", "a", "b"), "frozen", "fact_2"), "terms, state and kind")
    record.meta["list"].append("changed by the caller")
    same(_newest(store, id).meta["list"], [1, 2.5, None, True, "x"], "metadata after a caller changed an answer")
    oslo = timezone(timedelta(hours=2))
    for moment in (datetime(2026, 5, 1, 1, 30, 0, 123456, oslo), datetime.min.replace(tzinfo=UTC), _LATEST):
        record = _newest(store, put(store, "x", event_at=moment, valid_from=moment))
        same((record.event_at, record.event_at.tzinfo), (moment, UTC), "event_at")


@rule("S22")
def given_ids_are_kept_and_must_be_new(stage: Stage) -> None:
    """A draft's own id is kept, and refused with Conflict when any scope has used it."""
    store = stage.store()
    same(put(store, "moved in", id=NOWHERE), NOWHERE, "an id that was given")
    same(_newest(store, NOWHERE).text, "moved in", "the record under it")
    for scope in (ANA, Scope(user_id="bob")):
        refused(store, [Put(Draft("again", id=NOWHERE))], Conflict, "an id given twice", scope)
    same(one(store, Count(NOW)), 1, "records after the refusals")


@rule("S23")
def sources_must_exist(stage: Stage) -> None:
    """A derived record rests on records that are there and covered; others are NotFound."""
    store = stage.store()
    raw = put(store, "raw")
    fact = put(store, "fact", sources=(Source(raw, 0, 3), Source(raw, 1, 2)))
    same(_newest(store, fact).sources, (Source(raw, 0, 3), Source(raw, 1, 2)), "sources")
    one(store, Close(raw))
    put(store, "a closed record is still a source", sources=(Source(raw, 0, 3),))
    missing = Draft("x", sources=(Source(raw, 0, 3), Source(NOWHERE, 0, 1)))
    refused(store, [Put(missing), Revise(fact, missing)], NotFound, "a source that does not exist")


@rule("S24")
def revise_never_overwrites(stage: Stage) -> None:
    """Revise closes the old version and opens a new one; the old one stays as it was, and its validity ends where the
    new one's begins."""
    store = stage.store()
    id = put(store, "old", valid_from=day(-10), meta={"a": 1}, terms=("old",), speaker="Ana")
    (first,) = one(store, History(id))
    written = one(store, Revise(id, Draft("new", valid_from=day(-2))))
    old, new = one(store, History(id))
    same((written.id, written.version, written.recorded_at), (id, 2, new.recorded_at), "what Revise answered")
    same((old.text, old.meta, old.terms, old.valid_from, old.valid_to, old.recorded_at, old.speaker),
         (first.text, {"a": 1}, ("old",), day(-10), None, first.recorded_at, "Ana"), "the old version")  # fmt: skip
    same((old.closed_at, old.ended_at), (new.recorded_at, day(-2)), "closing of the old version")
    same((new.text, new.version, new.meta, new.closed_at, new.ended_at), ("new", 2, {}, None, None), "the new version")
    same([_seen(store, id, as_of=day(-5)), _seen(store, id, as_of=day(-2)), _seen(store, id)],
         ["old", "new", "new"], "as of then, and now")  # fmt: skip
    same(_seen(store, id, known_at=first.recorded_at), "old", "as known before the revision")
    id = put(store, "a", event_at=day(-8))
    one(store, Revise(id, Draft("b", event_at=day(-4))))
    one(store, Revise(id, Draft("c")))
    a, b, c = one(store, History(id))
    same((a.ended_at, b.valid_from, b.ended_at), (day(-4), day(-4), c.recorded_at), "ends without valid_from")


@rule("S25")
def a_revision_from_before_the_beginning_corrects(stage: Stage) -> None:
    """A revision whose validity begins no later than the old version's retracts the old one altogether."""
    for start in (day(-10), day(-11)):
        store = stage.store()
        id = put(store, "wrong", valid_from=day(-10))
        one(store, Revise(id, Draft("right", valid_from=start)))
        same(one(store, History(id))[0].ended_at, day(-10), "ended_at of a version that was never true")
        same([_seen(store, id, as_of=day(-10)), _seen(store, id)], ["right", "right"], "after the correction")
        same(_seen(store, id, as_of=day(-10), known_at=START), "wrong", "what was believed before the correction")


@rule("S26")
def identity_and_scope_never_change(stage: Stage) -> None:
    """Revise ignores the draft's id and scope."""
    store = stage.store()
    home = Scope(user_id="ana", run_id="r")
    id = put(store, "x", home)
    same(one(store, Revise(id, Draft("y", id=NOWHERE, scope=Scope(user_id="bob")))).id, id, "id of a revision")
    same({version.scope for version in one(store, History(id))}, {home}, "scopes of the versions")
    refused(store, [History(NOWHERE)], NotFound, "the id in the draft")


@rule("S27")
def no_update_is_lost(stage: Stage) -> None:
    """Revise, Close and Restore refuse with Conflict when the version is not the one the caller has seen."""
    store = stage.store()
    id = put(store, "1")
    one(store, Revise(id, Draft("2"), expected_version=1))
    stale: list[Operation] = [
        Revise(id, Draft("3"), expected_version=1),
        Revise(id, Draft("3"), expected_version=3),
        Close(id, expected_version=1),
        Restore(id, 1, expected_version=1),
    ]
    refused(store, stale, Conflict, "a version that is not current")
    same([version.text for version in one(store, History(id))], ["1", "2"], "versions after the refusals")
    one(store, Close(id, expected_version=2))
    one(store, Restore(id, 1, expected_version=2))
    same(one(store, Close(id, expected_version=3)).version, 3, "version that was closed")


@rule("S28")
def what_is_not_open_cannot_be_changed(stage: Stage) -> None:
    """Revise and Close of an unknown or closed record, Restore of an unknown record or version: NotFound."""
    store = stage.store()
    id = put(store, "x")
    one(store, Close(id))
    closed: list[Operation] = [Revise(id, Draft("y")), Close(id), Revise(id, Draft("y"), expected_version=1)]
    refused(store, closed, NotFound, "a closed record")
    unknown: list[Operation] = [Revise(NOWHERE, Draft("y")), Close(NOWHERE), Restore(NOWHERE, 1), History(NOWHERE)]
    refused(store, unknown, NotFound, "an unknown record")
    refused(store, [Restore(id, 2), Restore(id, 0)], NotFound, "an unknown version")


@rule("S29")
def close_ends_or_retracts(stage: Stage) -> None:
    """Close without a time retracts a record for all event times; with a time it ends there, never before it began."""
    store = stage.store()
    ended, retracted, early = (put(store, name, valid_from=day(-10)) for name in ("ended", "retracted", "early"))
    answers = [one(store, Close(ended, at=day(-4))), one(store, Close(retracted)), one(store, Close(early, day(-20)))]
    versions = [one(store, History(id))[0] for id in (ended, retracted, early)]
    same([version.ended_at for version in versions], [day(-4), day(-10), day(-10)], "ended_at")
    got = [(answer.id, answer.version, answer.recorded_at) for answer in answers]
    same(got, [(version.id, 1, version.closed_at) for version in versions], "what Close answered")
    seen = [(_seen(store, id, as_of=day(-5)), _seen(store, id, as_of=day(-4)), _seen(store, id))
            for id in (ended, retracted, early)]  # fmt: skip
    same(seen, [("ended", None, None), (None, None, None), (None, None, None)], "as of before, then, and now")
    later = put(store, "until tomorrow", valid_from=day(-10))
    one(store, Close(later, at=day(400)))
    same([_seen(store, later), _seen(store, later, as_of=day(400))], ["until tomorrow", None], "an end that lies ahead")
    same(_seen(store, ended, known_at=START), "ended", "as known before it was closed")
    same(_seen(store, ended, known_at=day(-1)), None, "as known before it was recorded")


@rule("S30")
def restore_writes_the_earlier_version_anew(stage: Stage) -> None:
    """Restore writes a new version with content, validity and vectors of an earlier one; an open one is retracted."""
    store = stage.store()
    raw = put(store, "raw")
    vector = Vector("space", b"\x01\x02", 0.5)
    id = put(store, "1", valid_from=day(-10), valid_to=day(500), event_at=day(-9), zone="Europe/Oslo", speaker="Ana",
             role="user", language="en", sources=(Source(raw, 0, 1),), meta={"a": 1}, terms=("a",), vector=vector,
             state="activated", kind="fact")  # fmt: skip
    one(store, Revise(id, Draft("2", valid_from=day(-5))))
    written = one(store, Restore(id, 1))
    first, second, third = one(store, History(id))
    same((written.version, written.recorded_at), (3, third.recorded_at), "what Restore answered")
    same((second.closed_at, second.ended_at), (third.recorded_at, day(-5)), "closing of the open version")
    for name in ("text", "kind", "event_at", "zone", "valid_from", "valid_to", "speaker", "role", "language", "sources",
                 "meta", "terms", "state", "scope"):  # fmt: skip
        same(getattr(third, name), getattr(first, name), f"{name} of the restored version")
    same((third.closed_at, third.ended_at), (None, None), "the restored version is open")
    columns = one(store, Scan(space="space"))
    expect(columns.vectors is not None, "no vectors after a restore")
    same(columns.vectors[columns.ids.index(id) :].tolist(), [[1, 2], [0, 0], [1, 2]], "vectors of the three versions")
    one(store, Close(id))
    one(store, Restore(id, 2))
    same((_seen(store, id), one(store, History(id))[-1].version), ("2", 4), "a closed record, restored")
    one(store, Restore(id, 4))
    same([version.text for version in one(store, History(id))], ["1", "2", "1", "2", "2"], "the open version, restored")


@rule("S31")
def links(stage: Stage) -> None:
    """Link adds an edge or replaces its weight, Unlink removes it; they answer whether anything changed."""
    store = stage.store()
    a, b = put(store, "a"), put(store, "b")
    got = [
        one(store, operation)
        for operation in (
            Link(Edge(a, b, "t")), Link(Edge(a, b, "t")), Link(Edge(a, b, "t", 0.5)), Link(Edge(b, a, "t")),
            Link(Edge(a, b, "u")), Unlink(Edge(b, a, "t", 7.0)), Unlink(Edge(b, a, "t")), Unlink(Edge(a, a, "t")),
            Unlink(Edge(NOWHERE, a, "t")), Link(Edge(a, a, "self")),
        )
    ]  # fmt: skip
    same(got, [True, False, True, True, True, True, False, False, False, True], "what Link and Unlink answered")
    wanted = sorted([Edge(a, a, "self"), Edge(a, b, "t", 0.5), Edge(a, b, "u")])
    same(one(store, Edges()), tuple(wanted), "edges")
    refused(store, [Link(Edge(a, NOWHERE, "t")), Link(Edge(NOWHERE, a, "t"))], NotFound, "a link to nothing")
    one(store, Close(b))
    same(one(store, Edges()), tuple(wanted), "edges of a closed record stay")
    expect(one(store, Link(Edge(a, b, "v"))), "a closed record cannot be linked")


@rule("S32")
def embed(stage: Stage) -> None:
    """Embed attaches or replaces one version's vector in one space, answers False where there is no such version, and
    shows in Scan as a late vector."""
    store = stage.store()
    first = Vector("space", b"\x01\x02", 0.5)
    id, other = put(store, "1"), put(store, "other", vector=first)
    seq = one(store, Scan()).seq
    answers = [
        one(store, Embed(*arguments))
        for arguments in ((id, 1, first), (id, 1, Vector("space", b"\x03\xfc", 2.0)), (id, 2, first),
                          (NOWHERE, 1, first), (id, 1, Vector("narrow", b"\x07", 1.0)), (other, 1, first))
    ]  # fmt: skip
    same(answers, [True, True, False, False, True, True], "what Embed answered")
    columns = one(store, Scan(after=seq, space="space"))
    same(columns.embedded, [(id, 1, b"\x03\xfc", 2.0), (other, 1, b"\x01\x02", 0.5)], "late vectors")
    same((columns.ids, columns.seq), ([], seq), "rows and position after late vectors")
    same(one(store, Scan(after=seq, space="space", vectors_after=columns.vectors_seq)).embedded, [], "nothing new")
    same(one(store, Scan(after=seq, space="narrow")).embedded, [(id, 1, b"\x07", 1.0)], "late vectors elsewhere")
    same(one(store, Scan(after=seq)).embedded, [], "late vectors when no space is asked for")
    columns = one(store, Scan(space="space"))
    same((columns.vectors.tolist(), columns.scales.tolist()), ([[3, -4], [1, 2]], [2.0, 0.5]), "vectors by row")
    same(one(store, Spaces()), (("narrow", 1), ("space", 2)), "spaces")
    one(store, Revise(id, Draft("2")))
    same(one(store, Embed(id, 1, Vector("space", b"\x09\x09", 1.0))), True, "a closed version can be embedded")


@rule("S33")
def spaces_do_not_mix(stage: Stage) -> None:
    """A vector of another dimension than its space holds is refused and the way out is named."""
    store = stage.store()
    id = put(store, "x", vector=Vector("space", b"\x01\x02", 0.5))
    wrong = Vector("space", b"\x01\x02\x03", 0.5)
    operations: list[Operation] = [
        Put(Draft("y", vector=wrong)),
        Revise(id, Draft("y", vector=wrong)),
        Embed(id, 1, wrong),
    ]
    refused(store, operations, EmbeddingSpaceMismatch, "a vector of another dimension")
    try:
        one(store, Embed(id, 1, wrong))
    except EmbeddingSpaceMismatch as error:
        expect("remanence reembed" in str(error) and "space" in str(error), f"the message names no way out: {error}")
    same(one(store, Embed(id, 1, Vector("other", b"\x01\x02\x03", 0.5))), True, "another space beside it")


@rule("S34")
def touch(stage: Stage) -> None:
    """Touch counts a use of each covered record and sets strength or utility when given; unknown ids are skipped."""
    store = stage.store()
    a, b = put(store, "a"), put(store, "b")
    one(store, Revise(a, Draft("a2")))
    position = store.position()
    answers = [
        one(store, Touch((a, NOWHERE, b), day(3))),
        one(store, Touch((a, a), day(2), strength=2.5)),
        one(store, Touch((a,), day(1), utility=-1.0)),
        one(store, Touch((), day(1))),
        one(store, Touch((NOWHERE,), day(1))),
    ]
    same(answers, [2, 1, 1, 0, 0], "records touched")
    for record in one(store, History(a)):
        got = (record.hits, record.last_hit, record.strength, record.utility)
        same(got, (3, day(3), 2.5, -1.0), f"counters seen on version {record.version}")
    record = one(store, History(b))[0]
    same((record.hits, record.last_hit, record.strength, record.utility), (1, day(3), 1.0, 0.0), "counters of another")
    same(store.position(), position, "position after touching")
    same(one(store, Find(NOW, where={"id": a}))[0].hits, 3, "counters in Find")


@rule("S35")
def reindex(stage: Stage) -> None:
    """Reindex replaces the terms of one version, open or closed, and nothing else; a reader behind it starts over."""
    store = stage.store()
    vector = Vector("space", b"\x01\x02", 0.5)
    id = put(store, "Häuser", terms=("haus", "old"), vector=vector, meta={"k": 1})
    one(store, Revise(id, Draft("houses", terms=("houses",))))
    put(store, "another", terms=("other",))
    one(store, Touch((id,), day(1)))
    before = one(store, History(id))
    position = store.position()
    outcome = store.batch(
        [Reindex(id, 1, ("new", "haus", "new")), Lookup(("new",)), Reindex(id, 2, ()), History(id)], scope=ANA
    )
    wanted = [replace(before[0], terms=("new", "haus", "new")), replace(before[1], terms=())]
    same(outcome.results, (True, (5,), True, tuple(wanted)), "answers, and versions as they are read in the batch")
    same(one(store, History(id)), tuple(wanted), "versions afterwards")
    same((outcome.seq, store.position()), (position + 2,) * 2, "position")
    columns = one(store, Scan(space="space"))
    same((columns.terms.tolist(), columns.term_offsets.tolist()), ([5, 1, 5, 4], [0, 3, 3, 4]), "terms in Scan")
    same(columns.scales.tolist(), [0.5, 0.0, 0.0], "vectors in Scan")
    same(one(store, Lookup(("haus", "new", "other"))), (1, 5, 4), "vocabulary")
    for after, told in ((position, True), (position + 1, True), (position + 2, False), (0, False)):
        same(one(store, Scan(after=after)).erased, told, f"a reader at {after} is told to start over")
    same(one(store, Reindex(id, 1, ("new", "haus", "new"))), True, "the same terms again")
    same(store.position(), position + 2, "position after the same terms")
    for missing in (Reindex(id, 3, ("x",)), Reindex(id, 0, ("x",)), Reindex(NOWHERE, 1, ("x",))):
        same(one(store, missing), False, f"{missing}")
    same((store.position(), one(store, Lookup(("x",)))), (position + 2, (None,)), "position and vocabulary")
    one(store, Close(id))
    one(store, Restore(id, 1))
    same(one(store, History(id))[2].terms, ("new", "haus", "new"), "terms of a version that was restored")
    one(store, Revise(id, Draft("last", terms=("last",))))
    expect(not one(store, Scan(after=position + 2)).erased, "a reader that knows the new terms was told to start over")


@rule("S36")
def origin_and_trust(stage: Stage) -> None:
    """Where a record comes from and how far it is trusted are of each version, as given; state and trust hide it."""
    store = stage.store()
    plain = _newest(store, put(store, "x"))
    same((plain.origin, plain.trust, plain.derived, plain.hidden), (None, 1.0, False, False), "what is left out")
    id = put(store, "x", origin="tool", trust=0.25)
    one(store, Revise(id, Draft("y", origin="derived:facts", trust=0)))
    one(store, Revise(id, Draft("z", state="archived")))
    one(store, Close(id))
    one(store, Restore(id, 1))
    one(store, Restore(id, 2))
    versions = one(store, History(id))
    wanted = [("tool", 0.25), ("derived:facts", 0.0), (None, 1.0), ("tool", 0.25), ("derived:facts", 0.0)]
    same([(version.origin, version.trust) for version in versions], wanted, "origin and trust of the versions")
    same([version.derived for version in versions], [False, True, False, False, True], "derived")
    same([version.hidden for version in versions], [False, True, True, False, True], "hidden")
    same(_newest(store, put(store, "x", origin="\ud800 é")).origin, "\ud800 é", "an odd origin")
    wrong = [Draft("x", trust=number) for number in (-0.1, 1.1, float("nan"), True, "1", None)]  # type: ignore[arg-type]
    refused(store, map(Put, [*wrong, Draft("x", origin=7)]), InvalidInput, "a draft")  # type: ignore[arg-type]


@rule("S37")
def adopt(stage: Stage) -> None:
    """Adopt writes a record of another store with all its versions, both their times, and its counters; every view
    shows it as it did there, and what is written here comes after it."""
    there = stage.store(SteppingClock(day(-9), timedelta(hours=1)), seed=1)
    source = put(there, "source")
    vector = Vector("space", b"\x01\x02", 0.5)
    meta = {"n": [1, {"x": None}]}
    id = put(there, "one", sources=(Source(source, 0, 3),), meta=meta, terms=("one", "a"), vector=vector, trust=0.5,
             origin="import:x", speaker="Ana", zone="Europe/Oslo", valid_from=day(-30))  # fmt: skip
    one(there, Revise(id, Draft("two", sources=(Source(id, 0, 1),), state="archived", valid_from=day(-20))))
    one(there, Close(id, day(-15)))
    one(there, Touch((id,), day(-5), strength=2.0, utility=0.5))
    one(there, Restore(id, 1))
    histories = [one(there, History(name)) for name in (source, id)]
    store = stage.store()
    put(store, "of this store", terms=("a",))
    before = store.position()
    adoptions = [
        Adopt(versions, tuple(v.terms for v in versions), tuple(vector if v.terms else None for v in versions))
        for versions in reversed(histories)
    ]
    outcome = store.batch(adoptions, scope=ANA)
    written, _ = outcome.results
    newest = histories[1][-1]
    same((written.id, written.version, written.recorded_at), (id, 3, newest.recorded_at), "the answer")
    same([one(store, History(name)) for name in (source, id)], histories, "histories")
    for as_of in (None, day(-25), day(-18), day(-12)):
        for known_at in (None, *(version.recorded_at for version in histories[1]), histories[1][1].closed_at):
            view = View(NOW.now, as_of, known_at)
            got, wanted = (one(place, Get((source, id), view)) for place in (store, there))
            same(got, wanted, f"seen under {view}")
    entries = one(store, Changes(since=before))
    listed = [(entry.op, entry.id, entry.version, dict(entry.detail)) for entry in entries]
    wanted_entries = [("adopt", id, version, {"open": version == 3}) for version in (1, 2, 3)]
    same(listed, [*wanted_entries, ("adopt", source, 1, {"open": True})], "journal")
    columns = one(store, Scan(after=before, space="space"))
    same((columns.ids, columns.versions.tolist()), ([id, id, id, source], [1, 2, 3, 1]), "versions in Scan")
    same(columns.scales.tolist(), [0.5, 0.0, 0.5, 0.0], "vectors in Scan")
    same([row[:2] for row in columns.closed], [(id, 1), (id, 2)], "closings in Scan")
    same(one(store, Lookup(("a", "one"))), (1, 2), "vocabulary")
    expect(put(store, "new") > max(id, source), "ids do not stay above those of adopted records")
    refused(store, adoptions, Conflict, "a record that is there already")
    undo(store, outcome.change or "", scope=ANA)
    same(one(store, Get((id, source), NOW)), (None, None), "after undoing")
    same(one(store, Restore(id, 3)).version, 4, "restored")
    receipt = one(store, Erase((source,)))
    same(receipt.kept, (id,), "erased with its words: the versions that rested on it")
    same([version.version for version in one(store, History(id))], [2], "what is left")
    refused(store, adoptions, Conflict, "a record that was erased")
    refused(store, adoptions, InvalidInput, "a record of another scope", Scope(user_id="bob"))


@rule("S38")
def adopt_refuses_what_cannot_have_been(stage: Stage) -> None:
    """Versions that contradict each other, that come from the future, or whose sources are not there are refused."""
    there = stage.store(SteppingClock(day(-9)), seed=1)
    source = put(there, "source")
    id = put(there, "one", sources=(Source(source, 0, 3),))
    one(there, Revise(id, Draft("two", sources=(Source(source, 0, 3),))))
    first, second = one(there, History(id))
    other = one(there, History(source))[0]
    wrong: list[tuple[Record, ...]] = [
        (), (second, first), (first, first), (first, other), (replace(first, version=0),),
        (replace(first, closed_at=None), second), (replace(first, closed_at=None, ended_at=None), second),
        (first, replace(second, recorded_at=first.recorded_at)), (first, replace(second, scope=Scope(run_id="r"))),
        (replace(first, ended_at=first.valid_from - timedelta(days=1)),), (first, replace(second, hits=1)),
        (replace(first, closed_at=first.recorded_at - timedelta(days=1)),), (replace(first, id="x"),),
        (replace(first, text=""),), (replace(first, trust=2.0),), (replace(first, kind=""),),
        (replace(first, meta={"x": float("nan")}),), (replace(first, strength=float("inf")),),
        (replace(first, closed_at=day(1)),), (replace(second, recorded_at=day(1)),),
        (replace(second, id="7" + second.id[1:]),), (replace(second, scope=Scope(user_id="bob")),),
    ]  # fmt: skip
    store = stage.store()
    operations = [Adopt(versions, ((),) * len(versions), (None,) * len(versions)) for versions in wrong]
    refused(store, operations, InvalidInput, "versions that cannot have been")
    good = Adopt((first, second), ((), ()), (None, None))
    refused(store, [replace(good, terms=()), replace(good, vectors=(None,))], InvalidInput, "terms or vectors missing")
    refused(store, [good], NotFound, "a source that is not there")
    same((store.position(), one(store, Count(NOW))), (0, 0), "the store after that")
    store.batch([good, Adopt((other,), ((),), (None,))], scope=ANA)
    same(one(store, History(id)), (first, second), "adopted with its source")


_LATEST = datetime.max.replace(tzinfo=UTC)


def _newest(store: RecordStore, id: str) -> Record:
    record: Record = one(store, History(id))[-1]
    return record


def _seen(
    store: RecordStore, id: str, *, as_of: datetime | None = None, known_at: datetime | None = None
) -> str | None:
    (record,) = one(store, Get((id,), View(NOW.now, as_of, known_at)))
    return None if record is None else record.text

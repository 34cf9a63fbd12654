"""Rules S60 to S79: what an erasure destroys, what it keeps, what it leaves behind, and what undo brings back."""

from __future__ import annotations

from remanence.conformance.rules import rule
from remanence.conformance.stage import ANA, BOB, NOW, Stage, day, expect, one, put, raises, refused, same
from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import (
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
    Pending,
    Put,
    Receipt,
    Receipts,
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


@rule("S60")
def erase_destroys_everything_of_a_record(stage: Stage) -> None:
    """Erase destroys every version, vector, edge, counter, journal entry and vocabulary entry of a record."""
    store = stage.store()
    vector = Vector("space", b"\x01\x02", 0.5)
    stays = put(store, "stays", terms=("shared", "stays"))
    start = store.position()
    id = put(store, "secret", terms=("shared", "secret"), vector=vector, meta={"k": "secret"})
    one(store, Revise(id, Draft("secret too", terms=("secret", "too"))))
    store.batch([Link(Edge(id, stays, "t")), Link(Edge(stays, id, "t")), Link(Edge(stays, stays, "t"))], scope=ANA)
    store.batch([Touch((id, stays), day(1)), Embed(id, 2, vector), Embed(id, 1, Vector("b", b"\x01", 1.0))], scope=ANA)
    one(store, Close(id))
    receipt = one(store, Erase((id,), "asked for"))
    counts = {"versions": 2, "vectors": 3, "edges": 2, "usage": 1, "journal": 5, "terms": 2}
    same(dict(receipt.counts), counts, "counts of the receipt")
    gone: list[Operation] = [History(id), Revise(id, Draft("x")), Restore(id, 1), Close(id), Erase((id,))]
    refused(store, gone, NotFound, "an erased record")
    same(one(store, Get((id,), NOW)), (None,), "Get of an erased record")
    same([record.id for record in one(store, Find(NOW))], [stays], "what is left")
    same(one(store, Scan(space="space")).ids, [stays], "what Scan shows")
    same(one(store, Edges()), (Edge(stays, stays, "t"),), "edges left")
    same(one(store, Spaces()), (), "spaces left")
    same(one(store, Lookup(("shared", "secret", "too", "stays"))), (1, None, None, 2), "vocabulary left")
    entries = one(store, Changes(since=start))
    same([(entry.op, entry.id) for entry in entries], [("link", stays), ("erase", receipt.id)], "journal left")
    same([entry.seq for entry in entries], [start + 5, start + 7], "positions left")
    same((one(store, Touch((id,), day(1))), one(store, Embed(id, 1, vector))), (0, False), "Touch and Embed")
    expect("secret" not in repr(_all(store)), "an erased text can still be read")


@rule("S61")
def receipts_prove_and_tell_nothing(stage: Stage) -> None:
    """A receipt names ids, counts, time, actor and reason, holds no text, and can be read again."""
    store = stage.store()
    a, b = put(store, "private words", terms=("private",)), put(store, "b")
    outcome = store.batch([Erase((b, a, b), "on request")], scope=ANA, actor="officer", why="letter of May 2")
    receipt = outcome.results[0]
    expect(isinstance(receipt, Receipt), f"Erase answered {receipt!r}")
    same((receipt.id, receipt.scope, receipt.actor, receipt.reason), (outcome.change, ANA, "officer", "on request"),
         "id, scope, actor and reason")  # fmt: skip
    same((receipt.ids, receipt.derived, receipt.kept), (tuple(sorted((a, b))), (), ()), "ids")
    same(set(receipt.counts), {"versions", "vectors", "edges", "usage", "journal", "terms"}, "kinds of rows")
    expect("private" not in repr(receipt), "the receipt quotes what was erased")
    (entry,) = one(store, Changes())
    same((entry.op, entry.at), ("erase", receipt.at), "journal entry")
    empty = one(store, Erase(None, "again"))
    same((empty.ids, set(empty.counts.values())), ((), {0}), "a receipt for nothing")
    narrow = Scope(user_id="ana", run_id="r")
    inner = one(store, Erase((), "inner"), narrow)
    same(one(store, Receipts()), (receipt, empty, inner), "receipts, oldest first")
    same((one(store, Receipts(), narrow), one(store, Receipts(), BOB)), ((inner,), ()), "receipts of other scopes")


@rule("S62")
def what_rests_on_nothing_else_goes_too(stage: Stage) -> None:
    """A derived record goes when all its sources go, and its own derivations with it; with a source left it stays and
    loses the others."""
    store = stage.store()
    a, b = put(store, "a"), put(store, "b")
    span = (0, 1)
    only_a = put(store, "only a", sources=(Source(a, *span), Source(a, 1, 1)))
    both = put(store, "both", sources=(Source(a, *span), Source(b, *span)))
    chain = put(store, "chain", sources=(Source(only_a, *span),))
    mixed = put(store, "mixed", sources=(Source(chain, *span), Source(both, *span)))
    loop = put(store, "loop", sources=(Source(a, *span),))
    one(store, Revise(loop, Draft("loop", sources=(Source(loop, *span), Source(a, *span)))))
    receipt = one(store, Erase((a,)))
    same(receipt.ids, (a,), "asked for")
    same(receipt.derived, tuple(sorted((only_a, chain))), "gone with it")
    same(receipt.kept, tuple(sorted((both, mixed, loop))), "kept")
    same({r.text for r in one(store, Find(NOW))}, {"b", "both", "mixed", "loop"}, "texts left")
    same(one(store, History(both))[0].sources, (Source(b, *span),), "sources of one that stays")
    same(one(store, History(mixed))[0].sources, (Source(both, *span),), "sources of another")
    receipt = one(store, Erase((b,)))
    same(receipt.derived, tuple(sorted((both, mixed))), "gone once nothing supports it")


@rule("S63")
def lineage_is_kept_by_version(stage: Stage) -> None:
    """A version whose own sources all go is destroyed even when later versions of its record rest on others."""
    store = stage.store()
    a, b = put(store, "a"), put(store, "b")
    fact = put(store, "lives in Oslo", sources=(Source(a, 0, 1),), terms=("oslo",), valid_from=day(-9),
               vector=Vector("space", b"\x01", 1.0))  # fmt: skip
    one(store, Revise(fact, Draft("lives in Bergen", sources=(Source(b, 0, 1),))))
    one(store, Revise(fact, Draft("lives in Bergen, by hand")))
    receipt = one(store, Erase((a,)))
    same((receipt.derived, receipt.kept), ((), (fact,)), "gone and kept")
    same((receipt.counts["versions"], receipt.counts["vectors"], receipt.counts["journal"]), (2, 1, 2), "counts")
    same([v.version for v in one(store, History(fact))], [2, 3], "versions left")
    expect("Oslo" not in repr(_all(store)), "a wording that rested on the erased text alone survived")
    same(one(store, Lookup(("oslo",))), (None,), "its vocabulary")
    refused(store, [Restore(fact, 1)], NotFound, "a destroyed version")
    newest = put(store, "c")
    one(store, Revise(fact, Draft("d", sources=(Source(newest, 0, 1),))))
    receipt = one(store, Erase((newest,)))
    same(receipt.kept, (fact,), "kept without an open version")
    refused(store, [Revise(fact, Draft("e"))], NotFound, "a record whose open version was destroyed")
    same(one(store, Restore(fact, 3)).version, 5, "version numbers are not reused")


@rule("S73")
def what_was_derived_goes_as_a_whole(stage: Stage) -> None:
    """What a worker derived goes with any of its sources, all versions and all that was derived from it, and the
    receipt says from which of the others it can be made again. A version that somebody wrote by hand stays."""
    store = stage.store()
    a, b, c = (put(store, name) for name in "abc")
    span, made = (0, 1), "derived:facts"
    fact = put(store, "of a", sources=(Source(a, *span),), origin=made)
    one(store, Revise(fact, Draft("of b", sources=(Source(b, *span),), origin=made)))
    both = put(store, "of b and c", sources=(Source(b, *span), Source(c, *span)), origin=made)
    summary = put(store, "of both and the fact", sources=(Source(both, *span), Source(fact, *span)), origin=made)
    edited = put(store, "of a and c", sources=(Source(a, *span), Source(c, *span)), terms=("oslo",), origin=made)
    one(store, Revise(edited, Draft("by hand", sources=(Source(b, *span),), origin="user")))
    own = put(
        store, "a conclusion", sources=(Source(a, *span), Source(summary, *span), Source(c, *span)), origin="user"
    )
    receipt = one(store, Erase((a,)))
    same(receipt.derived, tuple(sorted((fact, summary))), "derived records that went")
    same(receipt.kept, tuple(sorted((edited, own))), "records that lost a source or a version")
    same(receipt.again, tuple(sorted((b, c))), "what they can be made from again")
    same([version.text for version in one(store, History(edited))], ["by hand"], "a derived record edited by hand")
    same(one(store, History(own))[0].sources, (Source(c, *span),), "sources of what somebody concluded")
    same({record.text for record in one(store, Find(NOW))}, {"b", "c", "of b and c", "by hand", "a conclusion"}, "left")
    expect("of a" not in repr(_all(store)), "a derived wording survived one of its sources")
    same((one(store, Lookup(("oslo",))), one(store, Receipts())), ((None,), (receipt,)), "words and receipts")
    receipt = one(store, Erase((c,)))
    gone = (receipt.derived, receipt.kept, receipt.again)
    same(gone, (tuple(sorted((both, own))), (), (b,)), "after the next source")
    same(one(store, Erase((b,))).again, (), "what is left to derive from when nothing derived went")


@rule("S64")
def lineage_crosses_scopes(stage: Stage) -> None:
    """Derived records in other scopes go, or lose the source, as well."""
    store = stage.store()
    one_run, other_run = Scope(user_id="ana", run_id="1"), Scope(user_id="ana", run_id="2")
    raw, more = put(store, "raw", one_run), put(store, "more", other_run)
    one_source, two_sources = (Source(raw, 0, 1),), (Source(raw, 0, 1), Source(more, 0, 1))
    goes = one(store, Put(Draft("goes", scope=other_run, sources=one_source))).id
    stays = one(store, Put(Draft("stays", scope=other_run, sources=two_sources))).id
    receipt = one(store, Erase(None), one_run)
    same((receipt.ids, receipt.derived, receipt.kept), ((raw,), (goes,), (stays,)), "receipt")
    same([r.text for r in one(store, Find(NOW))], ["more", "stays"], "texts left")
    same(one(store, History(stays))[0].sources, (Source(more, 0, 1),), "sources left")


@rule("S65")
def erase_keeps_to_its_scope(stage: Stage) -> None:
    """Erase without ids takes all that the scope covers and nothing else; unknown ids are NotFound and take nothing."""
    store = stage.store()
    run = Scope(user_id="ana", run_id="r")
    ids = {scope: put(store, "x", scope) for scope in (ANA, run, BOB, Scope(user_id="bob", run_id="r"))}
    refused(store, [Erase((ids[ANA], NOWHERE)), Erase((ids[ANA], ids[BOB]))], NotFound, "ids that are not there")
    same(one(store, Count(NOW)), 2, "records after a refused erasure")
    same(one(store, Erase(None), run).ids, (ids[run],), "erased in a run")
    same(one(store, Erase(None)).ids, (ids[ANA],), "erased of a user")
    same((one(store, Count(NOW)), one(store, Count(NOW), BOB)), (0, 2), "records left")


@rule("S66")
def nothing_is_numbered_twice(stage: Stage) -> None:
    """After an erasure, journal positions, term integers and vector positions go on; none is used again."""
    store = stage.store()
    id = put(store, "x", terms=("a", "b"))
    one(store, Embed(id, 1, Vector("space", b"\x01", 1.0)))
    vectors_seq = one(store, Scan()).vectors_seq
    one(store, Erase(None))
    same(store.position(), 2, "position after put and erase")
    id = put(store, "y", terms=("b", "c"))
    same(one(store, Lookup(("a", "b", "c"))), (None, 3, 4), "term integers")
    same([entry.seq for entry in one(store, Changes())], [2, 3], "journal positions")
    one(store, Embed(id, 1, Vector("space", b"\x01\x02", 1.0)))
    expect(one(store, Scan()).vectors_seq > vectors_seq, "late vectors are numbered from the start again")
    same(len(one(store, Scan(after=3, space="space", vectors_after=vectors_seq)).embedded), 1, "late vectors")


@rule("S67")
def scan_tells_of_erasures(stage: Stage) -> None:
    """Scan says that a reader must start over when, and only when, an erasure lies behind its position."""
    store = stage.store()
    put(store, "x")
    seq = store.position()
    put(store, "y")
    expect(not one(store, Scan(after=seq)).erased, "an erasure that never was")
    one(store, Erase((one(store, Find(NOW))[0].id,)))
    columns = one(store, Scan(after=seq))
    expect(columns.erased, "an erasure behind the position was not told")
    expect(not one(store, Scan(after=columns.seq)).erased, "an erasure before the position was told")
    expect(not one(store, Scan()).erased, "a reader that starts from 0 was told to start over")
    same(one(store, Scan(after=seq)).seq, store.position(), "position")


@rule("S68")
def undo_brings_back_what_was(stage: Stage) -> None:
    """Undoing a change brings back what was seen and linked before it; undoing that brings the change back."""
    store = stage.store()
    kept, closed = put(store, "kept", valid_from=day(-5)), put(store, "closed", valid_from=day(-5))
    one(store, Close(closed))
    one(store, Link(Edge(kept, closed, "t", 0.5)))

    def seen() -> object:
        found = store.batch([Find(NOW), Edges()], scope=ANA).results
        return ([(r.id, r.text, r.meta, r.valid_from, r.valid_to) for r in found[0]], found[1])

    changes: list[list[Operation]] = [
        [Put(Draft("new"))],
        [Revise(kept, Draft("revised", valid_from=day(-1), meta={"a": 1}))],
        [Close(kept)],
        [Close(kept, at=day(-3))],
        [Restore(closed, 1)],
        [Restore(kept, 1)],
        [Link(Edge(kept, closed, "t", 0.75)), Link(Edge(closed, kept, "u"))],
        [Unlink(Edge(kept, closed, "t"))],
        [Revise(kept, Draft("2")), Revise(kept, Draft("3")), Close(kept), Restore(closed, 1), Close(closed)],
        [Put(Draft("a")), Put(Draft("b")), Unlink(Edge(kept, closed, "t")), Link(Edge(kept, closed, "t", 3.0))],
    ]
    for operations in changes:
        before = seen()
        outcome = store.batch(operations, scope=ANA)
        after = seen()
        back = undo(store, outcome.change or "", scope=ANA, actor="tester")
        same(seen(), before, f"after undoing {operations}")
        if back.change is not None:
            again = undo(store, back.change, scope=ANA)
            same(seen(), after, f"after undoing the undoing of {operations}")
            undo(store, again.change or "", scope=ANA)
            same(seen(), before, f"after undoing {operations} once more")


@rule("S69")
def undo_refuses_what_it_cannot_do(stage: Stage) -> None:
    """Undo of an unknown change is NotFound, of an erasure InvalidInput, of something changed since Conflict."""
    store = stage.store()
    first = store.batch([Put(Draft("1"))], scope=ANA)
    id = first.results[0].id
    second = store.batch([Revise(id, Draft("2"))], scope=ANA)
    raises(Conflict, lambda: undo(store, first.change or "", scope=ANA), "undo of a change with a later one")
    raises(NotFound, lambda: undo(store, NOWHERE, scope=ANA), "undo of an unknown change")
    raises(NotFound, lambda: undo(store, second.change or "", scope=BOB), "undo of another scope's change")
    other = put(store, "other")
    link = store.batch([Link(Edge(id, other, "t", 1.0))], scope=ANA)
    store.batch([Link(Edge(id, other, "t", 2.0))], scope=ANA)
    raises(Conflict, lambda: undo(store, link.change or "", scope=ANA), "undo of a link that changed since")
    undo(store, second.change or "", scope=ANA)
    erasure = store.batch([Erase((other,))], scope=ANA)
    raises(InvalidInput, lambda: undo(store, erasure.change or "", scope=ANA), "undo of an erasure")
    raises(NotFound, lambda: undo(store, link.change or "", scope=ANA), "undo of a change that was erased")


@rule("S70")
def changes_can_be_undone_one_after_the_other(stage: Stage) -> None:
    """Changes to the same records and links can be undone newest first, each bringing back what was before it."""
    store = stage.store()
    id, other = put(store, "0", valid_from=day(-5)), put(store, "other")

    def seen() -> object:
        found = store.batch([Find(NOW), Edges()], scope=ANA).results
        return ([(record.id, record.text, record.valid_from) for record in found[0]], found[1])

    steps: list[list[Operation]] = [
        [Revise(id, Draft("1")), Link(Edge(id, other, "t", 1.0))],
        [Revise(id, Draft("2")), Link(Edge(id, other, "t", 2.0))],
        [Restore(id, 1), Link(Edge(id, other, "t", 1.0))],
        [Revise(id, Draft("3")), Unlink(Edge(id, other, "t"))],
        [Link(Edge(id, other, "t", 3.0))],
        [Close(id, at=day(100))],
        [Restore(id, 1)],
        [Revise(id, Draft("4"))],
        [Close(id)],
    ]
    done = []
    for operations in steps:
        before = seen()
        done.append((before, store.batch(operations, scope=ANA).change or ""))
    raises(Conflict, lambda: undo(store, done[3][1], scope=ANA), "undo out of order")
    for before, change in reversed(done):
        undo(store, change, scope=ANA)
        same(seen(), before, f"after undoing {change}")


@rule("S71")
def erasing_takes_replaced_terms_along(stage: Stage) -> None:
    """After a reindexing, an erasure destroys terms that nothing uses any more, whoever's they were, and the journal of
    the reindexing."""
    store = stage.store()
    a = put(store, "Eva is ill", terms=("eva", "ill"))
    b = put(store, "b", BOB, terms=("old", "shared"))
    put(store, "c", terms=("shared", "c"))
    fact = put(store, "Eva", sources=(Source(a, 0, 3),), terms=("eva", "fact"))
    one(store, Revise(fact, Draft("Eva Berg", terms=("eva", "berg"))))
    start = store.position()
    one(store, Reindex(b, 1, ("new", "shared")), BOB)
    store.batch([Reindex(a, 1, ("e",)), Reindex(fact, 1, ("f",)), Reindex(fact, 2, ("g",))], scope=ANA)
    names = ("eva", "ill", "old", "shared", "c", "fact", "berg", "new", "e", "f", "g")
    known = one(store, Lookup(names))
    same(known, tuple(range(1, 12)), "terms before the erasure, replaced ones included")
    receipt = one(store, Erase((a,)))
    counts = {"versions": 2, "vectors": 0, "edges": 0, "usage": 0, "journal": 4, "terms": 7}
    same(dict(receipt.counts), counts, "counts of the receipt")
    left = (None, None, None, 4, 5, None, None, 8, None, None, 11)
    same(one(store, Lookup(names)), left, "terms after the erasure")
    entries = [(entry.op, entry.id, entry.version) for entry in one(store, Changes(since=start))]
    same(entries, [("reindex", fact, 2), ("erase", receipt.id, 0)], "journal left")
    same([entry.op for entry in one(store, Changes(), BOB)], ["put", "reindex"], "journal of another scope")
    same([entry.op for entry in one(store, Changes(id=fact))], ["revise", "reindex"], "journal of what was kept")
    empty = one(store, Erase(()))
    same(empty.counts["terms"], 0, "terms that a second erasure finds")
    one(store, Reindex(fact, 2, ("h",)))
    same(store.batch([Erase(()), Lookup(("g", "h"))], scope=ANA).results[1], (None, 12), "terms after one of nothing")


@rule("S72")
def undo_passes_reindexing_by(stage: Stage) -> None:
    """Reindexing is derived: a change of nothing else cannot be undone, and no other undo minds it."""
    store = stage.store()
    id, other = put(store, "0", valid_from=day(-5), terms=("0",)), put(store, "other")
    made = store.batch([Revise(id, Draft("1", terms=("1",))), Link(Edge(id, other, "t")), Reindex(id, 1, ("x",))],
                       scope=ANA)  # fmt: skip
    derived = store.batch([Reindex(id, 1, ("y",)), Reindex(id, 2, ("z",)), Reindex(other, 1, ("z",))], scope=ANA)
    raises(InvalidInput, lambda: undo(store, derived.change or "", scope=ANA), "undo of a reindexing")
    back = undo(store, made.change or "", scope=ANA)
    record = one(store, Get((id,), NOW))[0]
    same((record.text, record.version, record.terms), ("0", 3, ("y",)), "what stands after undo")
    same(one(store, Edges()), (), "links after undo")
    one(store, Reindex(id, 3, ("w",)))
    undo(store, back.change or "", scope=ANA)
    same(one(store, Get((id,), NOW))[0].text, "1", "what stands after undoing the undoing")


def _all(store: RecordStore) -> object:
    """All that can be read of a store's records."""
    reads: list[Operation] = [Find(NOW, limit=None), Changes(), Edges(), Receipts(), Pending("x"), Scan(space="space")]
    answers = [one(store, read) for read in reads]
    return answers, [one(store, History(record.id)) for record in answers[0]]

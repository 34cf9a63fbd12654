"""Rules L01 to L29: what a LangGraph store promises for items, batches, filters, pages and namespaces."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from itertools import combinations
from typing import Any

from remanence.conformance.langgraph_stage import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
    Stage,
    keys,
    need,
)
from remanence.conformance.rules import Broken, rule
from remanence.conformance.stage import expect, raises, same

NS = ("users", "ana")
LABELS = (
    "acme", "acme-corp", "acm", "ACME", "acme%", "acm_", "%", "_", "*", "?", "[a]cme", "acme ", " acme", "acme/x", "'",
    "acme' OR '1'='1", '"', "\\", "acme\n", "é", "e\u0301", "ß", "ss", "İ", "👩‍👩‍👧", "0", "null", "акме",
)  # fmt: skip
"""Labels that must be told apart: prefixes, patterns, quotes, twins under case folding or normalisation."""
VALUES: tuple[dict[str, Any], ...] = (
    {},
    {"a": None, "b": True, "c": False, "d": 0, "e": -1.5, "f": "", "g": [], "h": {}},
    {"nested": {"list": [1, "two", {"three": [3]}], "text": "“quotes” 'and' \"more\" \\ \n\t"}},
    {"emoji": "👩‍👩‍👧", "arabic": "مرحبا", "chinese": "你好", "long": "x" * 10_000},
    {"key with spaces": 1, "key.with.dots": 2, "$dollar": 3, "": 4},
)


@rule("L01")
def round_trip(stage: Stage) -> None:
    """An item comes back with its namespace, key and value, as they were put, for every kind of JSON value."""
    store = stage.store()
    for number, value in enumerate(VALUES):
        store.put(NS, f"k{number}", value)
    for number, value in enumerate(VALUES):
        item = need(store.get(NS, f"k{number}"), f"value {number}")
        same((item.namespace, item.key, item.value), (NS, f"k{number}", value), f"item {number}")
    same(store.get(NS, "absent"), None, "an absent key")
    same(store.get(("users", "bob"), "k0"), None, "a key in a namespace that has none")


@rule("L02")
def times(stage: Stage) -> None:
    """An item knows when it was created and updated, as times with a zone; both are the same at first."""
    store = stage.store()
    store.put(NS, "k", {"v": 1})
    item = need(store.get(NS, "k"), "the item")
    for name in ("created_at", "updated_at"):
        expect(getattr(item, name).utcoffset() is not None, f"{name} {getattr(item, name)!r} has no zone")
    expect(abs(item.updated_at - item.created_at) < timedelta(seconds=1), f"{item.created_at} to {item.updated_at}")


@rule("L03")
def replacing(stage: Stage) -> None:
    """A put of an existing key replaces the value as a whole."""
    store = stage.store()
    store.put(NS, "k", {"a": 1, "b": 2})
    store.put(NS, "k", {"b": 3})
    same(need(store.get(NS, "k"), "the item").value, {"b": 3}, "the value")
    same(len(store.search(NS)), 1, "items of the namespace")


@rule("L04")
def creation_is_kept(stage: Stage) -> None:
    """A put of an existing key keeps `created_at`, and `updated_at` does not go back."""
    store = stage.store()
    store.put(NS, "k", {"v": 1})
    stage.tick(store)
    first = need(store.get(NS, "k"), "the item")
    created, updated = first.created_at, first.updated_at
    store.put(NS, "k", {"v": 2})
    second = need(store.get(NS, "k"), "the item")
    same(second.created_at, created, "created_at after a second put")
    expect(second.updated_at >= updated, f"updated_at went from {updated} to {second.updated_at}")


@rule("L05")
def deleting(stage: Stage) -> None:
    """A deleted item is gone from get and search; deleting what is not there does nothing; it can be put anew."""
    store = stage.store()
    store.put(NS, "k", {"v": 1})
    store.put(NS, "other", {"v": 1})
    store.delete(NS, "k")
    store.delete(NS, "k")
    store.delete(("no", "such"), "k")
    same(store.get(NS, "k"), None, "the deleted item")
    same(keys(store.search(NS)), ["other"], "items that are left")
    store.put(NS, "k", {"v": 2})
    same(need(store.get(NS, "k"), "the item put anew").value, {"v": 2}, "its value")


@rule("L06")
def copies(stage: Stage) -> None:
    """What a caller does to a value that it put or got does not change what is stored."""
    store = stage.store()
    value = {"list": [1], "dict": {"a": 1}}
    store.put(NS, "k", value)
    value["list"].append(2)  # type: ignore[attr-defined]
    need(store.get(NS, "k"), "the item").value["dict"]["a"] = 2
    need(store.get(NS, "k"), "the item").value["new"] = 1
    same(need(store.get(NS, "k"), "the item").value, {"list": [1], "dict": {"a": 1}}, "the stored value")


@rule("L07")
def labels_are_told_apart(stage: Stage) -> None:
    """The same key under different labels is different items, whatever the labels look like."""
    store = stage.store()
    for label in LABELS:
        store.put(("tenant", label), "k", {"label": label})
    for label in LABELS:
        same(need(store.get(("tenant", label), "k"), repr(label)).value, {"label": label}, f"item of {label!r}")
    store.delete(("tenant", "acme"), "k")
    same(len(store.search(("tenant",), limit=100)), len(LABELS) - 1, "items after one was deleted")


@rule("L08")
def prefixes_are_whole_labels(stage: Stage) -> None:
    """A search under a namespace finds what is in it and below it, and nothing of its siblings; `()` finds all."""
    store = stage.store()
    for label in LABELS:
        store.put(("tenant", label), "k", {"label": label})
        store.put(("tenant", label, "deep", "er"), "k", {"label": label})
    for label in LABELS:
        found = store.search(("tenant", label), limit=100)
        same({item.value["label"] for item in found}, {label}, f"labels found under {label!r}")
        same(len(found), 2, f"items under {label!r}")
        same(len(store.search(("tenant", label, "deep"), limit=100)), 1, f"items under {label!r}, 'deep'")
    same(store.search(("ten",), limit=100), [], "items under a part of a label")
    same(len(store.search((), limit=100)), 2 * len(LABELS), "items under ()")


@rule("L09")
def no_joined_labels(stage: Stage) -> None:
    """An operation whose label holds a period cannot reach the namespace that this looks like."""
    store = stage.store()
    store.put(("foo", "bar"), "k", {"v": 1})
    attempts: list[Op] = [GetOp(("foo.bar",), "k"), SearchOp(("foo.bar",)), PutOp(("foo.bar",), "k", None)]
    for op in attempts:
        try:
            (answer,) = store.batch([op])
        except ValueError:
            continue
        expect(not answer, f"{op!r} answered {answer!r}")
    expect(
        store.get(("foo", "bar"), "k") is not None, "an operation on ('foo.bar',) deleted the item of ('foo', 'bar')"
    )


@rule("L10")
def validation(stage: Stage) -> None:
    """Namespaces that are empty, or with labels that are empty, no strings or hold a period, are refused by name."""
    store = stage.store()
    bad: tuple[Any, ...] = ((), ("",), ("a", ""), ("a.b",), ("a", 1), ("langgraph",), ("langgraph", "x"))
    for namespace in bad:
        raises(InvalidNamespaceError, lambda ns=namespace: store.put(ns, "k", {"v": 1}), f"put to {namespace!r}")  # type: ignore[misc]
    for namespace in bad[1:5]:
        raises(InvalidNamespaceError, lambda ns=namespace: store.get(ns, "k"), f"get from {namespace!r}")  # type: ignore[misc]
        raises(InvalidNamespaceError, lambda ns=namespace: store.search(ns), f"search in {namespace!r}")  # type: ignore[misc]
        raises(InvalidNamespaceError, lambda ns=namespace: store.delete(ns, "k"), f"delete from {namespace!r}")  # type: ignore[misc]
    same(store.search(()), [], "items after refused puts")


@rule("L11")
def odd_keys(stage: Stage) -> None:
    """Keys are whole strings: prefixes, patterns, quotes, periods and blanks in them mean nothing."""
    store = stage.store()
    odd = [*LABELS, "", "a.b", "a.b.c", "1.a", "0.", ".", "..", "k" * 200]
    for key in odd:
        store.put(NS, key, {"key": key})
    for key in odd:
        same(need(store.get(NS, key), repr(key)).value, {"key": key}, f"item of key {key!r}")
    same(sorted(keys(store.search(NS, limit=100))), sorted(odd), "all keys")


@rule("L12")
def order_of_results(stage: Stage) -> None:
    """A batch answers its operations one by one in their order, also when they are mixed and repeated."""
    store = stage.store()
    for number in range(3):
        store.put(NS, f"k{number}", {"v": number})
    answers = store.batch(
        [
            GetOp(NS, "k2"),
            PutOp(NS, "k3", {"v": 3}),
            SearchOp(NS, filter={"v": 1}),
            GetOp(NS, "absent"),
            ListNamespacesOp(),
            GetOp(("other",), "k0"),
            GetOp(NS, "k0"),
            GetOp(NS, "k2"),
        ]
    )
    shown = [
        [item.key for item in answer if not isinstance(item, tuple)] or answer
        if isinstance(answer, list)
        else getattr(answer, "key", answer)
        for answer in answers
    ]
    same(shown, ["k2", None, ["k1"], None, [NS], None, "k0", "k2"], "answers")


@rule("L13")
def last_put_counts(stage: Stage) -> None:
    """Of several puts and deletes of one key in a batch the last one counts."""
    store = stage.store()
    store.put(NS, "c", {"v": 0})
    store.batch(
        [
            PutOp(NS, "a", {"v": 1}), PutOp(NS, "a", {"v": 2}),
            PutOp(NS, "b", {"v": 1}), PutOp(NS, "b", None),
            PutOp(NS, "c", None), PutOp(NS, "c", {"v": 3}),
        ]
    )  # fmt: skip
    same({item.key: item.value["v"] for item in store.search(NS)}, {"a": 2, "c": 3}, "items after the batch")


@rule("L14")
def filter_equality(stage: Stage) -> None:
    """A filter keeps the items whose fields equal all its values; None is met by null and by an absent field."""
    store = stage.store()
    store.put(NS, "a", {"color": "red", "size": 1, "ok": True, "tags": ["x", "y"], "none": None})
    store.put(NS, "b", {"color": "red", "size": 2, "ok": False, "tags": ["x"]})
    store.put(NS, "c", {"color": "Red", "size": 2.0})
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"color": "red"}, {"a", "b"}), ({"color": "red", "size": 2}, {"b"}), ({"size": 2}, {"b", "c"}),
        ({"ok": True}, {"a"}), ({"ok": False}, {"b"}), ({"none": None}, {"a", "b", "c"}), ({"ok": None}, {"c"}),
        ({"absent": 1}, set()), ({"color": "r%"}, set()), ({"tags": ["x", "y"]}, {"a"}), ({}, {"a", "b", "c"}),
    ]  # fmt: skip
    for where, wanted in cases:
        same(set(keys(store.search(NS, filter=where))), wanted, f"keys that meet {where!r}")


@rule("L15")
def filter_operators(stage: Stage) -> None:
    """`$eq $ne $gt $gte $lt $lte` compare numbers as numbers, and several on one field must all hold."""
    store = stage.store()
    for number in (1, 2, 10, 2.5):
        store.put(NS, str(number), {"n": number, "s": f"s{number}"})
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"n": {"$eq": 2}}, {"2"}), ({"n": {"$ne": 2}}, {"1", "10", "2.5"}), ({"n": {"$gt": 2}}, {"10", "2.5"}),
        ({"n": {"$gte": 2}}, {"2", "10", "2.5"}), ({"n": {"$lt": 2.5}}, {"1", "2"}),
        ({"n": {"$lte": 2.5}}, {"1", "2", "2.5"}), ({"n": {"$gt": 1, "$lt": 10}}, {"2", "2.5"}),
        ({"s": {"$eq": "s1"}}, {"1"}), ({"s": {"$ne": "s1"}}, {"2", "10", "2.5"}),
    ]  # fmt: skip
    for where, wanted in cases:
        same(set(keys(store.search(NS, filter=where))), wanted, f"keys that meet {where!r}")


@rule("L16")
def filters_survive_other_types(stage: Stage) -> None:
    """A comparison with an absent field, null or text is false where a number is asked for, and no error."""
    store = stage.store()
    store.put(NS, "number", {"n": 5})
    for key, value in (("absent", {}), ("null", {"n": None}), ("text", {"n": "many"}), ("list", {"n": [5]})):
        store.put(NS, key, value)
    for operator in ("$gt", "$gte", "$lt", "$lte"):
        found = set(keys(store.search(NS, filter={"n": {operator: 5}})))
        wanted = {"number"} if operator.endswith("e") else set()
        same(found, wanted, f"keys that meet {{'n': {{{operator!r}: 5}}}}")


@rule("L17")
def unknown_operators(stage: Stage) -> None:
    """An operator that there is none of is refused, and never taken for a match or a mismatch."""
    store = stage.store()
    store.put(NS, "k", {"n": 1})
    raises(ValueError, lambda: store.search(NS, filter={"n": {"$near": 1}}), "a search with $near")


@rule("L18")
def pages(stage: Stage) -> None:
    """`limit` and `offset` go through all items, each once; nothing lies beyond the end; the default limit is 10."""
    store = stage.store()
    for number in range(23):
        store.put(NS, f"k{number:02}", {"n": number})
    same(len(store.search(NS)), 10, "items without a limit")
    seen = [key for start in range(0, 30, 5) for key in keys(store.search(NS, limit=5, offset=start))]
    same(sorted(seen), [f"k{number:02}" for number in range(23)], "keys of all pages")
    same(store.search(NS, limit=0), [], "items with limit 0")
    same(store.search(NS, offset=23), [], "items beyond the end")


@rule("L19")
def filtered_pages(stage: Stage) -> None:
    """A filter comes before `limit` and `offset`."""
    store = stage.store()
    for number in range(30):
        store.put(NS, f"k{number:02}", {"n": number, "odd": number % 2})
    seen = [key for start in (0, 6, 12) for key in keys(store.search(NS, filter={"odd": 1}, limit=6, offset=start))]
    same(sorted(seen), [f"k{number:02}" for number in range(1, 30, 2)], "odd keys of all pages")


SPACES = (("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"), ("a", "c", "f"), ("ab", "b"))


def _with_spaces(stage: Stage) -> BaseStore:
    store = stage.store()
    for namespace in SPACES:
        for key in ("k1", "k2"):
            store.put(namespace, key, {"v": 1})
    return store


@rule("L20")
def listing(stage: Stage) -> None:
    """Namespaces are listed once each, and only those that hold an item themselves."""
    same(sorted(_with_spaces(stage).list_namespaces()), sorted(SPACES), "namespaces")


@rule("L21")
def matching(stage: Stage) -> None:
    """`prefix` and `suffix` match whole labels, `"*"` any one label, and both together both ends."""
    store = _with_spaces(stage)
    cases: list[tuple[dict[str, Any], set[tuple[str, ...]]]] = [
        ({"prefix": ("a",)}, set(SPACES[:5])), ({"prefix": ("a", "b")}, set(SPACES[:4])),
        ({"suffix": ("f",)}, {("a", "b", "f"), ("a", "c", "f")}),
        ({"prefix": ("a", "*", "f")}, {("a", "b", "f"), ("a", "c", "f")}),
        ({"suffix": ("d", "*")}, {("a", "b", "d", "e"), ("a", "b", "d", "i")}), ({"suffix": ("b",)}, {("ab", "b")}),
        ({"prefix": ("a", "b"), "suffix": ("f",)}, {("a", "b", "f")}), ({"prefix": ("A",)}, set()),
        ({"prefix": ("a", "b", "c", "d", "e")}, set()),
    ]  # fmt: skip
    for asked, wanted in cases:
        same(set(store.list_namespaces(**asked)), wanted, f"namespaces for {asked!r}")
    both = (MatchCondition("prefix", ("a",)), MatchCondition("suffix", ("e",)))
    same(store.batch([ListNamespacesOp(both)]), [[("a", "b", "d", "e")]], "namespaces for two conditions")


@rule("L22")
def depth(stage: Stage) -> None:
    """`max_depth` cuts namespaces and lists each result once; shorter ones stay as they are."""
    store = _with_spaces(stage)
    same(sorted(store.list_namespaces(max_depth=1)), [("a",), ("ab",)], "namespaces of depth 1")
    wanted = [("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f"), ("a", "c", "f"), ("ab", "b")]
    same(sorted(store.list_namespaces(max_depth=3)), wanted, "namespaces of depth 3")
    same(sorted(store.list_namespaces(prefix=("a", "b"), max_depth=3)), wanted[:3], "those under ('a', 'b')")


@rule("L23")
def namespace_pages(stage: Stage) -> None:
    """`limit` and `offset` go through all namespaces, each once, also after `max_depth`."""
    store = _with_spaces(stage)
    seen = [space for start in range(0, 8, 2) for space in store.list_namespaces(limit=2, offset=start)]
    same(sorted(seen), sorted(SPACES), "namespaces of all pages")
    cut = [space for start in range(0, 8, 2) for space in store.list_namespaces(max_depth=3, limit=2, offset=start)]
    same(len(cut), 5, f"namespaces of depth 3 on all pages, {cut!r}")


@rule("L24")
def empty_namespaces(stage: Stage) -> None:
    """A namespace is listed no more once its last item is deleted, and reading one does not make it."""
    store = stage.store()
    store.put(NS, "k", {"v": 1})
    store.get(("never", "written"), "k")
    store.search(("never", "searched"))
    store.delete(("never", "deleted"), "k")
    store.delete(NS, "k")
    same(store.list_namespaces(), [], "namespaces of an empty store")


@rule("L25", when="async")
def asynchronous(stage: Stage) -> None:
    """The asynchronous methods do what the others do."""
    store = stage.store()
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(store.aput(NS, "a", {"v": 1}))
        loop.run_until_complete(store.aput(NS, "b", {"v": 2}))
        same(need(loop.run_until_complete(store.aget(NS, "a")), "aget").value, {"v": 1}, "aget")
        same(set(keys(loop.run_until_complete(store.asearch(NS, filter={"v": 2})))), {"b"}, "asearch")
        same(loop.run_until_complete(store.alist_namespaces()), [NS], "alist_namespaces")
        loop.run_until_complete(store.adelete(NS, "a"))
        answers = loop.run_until_complete(store.abatch([GetOp(NS, "a"), GetOp(NS, "b")]))
    finally:
        loop.close()
    same([getattr(item, "key", None) for item in answers], [None, "b"], "abatch")


@rule("L26")
def threads(stage: Stage) -> None:
    """Puts from several threads are all kept, and several of one key leave one item."""
    store = stage.store()
    failed: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(20):
                store.put(NS, f"{name}-{number}", {"v": number})
                store.put(NS, "shared", {"v": name})
        except Exception as error:
            failed.append(error)

    together = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    if failed:
        raise Broken(f"a thread failed: {failed[0]!r}")
    same(len(store.search(NS, limit=200)), 4 * 20 + 1, "items")


@rule("L27")
def durable(stage: Stage) -> None:
    """What was put is there after a restart, and what was deleted is not."""
    store = stage.store()
    store.put(NS, "kept", {"v": 1})
    store.put(NS, "gone", {"v": 1})
    store.delete(NS, "gone")
    again = stage.reopened(store)
    same(need(again.get(NS, "kept"), "the item").value, {"v": 1}, "its value")
    same(again.get(NS, "gone"), None, "the deleted item")
    same(again.list_namespaces(), [NS], "namespaces")


@rule("L28")
def failed_batches(stage: Stage) -> None:
    """A batch that raises has stored nothing."""
    store = stage.store()
    store.put(NS, "k", {"v": 1})
    bad: Any = PutOp(NS, "bad", {"v": object()})
    try:
        store.batch([PutOp(NS, "k", {"v": 2}), PutOp(NS, "new", {"v": 2}), bad])
    except Exception as error:
        same(need(store.get(NS, "k"), "the item").value, {"v": 1}, f"an item after a batch that raised {error!r}")
        same(keys(store.search(NS)), ["k"], f"keys after a batch that raised {error!r}")


@rule("L29")
def items_are_equal(stage: Stage) -> None:
    """Search and get give the same item."""
    store = stage.store()
    store.put(NS, "a", {"v": 1})
    store.put(NS, "b", {"v": 2})
    for found in store.search(NS):
        item = need(store.get(NS, found.key), "the item")
        same((item.value, item.namespace), (found.value, found.namespace), "the item")
        same((item.created_at, item.updated_at), (found.created_at, found.updated_at), "its times")
    for one, other in combinations(store.search(NS), 2):
        expect(one != other, "two items are equal")

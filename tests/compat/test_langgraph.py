"""What is ours about the LangGraph store: scopes, several processes, its own index, expiry by a clock, bad input."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("langgraph.store.base")

from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from remanence import Memory
from remanence.compat.langgraph import InvalidNamespace, RemanenceStore
from remanence.compat.langgraph_index import IndexedFields, plain_text
from remanence.compat.namespaces import address_of, item_scope, prefix_scope
from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, InvalidFilter, InvalidInput, RemanenceError
from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.operations import Operation, Outcome, Put, Revise
from tests.compat.stores import START

LABELS = ("a", "b", "ab", "a-b", "A", "1", "*")


def test_addresses_and_scopes_are_one_to_one() -> None:
    dice = random.Random(5)
    seen: dict[Scope, tuple[tuple[str, ...], str]] = {}
    for _ in range(3000):
        namespace = tuple(dice.choice(LABELS) for _ in range(dice.randint(1, 5)))
        key = dice.choice(("k", "", "a.b", "a", "1.a", "0.", ".", "b.k"))
        scope = item_scope("x", namespace, key)
        assert address_of(scope) == (namespace, key)
        assert seen.setdefault(scope, (namespace, key)) == (namespace, key)
        for depth in range(len(namespace) + 1):
            assert prefix_scope("x", namespace[:depth]).covers(scope)
    assert item_scope("x", ("a", "b", "c"), "d") != item_scope("x", ("a", "b"), "c.d")


def test_siblings_share_no_scope() -> None:
    one, other = prefix_scope("x", ("tenant", "acme")), item_scope("x", ("tenant", "acme-corp"), "k")
    assert not one.covers(other)
    assert not prefix_scope("x", ("tenant",)).covers(item_scope("x", ("tenants", "acme"), "k"))


@pytest.mark.parametrize(
    "scope",
    [Scope(app_id="x"), Scope(app_id="x", user_id="a", agent_id="b", run_id="monday"),
     Scope(app_id="x", user_id="a", agent_id="b", run_id="3.a.b"), Scope(app_id="x", user_id="a", run_id="0.k")],
)  # fmt: skip
def test_other_scopes_are_no_addresses(scope: Scope) -> None:
    assert address_of(scope) is None


def test_records_of_others_under_the_same_id_are_passed_over() -> None:
    with Memory(":memory:") as memory, RemanenceStore(store=memory.store, app_id="shared") as store:
        memory.add("the boiler hums", app_id="shared", user_id="users", run_id="monday")
        memory.add("the boiler hums", app_id="shared", user_id="users", agent_id="ana", run_id="0.k", kind="item")
        store.put(("users", "ana"), "boiler", {"text": "the boiler leaks"})
        assert [item.key for item in store.search((), query="boiler")] == ["boiler"]
        assert [item.key for item in store.search(())] == ["boiler"]
        assert store.list_namespaces() == [("users", "ana")]
        assert memory.search("boiler leaks", app_id="shared", user_id="users", agent_id="ana")["results"]


def test_stores_under_different_ids_share_nothing(tmp_path: Path) -> None:
    with RemanenceStore(tmp_path / "s.db", app_id="one") as one, RemanenceStore(tmp_path / "s.db", app_id="two") as two:
        one.put(("a",), "k", {"v": 1})
        assert two.get(("a",), "k") is None
        assert two.search(()) == []


def random_ops(dice: random.Random) -> list[Op]:
    namespace = tuple(dice.choice(("a", "b", "ab")) for _ in range(dice.randint(1, 3)))
    key, value = dice.choice("xyz"), {"n": dice.randint(0, 3), "s": dice.choice(("p", "q"))}
    where: tuple[dict[str, Any] | None, ...] = (None, {"n": 1}, {"n": {"$gte": 2}, "s": "q"})
    end: Literal["prefix", "suffix"] = dice.choice(("prefix", "suffix"))
    kinds: list[Op] = [
        PutOp(namespace, key, value),
        PutOp(namespace, key, dice.choice((value, None))),
        GetOp(namespace, key),
        SearchOp(namespace[: dice.randint(0, 2)], filter=dice.choice(where), limit=99),
        ListNamespacesOp((MatchCondition(end, (dice.choice(("a", "b", "*")),)),), dice.choice((None, 1, 2))),
    ]
    return [dice.choice(kinds) for _ in range(dice.randint(1, 4))]


def plain(result: Any) -> Any:
    if isinstance(result, list):
        return sorted(map(plain, result), key=repr)
    return result if isinstance(result, tuple | None) else (result.namespace, result.key, result.value)


def test_random_batches_are_answered_as_by_langgraphs_own_store() -> None:
    dice, clock = random.Random(7), SteppingClock(START)
    theirs = InMemoryStore()
    with RemanenceStore(":memory:", clock=clock, index=False) as ours:
        for _ in range(300):
            ops = random_ops(dice)
            wanted, got = theirs.batch(ops), ours.batch(ops)
            for op, one, other in zip(ops, wanted, got, strict=True):
                if not isinstance(op, ListNamespacesOp):
                    assert plain(one) == plain(other), op
                else:
                    # Theirs also lists namespaces that have become empty.
                    assert set(plain(other)) <= set(plain(one)), op


def test_reads_of_a_batch_see_what_was_there_before_it() -> None:
    with RemanenceStore(":memory:") as store:
        before, _, found = store.batch([GetOp(("a",), "k"), PutOp(("a",), "k", {"v": 1}), SearchOp(("a",))])
        assert (before, found) == (None, [])
        assert store.get(("a",), "k") is not None


def test_a_batch_of_puts_is_one_change() -> None:
    with Memory(":memory:") as memory, RemanenceStore(store=memory.store) as store:
        store.batch([PutOp(("a", str(number)), "k", {"v": number}) for number in range(5)])
        (change,) = memory.changes(app_id="langgraph")
        assert len(change["events"]) == 5
        memory.undo(change, app_id="langgraph")
        assert store.search(()) == []


def test_the_last_changed_comes_first() -> None:
    with RemanenceStore(":memory:", clock=SteppingClock(START)) as store:
        for key in ("one", "two", "three", "one"):
            store.put(("a",), key, {"v": key})
        assert [item.key for item in store.search(("a",))] == ["one", "three", "two"]


def test_without_an_index_nothing_is_ranked() -> None:
    with RemanenceStore(":memory:", index=False) as store:
        store.put(("a",), "k", {"text": "the boiler hums"})
        (item,) = store.search(("a",), query="boiler")
        assert item.score is None


def test_a_query_of_blanks_lists() -> None:
    with RemanenceStore(":memory:") as store:
        store.put(("a",), "k", {"text": "the boiler hums"})
        assert [item.score for item in store.search(("a",), query="  ")] == [None]


def test_words_are_found_below_many_others() -> None:
    with RemanenceStore(":memory:") as store:
        ops: list[Op] = [
            PutOp(("n", "u", str(i % 7)), f"k{i}", {"text": f"note {i} on rain", "i": i}) for i in range(300)
        ]
        store.batch([*ops, PutOp(("n", "u", "deep", "er"), "x", {"text": "the boiler hums", "i": -1})])
        assert [item.key for item in store.search(("n", "u", "deep"), query="note on rain", limit=1)] == ["x"]
        found = store.search(("n",), query="note on rain", filter={"i": {"$gte": 295}})
        assert sorted(item.value["i"] for item in found) == [295, 296, 297, 298, 299]
        assert len(store.search(("n", "u", "3"), query="rain", limit=100)) == 43


def test_opened_twice_they_see_each_other(tmp_path: Path) -> None:
    with RemanenceStore(tmp_path / "s.db") as one, RemanenceStore(tmp_path / "s.db") as two:
        one.put(("a",), "k", {"text": "green tea"})
        two.put(("a",), "k", {"text": "black coffee"})
        assert [item.value for item in one.search(("a",), query="coffee")] == [{"text": "black coffee"}]
        one.delete(("a",), "k")
        assert two.get(("a",), "k") is None


class Racing(SqliteStore):
    """Lets another writer in between the first look at an item and the write."""

    intruder: Any = None

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if self.intruder is not None and any(isinstance(op, Put | Revise) for op in operations):
            intruder, self.intruder = self.intruder, None
            intruder()
        return super().batch(operations, scope=scope, actor=actor, why=why)


def test_two_who_put_a_new_key_at_the_same_moment_leave_one_item(tmp_path: Path) -> None:
    racing = Racing(tmp_path / "s.db")
    with RemanenceStore(store=racing) as one, RemanenceStore(tmp_path / "s.db") as two:
        racing.intruder = lambda: two.put(("a",), "k", {"v": "first", "parts": ["x", "y"]}, index=["parts[*]"])
        one.put(("a",), "k", {"v": "last"})
        assert [item.value for item in two.search(("a",))] == [{"v": "last"}]
        with Memory(tmp_path / "s.db") as memory:
            assert memory.stats(app_id="langgraph")["memories"] == 1
    racing.close()


def test_a_put_that_was_overtaken_is_planned_anew(tmp_path: Path) -> None:
    racing = Racing(tmp_path / "s.db")
    with RemanenceStore(store=racing) as one, RemanenceStore(tmp_path / "s.db") as two:
        one.put(("a",), "k", {"v": "first"})
        racing.intruder = lambda: two.put(("a",), "k", {"parts": ["violin", "zither"]}, index=["parts[*]"])
        one.put(("a",), "k", {"v": "last"})
        assert [item.value for item in two.search(("a",), query="zither")] == [{"v": "last"}]
        with Memory(tmp_path / "s.db") as memory:
            assert memory.stats(app_id="langgraph")["memories"] == 1
        racing.intruder = lambda: two.delete(("a",), "k")
        one.put(("a",), "k", {"v": "after all"})
        assert [item.value for item in two.search(("a",))] == [{"v": "after all"}]
    racing.close()


def test_writers_in_many_threads_lose_nothing(tmp_path: Path) -> None:
    stores = [RemanenceStore(tmp_path / "s.db") for _ in range(3)]
    failed: list[BaseException] = []

    def work(store: RemanenceStore) -> None:
        try:
            for number in range(8):
                store.put(("a",), f"k{number}", {"by": id(store)})
        except RemanenceError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(item.key for item in stores[0].search(("a",), limit=99)) == [f"k{number}" for number in range(8)]
    for store in stores:
        store.close()


def test_a_store_that_is_always_changed_by_others_is_a_conflict(tmp_path: Path) -> None:
    class Contested(SqliteStore):
        def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
            if any(isinstance(op, Put) for op in operations):
                raise Conflict("changed")
            return super().batch(operations, scope=scope, actor=actor, why=why)

    with pytest.raises(Conflict, match="times in a row"):
        RemanenceStore(store=Contested(tmp_path / "s.db")).put(("a",), "k", {"v": 1})


# Deleting


def test_what_is_deleted_stays_in_history_unless_it_is_to_be_erased(tmp_path: Path) -> None:
    for erased in (False, True):
        path = tmp_path / f"{erased}.db"
        with RemanenceStore(path, erase_deleted=erased) as store, Memory(path) as memory:
            store.put(("a",), "k", {"text": "xylophone lessons", "more": ["zither"]}, index=["text", "more[*]"])
            store.search(("a",), query="xylophone")
            store.delete(("a",), "k")
            assert len(store._engine.indexes) == (0 if erased else 1)
            assert store.search(("a",), query="xylophone") == []
            assert memory.stats(app_id="langgraph")["records"] == (0 if erased else 3)


# Expiry


def test_expiry_by_the_clock() -> None:
    clock = SteppingClock(START)
    with RemanenceStore(":memory:", clock=clock, ttl={"default_ttl": 10, "refresh_on_read": False}) as store:
        store.put(("a",), "k", {"text": "green tea"})
        store.put(("a",), "ever", {"text": "green apples"}, ttl=None)
        clock.current += timedelta(minutes=9)
        assert len(store.search(("a",), query="green")) == 2
        clock.current += timedelta(minutes=1)
        assert [item.key for item in store.search(("a",), query="green")] == ["ever"]
        assert [item.key for item in store.search(("a",))] == ["ever"]
        assert store.get(("a",), "k") is None
        assert (store.sweep_ttl(), store.sweep_ttl()) == (1, 0)


def test_expired_items_are_shown_until_swept_where_that_is_asked_for() -> None:
    clock = SteppingClock(START)
    with RemanenceStore(":memory:", clock=clock, ttl={"omit_expired": False}) as store:
        store.put(("a",), "k", {"v": 1}, ttl=1)
        clock.current += timedelta(minutes=2)
        assert store.get(("a",), "k", refresh_ttl=False) is not None
        assert store.sweep_ttl() == 1
        assert store.get(("a",), "k") is None


def test_what_expired_and_is_put_anew_is_found_again() -> None:
    clock = SteppingClock(START)
    with RemanenceStore(":memory:", clock=clock) as store:
        store.put(("a",), "k", {"v": 1}, ttl=1)
        clock.current += timedelta(minutes=2)
        store.put(("a",), "k", {"v": 2}, ttl=1)
        assert [item.value for item in store.search(("a",))] == [{"v": 2}]


def test_the_sweeper_sweeps_until_it_is_stopped() -> None:
    swept = threading.Event()

    class Told(RemanenceStore):
        def sweep_ttl(self) -> int:
            swept.set()
            return super().sweep_ttl()

    with Told(":memory:", ttl={"sweep_interval_minutes": 60}) as store:
        future = store.start_ttl_sweeper(0.0001)
        assert swept.wait(10)
        assert store.stop_ttl_sweeper(10)
        assert future.result(10) is None
        again = store.start_ttl_sweeper()
        assert again.cancel()
        assert store.stop_ttl_sweeper(10)
        with pytest.raises(InvalidInput, match="more than 0"):
            store.start_ttl_sweeper(0)


def test_a_store_that_fails_ends_the_sweeping_with_its_error() -> None:
    store = RemanenceStore(":memory:")
    future = store.start_ttl_sweeper(0.0001)
    store._engine.close(close_store=True)
    assert isinstance(future.exception(10), RemanenceError)


# Embedders


class Words(Embeddings):
    """LangChain embeddings that tell questions from passages."""

    model = "words-1"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._hash = HashEmbedder(32)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += texts
        return self._hash.embed(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        self.asked.append(f"? {text}")
        return self._hash.embed([text])[0].tolist()  # type: ignore[no-any-return]


def test_embeddings_of_langchain_are_asked_only_for_what_is_indexed() -> None:
    words = Words()
    with RemanenceStore(":memory:", index={"dims": 32, "embed": words, "fields": ["text"]}) as store:
        store.put(("a",), "k", {"text": "green tea", "secret": "swordfish"})
        store.put(("a",), "hidden", {"text": "black coffee"}, index=False)
        assert [item.key for item in store.search(("a",), query="tea")] == ["k"]
    assert "? tea" in words.asked
    assert "green tea" in words.asked
    assert not any("swordfish" in text or "coffee" in text for text in words.asked)


def test_an_asynchronous_function_embeds_from_both_sides() -> None:
    async def embed(texts: Sequence[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return HashEmbedder(32).embed(texts).tolist()  # type: ignore[no-any-return]

    async def main(store: RemanenceStore) -> list[str]:
        await store.aput(("a",), "k", {"text": "green tea"})
        store.put(("a",), "other", {"text": "black coffee"})
        assert [item.key for item in store.search(("a",), query="coffee", limit=1)] == ["other"]
        return [item.key for item in await store.asearch(("a",), query="green tea", limit=1)]

    with RemanenceStore(":memory:", index={"dims": 32, "embed": embed}) as store:
        assert asyncio.run(main(store)) == ["k"]


def test_a_failing_embedder_costs_no_item() -> None:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        raise OSError("no route to the model")

    with RemanenceStore(":memory:", index={"dims": 32, "embed": embed}) as store:
        store.put(("a",), "k", {"text": "green tea"})
        assert [item.key for item in store.search(("a",), query="tea")] == ["k"]


def test_many_coroutines_at_once(tmp_path: Path) -> None:
    async def main(store: RemanenceStore) -> int:
        await asyncio.gather(*(store.aput(("a",), f"k{number % 10}", {"v": number}) for number in range(40)))
        return len(await store.asearch(("a",), limit=99))

    with RemanenceStore(tmp_path / "s.db") as store:
        assert asyncio.run(main(store)) == 10


# Texts and filters


@pytest.mark.parametrize(
    ("value", "text"),
    [({"content": "likes tea"}, "likes tea"), ({"kind": "M", "content": {"content": "x"}}, "kind: M\ncontent: x"),
     ({"a": [1, "b"], "c": None}, "a: 1\nb\nc: null"), ({}, ""), ({"data": {"text": "deep"}}, "deep")],
)  # fmt: skip
def test_values_as_words(value: dict[str, Any], text: str) -> None:
    assert plain_text(value) == text


def test_deep_values_stay_json_below_a_depth() -> None:
    deep: Any = "core"
    for _ in range(200):
        deep = {"a": [deep]}
    assert "core" in plain_text(deep)


def test_blank_texts_are_not_indexed() -> None:
    assert IndexedFields(["a", "b"]).texts({"a": "  ", "b": "x"}) == ["x"]
    with RemanenceStore(":memory:") as store:
        store.put(("a",), "k", {})
        assert store.search(("a",), query="anything") == []
        assert store.get(("a",), "k") is not None


def test_nested_filters() -> None:
    with RemanenceStore(":memory:") as store:
        store.put(("a",), "k", {"meta": {"lang": "de", "stars": 4}, "tags": ["x"]})
        for where, found in (
            ({"meta": {"lang": "de"}}, 1), ({"meta": {"lang": "en"}}, 0), ({"meta": {"stars": {"$gt": 3}}}, 1),
            ({"meta": {"$eq": {"lang": "de", "stars": 4}}}, 1), ({"meta": {"$eq": {"lang": "de"}}}, 0),
            ({"tags": ["x"]}, 1), ({"tags": ["y"]}, 0), ({"tags": {"$ne": ["x"]}}, 0),
        ):  # fmt: skip
            assert len(store.search(("a",), filter=where)) == found, where


# Bad input


@pytest.mark.parametrize(
    ("op", "error", "words"),
    [
        (GetOp(("a.b",), "k"), InvalidNamespaceError, "'a.b'"),
        (GetOp((), "k"), InvalidNamespace, "at least 1"),
        (GetOp("ab", "k"), InvalidNamespaceError, "'ab'"),  # type: ignore[arg-type]
        (GetOp(("a\x00",), "k"), InvalidNamespaceError, "NUL"),
        (GetOp(("a",), 7), InvalidInput, "key=7"),  # type: ignore[arg-type]
        (GetOp(("a" * 600,), "k"), InvalidInput, "the limit is 512"),
        (GetOp(("a",), "k" * 600), InvalidInput, "the limit is 512"),
        (GetOp(("a",), "\ud800"), InvalidInput, "surrogate"),
        (PutOp(("langgraph", "x"), "k", {"v": 1}), InvalidNamespaceError, "reserved"),
        (PutOp(("a",), "k", {"v": object()}), InvalidInput, "JSON"),
        (PutOp(("a",), "k", {"v": float("nan")}), InvalidInput, "JSON"),
        (PutOp(("a",), "k", {1: 2}), InvalidInput, "key 1"),  # type: ignore[dict-item]
        (PutOp(("a",), "k", "text"), InvalidInput, "value must be a mapping"),  # type: ignore[arg-type]
        (PutOp(("a",), "k", {"v": 1}, ttl=-1), InvalidInput, "ttl=-1"),
        (PutOp(("a",), "k", {"v": 1}, ttl=1e12), InvalidInput, "minutes"),
        (PutOp(("a",), "k", {"v": 1}, ttl=True), InvalidInput, "ttl=True"),
        (PutOp(("a",), "k", {"v": 1}, index="text"), InvalidInput, "index='text'"),  # type: ignore[arg-type]
        (PutOp(("a",), "k", {"v": 1}, index=[""]), InvalidInput, "list of paths"),
        (SearchOp(("a",), filter={"n": {"$near": 1}}), InvalidFilter, "'\\$near'"),
        (SearchOp(("a",), filter={"n": {"m": {"$near": 1}}}), InvalidFilter, "n.m"),
        (SearchOp(("a",), filter=[1]), InvalidFilter, "mapping"),  # type: ignore[arg-type]
        (SearchOp(("a",), filter={1: 1}), InvalidFilter, "key 1"),  # type: ignore[dict-item]
        (SearchOp(("a",), limit=-1), InvalidInput, "limit=-1"),
        (SearchOp(("a",), offset=True), InvalidInput, "offset=True"),
        (SearchOp(("a",), query=7), InvalidInput, "query"),  # type: ignore[arg-type]
        (ListNamespacesOp((MatchCondition("infix", ("a",)),)), InvalidInput, "infix"),  # type: ignore[arg-type]
        (ListNamespacesOp(max_depth=-1), InvalidInput, "-1"),
        ("put", InvalidInput, "'put' is none of"),
    ],
)  # fmt: skip
def test_bad_operations_are_refused_and_nothing_is_stored(op: Any, error: type[Exception], words: str) -> None:
    with RemanenceStore(":memory:") as store:
        with pytest.raises(error, match=words) as caught:
            store.batch([PutOp(("a",), "good", {"v": 1}), op])
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, RemanenceError)
        assert store.search(()) == []


def test_a_configuration_that_says_nothing_is_refused() -> None:
    for index in (True, {"embed": HashEmbedder(8).embed, "dims": 0}, {"fields": "text"}):
        with pytest.raises(InvalidInput):
            RemanenceStore(":memory:", index=index)


def test_it_opens_as_langgraphs_own_store_does(tmp_path: Path) -> None:
    with RemanenceStore.from_conn_string(str(tmp_path / "s.db"), ttl={"default_ttl": 5}) as store:
        store.setup()
        store.put(("a",), "k", {"v": 1})
    with RemanenceStore.from_conn_string(str(tmp_path / "s.db")) as store:
        assert store.get(("a",), "k") is not None

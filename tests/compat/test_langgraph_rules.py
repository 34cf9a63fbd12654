"""The rules for LangGraph stores: ours keeps all of them, LangGraph's own fail where their reasons say, and stores that
are wrong on purpose are caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

pytest.importorskip("langgraph.store.sqlite")

from langgraph.store.base import BaseStore, GetOp, Item, ListNamespacesOp, Op, PutOp, Result, SearchItem, SearchOp

from remanence.compat.langgraph import RemanenceStore
from remanence.conformance.langgraph import LANGGRAPH_RULES, StoreFactory, check_langgraph_store
from tests.compat.stores import Stepped, in_memory, sqlite, sqlite_advance

TTL_RULES: Final = {rule.id for rule in LANGGRAPH_RULES if rule.when == "ttl"}
# What these stores do differently in the versions that the constraints pin.
IN_MEMORY: Final = {
    "L04": "each put makes a new item, with a new time of creation",
    "L06": "items are handed out as they are stored",
    "L16": "operands are compared as floats, whatever the field holds",
    "L24": "namespaces are keys of a dictionary, and stay",
    "L36": "vectors of paths that the new value lacks stay",
}
SQLITE: Final = {
    "L02": "times are those of SQLite's CURRENT_TIMESTAMP, without a zone",
    "L04": "a put replaces the row, with its time of creation",
    "L16": "fields are cast to numbers, and what is no number becomes 0",
    "L43": "refresh_ttl of a read counts only where the configuration refreshes too",
    "L46": "omit_expired is not supported",
}


def test_ours_keeps_all_rules_in_memory() -> None:
    stepped = Stepped(file=False)
    report = check_langgraph_store(stepped, advance=stepped.advance, subject="RemanenceStore")
    assert report.ok, str(report)
    assert report.counts == {"pass": len(LANGGRAPH_RULES) - 2, "not-claimed": 1, "cannot-run-here": 1}


def test_ours_keeps_rules_on_a_file() -> None:
    stepped = Stepped(file=True)
    only = {"L01", "L04", "L05", "L08", "L11", "L13", "L26", "L27", "L28", "L36", "L42"}
    report = check_langgraph_store(stepped, advance=stepped.advance, reopen=stepped.reopen, only=only)
    assert report.counts == {"pass": len(only)}, str(report)


def test_langgraphs_store_in_memory() -> None:
    report = check_langgraph_store(in_memory, waivers=IN_MEMORY, subject="InMemoryStore")
    assert report.ok, str(report)
    assert report.counts["known"] == len(IN_MEMORY)
    assert report.counts["not-claimed"] == len(TTL_RULES)


def test_langgraphs_store_on_sqlite() -> None:
    # Its index needs an extension that not every build of Python can load, and it has no asynchronous side.
    report = check_langgraph_store(
        sqlite, claimed={"ttl"}, waivers=SQLITE, advance=sqlite_advance, subject="SqliteStore"
    )
    assert report.ok, str(report)
    assert report.counts["known"] == len(SQLITE)


def test_rules_have_stable_distinct_ids_and_say_what_they_promise() -> None:
    ids = [rule.id for rule in LANGGRAPH_RULES]
    assert ids == sorted(set(ids))
    assert all(rule.title.endswith(".") and rule.id.startswith("L") for rule in LANGGRAPH_RULES)


def test_a_waiver_of_no_rule_is_stale() -> None:
    report = check_langgraph_store(in_memory, only={"L01"}, waivers={"L01": "no reason", "L99": "none"})
    assert [(verdict.rule, verdict.status) for verdict in report.failed] == [("L01", "stale-waiver")]


class Adversary(RemanenceStore):
    """Answers as ours does, but for what a subclass breaks."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return [self.answer(op, super(Adversary, self).batch([op])[0]) for op in self.operations(list(ops))]

    def operations(self, ops: list[Op]) -> list[Op]:
        return ops

    def answer(self, op: Op, result: Any) -> Result:
        return result  # type: ignore[no-any-return]


class PrefixLeak(Adversary):
    """A namespace is a text, and search a LIKE with a wildcard behind it."""

    def answer(self, op: Op, result: Any) -> Result:
        if not isinstance(op, SearchOp) or not op.namespace_prefix:
            return super().answer(op, result)
        wanted = ".".join(op.namespace_prefix)
        found: list[SearchItem] = RemanenceStore.batch(self, [op._replace(namespace_prefix=(), limit=1000)])[0]  # type: ignore[assignment]
        return [item for item in found if ".".join(item.namespace).startswith(wanted)]


class FoldsCase(Adversary):
    """Labels are compared without regard to case."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return [
            op._replace(namespace=tuple(label.casefold() for label in op.namespace))
            if isinstance(op, GetOp | PutOp)
            else op
            for op in ops
        ]


class ForgetsCreation(Adversary):
    """A put is a delete and an insert."""

    def operations(self, ops: list[Op]) -> list[Op]:
        for op in ops:
            if isinstance(op, PutOp):
                RemanenceStore.batch(self, [op._replace(value=None)])
        return ops


class SortsReads(Adversary):
    """Reads are grouped by kind, and answered in the order of the groups."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return sorted(ops, key=lambda op: type(op).__name__)


class FirstPutCounts(Adversary):
    """Puts of a batch are done from the last to the first."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return list(reversed(ops)) if all(isinstance(op, PutOp) for op in ops) else ops


class MergesValues(Adversary):
    """A put updates the fields that it names."""

    def operations(self, ops: list[Op]) -> list[Op]:
        changed: list[Op] = []
        for op in ops:
            if isinstance(op, PutOp) and op.value is not None:
                (old,) = RemanenceStore.batch(self, [GetOp(op.namespace, op.key)])
                before = old.value if isinstance(old, Item) else {}
                op = op._replace(value={**before, **op.value})
            changed.append(op)
        return changed


class LimitsBeforeFiltering(Adversary):
    """The filter is applied to the page."""

    def operations(self, ops: list[Op]) -> list[Op]:
        self.asked = ops
        return [op._replace(filter=None) if isinstance(op, SearchOp) else op for op in ops]

    def answer(self, op: Op, result: Any) -> Result:
        where = next((one.filter for one in self.asked if isinstance(one, SearchOp)), None)
        if not isinstance(op, SearchOp) or not where:
            return super().answer(op, result)
        return [item for item in result if all(item.value.get(key) == wanted for key, wanted in where.items())]


class ListsParents(Adversary):
    """A namespace brings all of its parents into the list."""

    def answer(self, op: Op, result: Any) -> Result:
        if not isinstance(op, ListNamespacesOp):
            return super().answer(op, result)
        return sorted({space[:end] for space in result for end in range(1, len(space) + 1)})


class IgnoresIndex(Adversary):
    """`index` of a put is passed over."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return [op._replace(index=None) if isinstance(op, PutOp) else op for op in ops]


class NeverExpires(Adversary):
    """The ttl is passed over."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return [op._replace(ttl=None) if isinstance(op, PutOp) else op for op in ops]


class ReadsNeverProlong(Adversary):
    """Expiry counts from the put."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return [op._replace(refresh_ttl=False) if isinstance(op, GetOp | SearchOp) else op for op in ops]


class ReadsAlwaysProlong(Adversary):
    """Whatever `refresh_ttl` says."""

    def operations(self, ops: list[Op]) -> list[Op]:
        return [op._replace(refresh_ttl=True) if isinstance(op, GetOp | SearchOp) else op for op in ops]


class ScoresBackwards(Adversary):
    """Distances taken for scores: the farthest comes first."""

    def answer(self, op: Op, result: Any) -> Result:
        return list(reversed(result)) if isinstance(op, SearchOp) and op.query else super().answer(op, result)


class NoPagesOfHits(Adversary):
    """A query looks at no more than its limit, whatever the offset."""

    def answer(self, op: Op, result: Any) -> Result:
        return [] if isinstance(op, SearchOp) and op.query and op.offset else super().answer(op, result)


def of(kind: type[RemanenceStore]) -> tuple[StoreFactory, Callable[..., None]]:
    stepped = Stepped(file=False, kind=kind)
    return stepped, stepped.advance


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (PrefixLeak, "L08"), (FoldsCase, "L07"), (ForgetsCreation, "L04"), (SortsReads, "L12"),
        (FirstPutCounts, "L13"), (MergesValues, "L03"), (LimitsBeforeFiltering, "L19"), (ListsParents, "L20"),
        (IgnoresIndex, "L33"), (NeverExpires, "L41"), (ReadsNeverProlong, "L42"), (ReadsAlwaysProlong, "L43"),
        (ScoresBackwards, "L30"), (NoPagesOfHits, "L39"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_an_adversary_is_caught_by_its_rule(kind: type[RemanenceStore], rule: str) -> None:
    factory, advance = of(kind)
    report = check_langgraph_store(factory, advance=advance, only={rule})
    assert [verdict.rule for verdict in report.failed] == [rule], str(report)
    assert report.failed[0].status == "fail"


def test_a_store_that_loses_what_it_had_is_caught() -> None:
    stepped = Stepped(file=False)

    @contextmanager
    def empty(store: BaseStore) -> Iterator[BaseStore]:
        with RemanenceStore(":memory:") as other:
            yield other

    (verdict,) = check_langgraph_store(stepped, reopen=empty, only={"L27"}).verdicts
    assert verdict.status == "fail"

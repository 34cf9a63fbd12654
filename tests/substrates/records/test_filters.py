from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidFilter, InvalidTime
from remanence.core.scope import Scope
from remanence.substrates.records.filters import MAX_DEPTH, compile_filter, mentions, split_scope
from remanence.substrates.records.model import Record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
META: dict[str, Any] = {
    "city": "Oslo",
    "rating": 4,
    "half": 4.0,
    "share": 0.5,
    "yes": True,
    "nothing": None,
    "tags": ["work", "Fun", 3],
    "address": {"city": "Bergen", "zip": {"code": "5003"}},
    "a.b": "dotted",
    "a": {"b": "nested", "c": 1},
    "x.y": {"z": "half dotted"},
    "meta": {"deep": 1},
    "kind": "shadowed",
    "seen": "2026-03-01T10:00:00+02:00",
    "empty": "",
    "list": [],
}


def record(**fields: Any) -> Record:
    values: dict[str, Any] = {
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "version": 2,
        "kind": "fact",
        "text": "Ana moved to Straße 5",
        "scope": Scope(user_id="ana", run_id="7"),
        "event_at": NOON,
        "zone": "Europe/Oslo",
        "valid_from": NOON - timedelta(days=1),
        "valid_to": None,
        "recorded_at": NOON + timedelta(hours=1),
        "closed_at": None,
        "ended_at": None,
        "speaker": "Ana",
        "role": None,
        "language": "en",
        "sources": (),
        "meta": META,
        "terms": (),
        "state": "generated",
    }
    return Record(**{**values, **fields})


RECORD = record()


def holds(where: Mapping[str, Any]) -> bool:
    return compile_filter(where)(RECORD)


@pytest.mark.parametrize(
    "where",
    [
        {},
        # every promoted field and alias
        {"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {"kind": "fact"}, {"role": None}, {"speaker": "Ana"}, {"language": "en"},
        {"state": "generated"}, {"version": 2}, {"text": {"contains": "moved"}}, {"memory": {"contains": "moved"}},
        {"event_at": NOON}, {"valid_from": {"lt": NOON}}, {"valid_to": None}, {"recorded_at": {"gt": NOON}},
        {"created_at": {"gt": NOON}}, {"user_id": "ana"}, {"run_id": "7"}, {"session_id": "7"}, {"run_id": 7},
        {"agent_id": None}, {"app_id": None}, {"project_id": None}, {"run_id": {"in": [6, 7]}},
        # metadata: bare, prefixed, nested, with dots in keys
        {"city": "Oslo"}, {"meta.city": "Oslo"}, {"metadata.city": "Oslo"}, {"address.city": "Bergen"},
        {"meta.address.zip.code": "5003"}, {"a.b": "dotted"}, {"a.c": 1}, {"x.y.z": "half dotted"},
        {"meta.kind": "shadowed"}, {"meta.meta.deep": 1}, {"meta.deep": None}, {"meta.meta": "*"},
        {"address": {"eq": {"city": "Bergen", "zip": {"code": "5003"}}}}, {"tags": ["work", "Fun", 3]},
        # operators in both spellings
        {"rating": {"eq": 4}}, {"rating": {"ne": 5}}, {"rating": {"in": [3, 4]}}, {"rating": {"nin": [5]}},
        {"rating": {"gt": 3}}, {"rating": {"gte": 4}}, {"rating": {"lt": 5}}, {"rating": {"lte": 4}},
        {"rating": {"$eq": 4}}, {"rating": {"$ne": 5}}, {"rating": {"$in": (3, 4)}}, {"rating": {"$nin": {5}}},
        {"rating": {"$gt": 3}}, {"rating": {"$gte": 4}}, {"rating": {"$lt": 5}}, {"rating": {"$lte": 4}},
        {"rating": {"gte": 4, "lt": 4.5, "ne": 3}}, {"city": {"gt": "Bergen", "lt": "Paris"}}, {"half": 4},
        {"rating": 4.0},
        {"share": {"gt": 0, "lt": 1}},
        # contains, in strings and lists, and without regard to case
        {"city": {"contains": "sl"}}, {"city": {"contains": ""}}, {"city": {"icontains": "OSL"}},
        {"text": {"icontains": "STRASSE"}}, {"tags": {"contains": "work"}}, {"tags": {"contains": 3}},
        {"tags": {"icontains": "FUN"}}, {"tags": {"icontains": 3}},
        # presence and absence
        {"city": "*"}, {"speaker": "*"}, {"user_id": "*"}, {"empty": "*"}, {"list": "*"}, {"yes": "*"},
        {"nothing": None}, {"missing": None}, {"missing": {"ne": 1}}, {"missing": {"nin": [1]}},
        {"missing": {"in": [None]}},
        {"city": {"ne": "*"}}, {"city": {"ne": None}},
        # times: ISO strings, other zones, dates, Unix seconds; metadata as instants for datetimes
        {"event_at": "2026-03-01T12:00:00+00:00"}, {"event_at": "2026-03-01T13:00+01:00"},
        {"event_at": "2026-03-01T12:00"},
        {"event_at": {"gte": "2026-03-01", "lt": "2026-03-02"}}, {"event_at": {"gte": date(2026, 3, 1)}},
        {"event_at": NOON.timestamp()}, {"event_at": {"gt": 0}},
        {"event_at": {"in": ["2020-01-01", "2026-03-01T12:00Z"]}},
        {"event_at": {"ne": "no time"}}, {"event_at": {"lt": datetime(2027, 1, 1)}}, {"seen": {"lt": NOON}},
        {"seen": datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1)))}, {"seen": {"gt": date(2026, 3, 1)}},
        # logic
        {"AND": []}, {"NOT": []}, {"AND": [{"kind": "fact"}, {"version": 2}]}, {"OR": [{"kind": "note"},
        {"version": 2}]},
        {"NOT": [{"kind": "note"}, {"version": 3}]}, {"NOT": {"kind": "note"}}, {"$and": [{"kind": "fact"}]},
        {"$or": [{"kind": "fact"}]}, {"$not": {"kind": "note"}}, {"OR": {"kind": "fact"}},
        {"kind": "fact", "OR": [{"AND": [{"city": "Oslo"}, {"NOT": [{"rating": 5}]}]}]},
    ],
)  # fmt: skip
def test_what_holds(where: dict[str, Any]) -> None:
    assert holds(where)
    assert not holds({"NOT": [where]})


@pytest.mark.parametrize(
    "where",
    [
        {"kind": "note"}, {"kind": "shadowed"}, {"version": "2"}, {"version": True}, {"yes": 1}, {"yes": {"gt": 0}},
        {"rating": "4"}, {"rating": {"gt": "3"}}, {"rating": {"lt": None}}, {"city": {"gt": 3}},
        {"city": {"lt": ["x"]}},
        {"rating": {"gt": True}}, {"tags": {"gt": 1}}, {"address": {"gt": {}}}, {"missing": {"gt": 0}},
        {"missing": {"contains": ""}}, {"rating": {"contains": 4}}, {"rating": {"contains": "4"}},
        {"city": {"contains": 3}},
        {"city": {"contains": "OSL"}}, {"address": {"contains": "city"}}, {"tags": {"contains": "fun"}},
        {"rating": {"in": []}}, {"rating": {"in": ["4"]}}, {"nothing": "*"}, {"missing": "*"}, {"role": "*"},
        {"agent_id": "*"}, {"valid_to": "*"}, {"valid_to": {"gt": "2020-01-01"}}, {"event_at": "no time"},
        {"event_at": {"gt": "no time"}}, {"event_at": {"gt": [1]}}, {"event_at": {"lt": True}},
        {"event_at": {"lt": None}},
        {"event_at": {"gt": float("nan")}}, {"rating": {"lt": float("nan")}}, {"share": float("nan")},
        {"event_at": {"contains": "2026"}}, {"event_at": "2026-03-01"}, {"seen": "2026-03-01T08:00:00+00:00"},
        {"city": {"lt": NOON}}, {"city": "*a*"}, {"city": {"eq": "*"}}, {"text": "Ana"}, {"user_id": "an"},
        {"user_id": True}, {"a.b": "nested"}, {"a.b.c": "*"}, {"address.city.name": "*"}, {"address": "Bergen"},
        {"tags": ["Fun", "work", 3]}, {"address": {"eq": {"city": "Bergen"}}}, {"OR": []}, {"AND": [{"kind": "note"}]},
        {"kind": "fact", "version": 3}, {"rating": {"gte": 4, "gt": 4}},
    ],
)  # fmt: skip
def test_what_does_not_hold(where: dict[str, Any]) -> None:
    assert not holds(where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"rating": {"gtt": 3}},
            "unknown operator 'gtt' on 'rating'; use one of eq, ne, in, nin, gt, gte, lt,",
        ),
        ({"rating": {"$regex": "x"}}, "unknown operator '$regex'"),
        ({"rating": {"$contains": "x"}}, "unknown operator '$contains'"),
        ({"rating": {"eq": 1, "like": 3}}, "unknown operator 'like'"),
        ({"address": {"city": "Bergen"}}, "is written 'address.city'"),
        ({"rating": {3: 4}}, "unknown operator 3"),
        ({"rating": {}}, "the condition on 'rating' is empty"),
        ({"rating": {"in": 4}}, "in on 'rating' takes a list"),
        ({"rating": {"nin": "abc"}}, "nin on 'rating' takes a list"),
        ({"$xor": []}, "unknown filter key '$xor'"),
        ({"": 1}, "unknown filter key ''"),
        ({3: 1}, "filter key 3 must be a string"),
        ({"AND": "x"}, "AND takes a list of filters"),
        ({"OR": [3]}, "a filter must be a mapping"),
        ({"NOT": [{"x": {"like": 1}}]}, "unknown operator 'like'"),
        (["kind"], "a filter must be a mapping"),
        (None, "a filter must be a mapping"),
    ],
)
def test_what_is_malformed_is_refused_by_name(where: Any, message: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        compile_filter(where)
    assert message in str(caught.value)


def test_known_operators_are_listed() -> None:
    with pytest.raises(InvalidFilter) as caught:
        compile_filter({"x": {"like": 1}})
    for name in ("eq", "ne", "in", "nin", "gt", "gte", "lt", "lte", "contains", "icontains", "$eq", "$lte", "$nin"):
        assert name in str(caught.value)


def nested(levels: int, key: str = "AND") -> dict[str, Any]:
    where: dict[str, Any] = {"kind": "fact"}
    for _ in range(levels):
        where = {key: [where]}
    return where


def test_depth_is_limited() -> None:
    assert holds(nested(MAX_DEPTH - 1))
    for levels in (MAX_DEPTH, 5000):
        with pytest.raises(InvalidFilter, match=f"more than {MAX_DEPTH} levels"):
            compile_filter(nested(levels))
        with pytest.raises(InvalidFilter, match=f"more than {MAX_DEPTH} levels"):
            split_scope(nested(levels))
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidFilter, match="the value for 'x' is nested"):
        compile_filter({"x": deep})


class Nowhere(tzinfo):
    """A zone that does not know its offset: such a datetime is naive in all but name."""

    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


def test_times_at_the_edges_of_what_can_be_said() -> None:
    assert holds({"event_at": {"lt": datetime(2027, 1, 1, tzinfo=Nowhere())}})
    assert holds({"event_at": {"gt": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}})
    assert holds({"event_at": {"lt": datetime.max}, "seen": {"gt": datetime.min}})
    assert not holds({"event_at": {"lt": 1e300}})


def test_a_filter_keeps_nothing_of_the_callers() -> None:
    allowed = ["Oslo"]
    accepts = compile_filter({"city": {"in": allowed}})
    allowed.clear()
    assert accepts(RECORD)


@pytest.mark.parametrize(
    ("filters", "ids", "rest"),
    [
        ({}, {}, {}),
        ({"user_id": "ana"}, {"user_id": "ana"}, {}),
        ({"user_id": {"eq": "ana"}, "agent_id": {"$eq": "bot"}}, {"user_id": "ana", "agent_id": "bot"}, {}),
        ({"session_id": "r", "project_id": 5, "city": "Oslo"}, {"run_id": "r", "app_id": 5}, {"city": "Oslo"}),
        ({"AND": [{"user_id": "ana"}, {"city": "Oslo"}]}, {"user_id": "ana"}, {"AND": [{"city": "Oslo"}]}),
        ({"AND": [{"user_id": "ana", "x": 1}, {"$and": [{"run_id": "r"}]}]}, {"user_id": "ana", "run_id": "r"},
         {"AND": [{"x": 1}]}),
        ({"user_id": "*"}, {}, {"user_id": "*"}),
        ({"user_id": {"in": ["ana"]}}, {}, {"user_id": {"in": ["ana"]}}),
        ({"user_id": {"ne": "ana"}}, {}, {"user_id": {"ne": "ana"}}),
        ({"user_id": {"eq": "ana", "ne": "bo"}}, {}, {"user_id": {"eq": "ana", "ne": "bo"}}),
        ({"user_id": None}, {}, {"user_id": None}),
        ({"user_id": True}, {}, {"user_id": True}),
        ({"user_id": ""}, {"user_id": ""}, {}),
        ({"OR": [{"user_id": "ana"}]}, {}, {"OR": [{"user_id": "ana"}]}),
        ({"NOT": [{"user_id": "ana"}]}, {}, {"NOT": [{"user_id": "ana"}]}),
        ({"user_id": "ana", "AND": [{"user_id": "bo"}]}, {"user_id": "ana"}, {"AND": [{"user_id": "bo"}]}),
        ({"run_id": 7, "session_id": "7"}, {"run_id": 7}, {}),
        ({"run_id": "7", "session_id": "8"}, {"run_id": "7"}, {"session_id": "8"}),
        ({"AND": ["x"]}, {}, {"AND": ["x"]}),
    ],
)  # fmt: skip
def test_split_scope(filters: dict[str, Any], ids: dict[str, Any], rest: dict[str, Any]) -> None:
    assert split_scope(filters) == (ids, rest)


@pytest.mark.parametrize(
    ("where", "names", "said"),
    [
        ({}, {"state"}, False), ({"state": "archived"}, {"state"}, True), ({"state": "*"}, ("trust", "state"), True),
        ({"trust": {"lte": 0}}, {"state"}, False), ({"meta.state": "x"}, {"state"}, False),
        ({"metadata.trust": 1}, {"trust"}, False), ({"NOT": [{"OR": [{}, {"trust": 1}]}]}, {"trust"}, True),
        ({"$not": {"$or": {"$and": [{"state": 1}]}}}, {"state"}, True),
        ({"AND": [{"kind": "state"}]}, {"state"}, False),
        ({"session_id": "r"}, {"run_id"}, True), ({"memory": "x"}, {"text"}, True), ({"state": 1}, (), False),
        ({"AND": ["state", {"x": {"state": 1}}]}, {"state"}, False),
    ],
)  # fmt: skip
def test_mentions(where: dict[str, Any], names: Collection[str], said: bool) -> None:
    assert mentions(where, names) is said
    assert mentions({"kind": "fact", "OR": [{"AND": [where]}]}, names) is said


def test_mentions_refuses_what_is_no_filter_or_too_deep() -> None:
    with pytest.raises(InvalidFilter, match="must be a mapping, not str"):
        mentions("state", {"state"})  # type: ignore[arg-type]
    deep: dict[str, Any] = {"kind": "fact"}
    for _ in range(40):
        deep = {"AND": [deep]}
    with pytest.raises(InvalidFilter, match="nested more than"):
        mentions(deep, {"state"})


def test_origin_and_trust_are_fields() -> None:
    subject = record(origin="derived:facts", trust=0.5, meta={"origin": "elsewhere", "trust": "none"})
    for where in ({"origin": "derived:facts"}, {"trust": {"gt": 0, "lte": 0.5}}, {"meta.origin": "elsewhere"}):
        assert compile_filter(where)(subject)
    assert not compile_filter({"trust": "none"})(subject)


def test_split_scope_refuses_what_is_no_filter() -> None:
    with pytest.raises(InvalidFilter, match="must be a mapping, not str"):
        split_scope("user_id")  # type: ignore[arg-type]


KEYS = ("a", "b", "a.b", "kind", "speaker", "event_at", "user_id", "version")
scalars = st.sampled_from(
    [None, True, False, 0, 1, 2, 1.0, 0.5, "", "x", "X", "xy", "ana", "2026-03-01T12:00:00Z", "*", NOON]
)
values = st.recursive(
    scalars.filter(lambda value: not isinstance(value, datetime)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)
metas = st.dictionaries(st.sampled_from(["a", "b", "a.b"]), values, max_size=3)
OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "contains", "icontains", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
tests = st.dictionaries(st.sampled_from(OPERATORS), scalars | values, min_size=1, max_size=2) | st.dictionaries(
    st.sampled_from(["in", "nin", "$in", "$nin"]), st.lists(scalars, max_size=3), min_size=1, max_size=2
)
conditions = scalars | st.lists(scalars, max_size=2) | tests
wheres = st.recursive(
    st.dictionaries(st.sampled_from(KEYS), conditions, max_size=2),
    lambda inner: st.dictionaries(
        st.sampled_from(["AND", "OR", "NOT", "$and", "$or", "$not"]), st.lists(inner, max_size=3), max_size=2
    ),
    max_leaves=5,
)
records = st.builds(
    lambda meta, kind, speaker, hours: record(
        meta=meta, kind=kind, speaker=speaker, event_at=NOON + timedelta(hours=hours)
    ),
    metas,
    st.sampled_from(["x", "fact"]),
    st.sampled_from([None, "x", "Xy", ""]),
    st.integers(-1, 1),
)


def naive(where: dict[str, Any], subject: Record) -> bool:
    """The language once more, evaluated in one pass over the filter, with types as sets of comparable values."""
    answers = []
    for key, condition in where.items():
        if key.strip("$").upper() in ("AND", "OR", "NOT"):
            parts = [naive(part, subject) for part in condition]
            answers.append({"AND": all(parts), "OR": any(parts), "NOT": not any(parts)}[key.strip("$").upper()])
            continue
        value = naive_value(key, subject)
        if condition == "*" and isinstance(condition, str):
            answers.append(value is not None)
            continue
        for operator, operand in (condition if isinstance(condition, dict) else {"eq": condition}).items():
            answers.append(naive_operator(operator.strip("$"), key, value, operand))
    return all(answers)


def naive_value(key: str, subject: Record) -> Any:
    if key == "user_id":
        return subject.scope.user_id
    if hasattr(subject, key):
        return getattr(subject, key)
    parts = key.split(".")
    found = []
    for cuts in itertools.product([".", None], repeat=len(parts) - 1):
        path = [parts[0]]
        for part, join in zip(parts[1:], cuts, strict=True):
            path[-1:] = [path[-1] + join + part] if join else [path[-1], part]
        value: Any = subject.meta
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        found.append(value)
    if key in subject.meta:
        return subject.meta[key]
    return next((value for value in found if value is not None), None)


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def naive_operator(operator: str, key: str, value: Any, operand: Any) -> bool:
    if operator in ("in", "nin"):
        return (operator == "in") == any(naive_operator("eq", key, value, item) for item in operand)
    if operator == "ne":
        return not naive_operator("eq", key, value, operand)
    if key == "user_id" and kind_of(operand) == "number":
        operand = str(operand)
    if key == "event_at" or isinstance(operand, datetime):
        try:
            value, operand = (item if isinstance(item, datetime) else parse_time(item) for item in (value, operand))
        except InvalidTime:
            return False
    if operator == "icontains":
        return naive_operator("contains", key, naive_fold(value), naive_fold(operand))
    if operator == "contains":
        if isinstance(value, list):
            return any(naive_same(item, operand) for item in value)
        return isinstance(value, str) and isinstance(operand, str) and operand in value
    if operator == "eq":
        return naive_same(value, operand)
    if kind_of(value) != kind_of(operand) or kind_of(value) not in ("number", "str", "datetime"):
        return False
    orders = {"gt": value > operand, "gte": value >= operand, "lt": value < operand, "lte": value <= operand}
    return bool(orders[operator])


def naive_fold(value: Any) -> Any:
    if isinstance(value, list):
        return [naive_fold(item) for item in value]
    return value.casefold() if isinstance(value, str) else value


def naive_same(a: Any, b: Any) -> bool:
    if kind_of(a) != kind_of(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(naive_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(naive_same(a[name], b[name]) for name in a)
    return bool(a == b)


@given(wheres, records)
def test_agrees_with_the_naive_evaluator(where: dict[str, Any], subject: Record) -> None:
    assert compile_filter(where)(subject) == naive(where, subject)


@given(wheres, records)
def test_logic_laws(where: dict[str, Any], subject: Record) -> None:
    accepts = compile_filter(where)(subject)
    assert compile_filter({"NOT": [where]})(subject) != accepts
    assert compile_filter({"AND": [where, where]})(subject) == accepts
    assert compile_filter({"OR": [where, {"NOT": where}]})(subject)
    assert compile_filter({"NOT": [{"NOT": where}]})(subject) == accepts


@given(wheres, records)
def test_splitting_off_the_scope_changes_no_answer(where: dict[str, Any], subject: Record) -> None:
    ids, rest = split_scope(where)
    again = {"AND": [{key: {"eq": value}} for key, value in ids.items()] + [rest]}
    assert compile_filter(again)(subject) == compile_filter(where)(subject)

"""The filter language: one predicate over records, written with mem0's operators or with LangGraph's.

    {"speaker": "Ana", "meta.city": "Oslo"}                  all conditions must hold
    {"event_at": {"gte": "2026-01-01", "lt": "2026-02-01"}}  several operators on one field must all hold
    {"meta.rating": {"$gte": 4}, "meta.tags": {"contains": "work"}}
    {"OR": [{"kind": "fact"}, {"NOT": [{"role": "user"}]}], "meta.source": "*"}

Fields: `id kind role speaker language state origin trust version text` (`memory`), the times `event_at valid_from
valid_to recorded_at` (`created_at`), the scope ids `user_id agent_id run_id app_id` (`session_id`, `project_id`), and
any key of the metadata, bare or after `meta.` / `metadata.`; dots descend into objects. A key that is itself spelt with
dots wins.

Operators: `eq ne in nin gt gte lt lte contains icontains` and `$eq $ne $in $nin $gt $gte $lt $lte`; `"*"` in place of a
condition means that the field is present; `AND OR NOT` (`$and $or $not`) combine filters; NOT means that none holds.
Anything else is `InvalidFilter`.

Values of different types are never equal and never ordered: such a condition is False, `ne` and `nin` True. True and 1
are different types; whole and fractional numbers are not. Times compare as instants, with datetimes, ISO strings or
Unix seconds; metadata is compared as an instant when the operand is a datetime. An absent field is None: equal to None,
different from all else, ordered with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any, Final

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidFilter, InvalidTime
from remanence.core.scope import FIELDS as SCOPE_FIELDS
from remanence.core.scope import SYNONYMS
from remanence.substrates.records.model import Record

Predicate = Callable[[Record], bool]
Getter = Callable[[Record], Any]
Test = Callable[[Any], bool]

MAX_DEPTH: Final = 32
"""Levels of AND, OR and NOT, and of nesting in an operand."""

_ATTRIBUTES: Final = ("id", "kind", "role", "speaker", "language", "state", "origin", "trust", "version", "text")
_TIMES: Final = ("event_at", "valid_from", "valid_to", "recorded_at")
_ALIASES: Final = {"memory": "text", "created_at": "recorded_at", **SYNONYMS}
_META: Final = ("meta.", "metadata.")

_OPERATORS: Final = ("eq", "ne", "in", "nin", "gt", "gte", "lt", "lte", "contains", "icontains")
_DOLLAR: Final = {f"${name}": name for name in _OPERATORS[:8]}
_LOGIC: Final = {"AND": "AND", "OR": "OR", "NOT": "NOT", "$and": "AND", "$or": "OR", "$not": "NOT"}
_ORDER: Final[dict[str, Callable[[int], bool]]] = {
    "gt": lambda sign: sign > 0,
    "gte": lambda sign: sign >= 0,
    "lt": lambda sign: sign < 0,
    "lte": lambda sign: sign <= 0,
}


def compile_filter(where: Mapping[str, Any]) -> Predicate:
    """Read a filter once and return the predicate that it stands for; the empty filter accepts every record.

    Raises `InvalidFilter` naming the offending key or operator.
    """
    tests = _read(where, 1)
    if not tests:
        return lambda record: True
    return _all(tests)


def split_scope(filters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate whom from what: `(scope ids, the remaining filter)`.

    Equalities on scope ids that must hold in any case (at the top level or inside a top-level AND) are taken out, under
    the names that `Scope` uses and with the values as given, ready for `Scope.of`. All else stays, also a second,
    different value for the same id (which then excludes everything) and `"*"`. Ids given as integers count as strings.
    """
    if not isinstance(filters, Mapping):
        raise InvalidFilter(f"filters must be a mapping, not {type(filters).__name__} {filters!r}")
    ids: dict[str, Any] = {}
    return ids, _split(filters, ids, 1)


def mentions(where: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a filter has a condition on one of these fields, at any depth of AND, OR and NOT.

    Names are those of fields (`state`, `user_id`); a filter may use their synonyms. Metadata does not count.
    """
    if not isinstance(where, Mapping):
        raise InvalidFilter(f"a filter must be a mapping, not {type(where).__name__} {where!r}")
    return _mentions(where, names, 1)


def _mentions(where: Mapping[str, Any], names: Collection[str], depth: int) -> bool:
    _check_depth(depth)
    for key, condition in where.items():
        if key not in _LOGIC:
            if _ALIASES.get(key, key) in names:
                return True
            continue
        parts = [condition] if isinstance(condition, Mapping) else condition
        if not isinstance(parts, Sequence):
            continue
        if any(_mentions(part, names, depth + 1) for part in parts if isinstance(part, Mapping)):
            return True
    return False


def _split(where: Mapping[str, Any], ids: dict[str, Any], depth: int) -> dict[str, Any]:
    _check_depth(depth)
    rest: dict[str, Any] = {}
    for key, condition in where.items():
        if _LOGIC.get(key) == "AND" and isinstance(condition, Sequence) and not isinstance(condition, str):
            parts = [_split(part, ids, depth + 1) if isinstance(part, Mapping) else part for part in condition]
            parts = [part for part in parts if part != {}]
            if parts:
                rest[key] = parts
            continue
        name = SYNONYMS.get(key, key)
        value = _equality(condition)
        if name in SCOPE_FIELDS and value is not None and _as_id(ids.setdefault(name, value)) == _as_id(value):
            continue
        rest[key] = condition
    return rest


def _equality(condition: Any) -> Any:
    """The string or integer that a condition asks a field to equal; None when it asks for anything else."""
    if isinstance(condition, Mapping) and len(condition) == 1:
        ((operator, condition),) = condition.items()
        if operator not in ("eq", "$eq"):
            return None
    elif condition == "*":
        return None
    if isinstance(condition, bool) or not isinstance(condition, str | int):
        return None
    return condition


def _as_id(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _read(where: Mapping[str, Any], depth: int) -> list[Predicate]:
    _check_depth(depth)
    if not isinstance(where, Mapping):
        raise InvalidFilter(f"a filter must be a mapping, not {type(where).__name__} {where!r}")
    tests: list[Predicate] = []
    for key, condition in where.items():
        if not isinstance(key, str):
            raise InvalidFilter(f"filter key {key!r} must be a string")
        if key in _LOGIC:
            tests.append(_logic(key, condition, depth))
        elif not key or key.startswith("$"):
            raise InvalidFilter(f"unknown filter key {key!r}; use a field name or one of {', '.join(_LOGIC)}")
        else:
            tests.append(_condition(key, condition))
    return tests


def _logic(key: str, parts: Any, depth: int) -> Predicate:
    if isinstance(parts, Mapping):
        parts = [parts]
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        raise InvalidFilter(f"{key} takes a list of filters, not {parts!r}")
    branches = [_all(_read(part, depth + 1)) for part in parts]
    match _LOGIC[key]:
        case "AND":
            return _all(branches)
        case "OR":
            return lambda record: any(branch(record) for branch in branches)
        case _:
            return lambda record: not any(branch(record) for branch in branches)


def _condition(key: str, condition: Any) -> Predicate:
    name = _ALIASES.get(key, key)
    get = _getter(name)
    if isinstance(condition, str) and condition == "*":
        return lambda record: get(record) is not None
    if not isinstance(condition, Mapping):
        condition = {"eq": condition}
    if not condition:
        raise InvalidFilter(f"the condition on {key!r} is empty; give a value, '*' or one of {', '.join(_OPERATORS)}")
    tests = []
    for operator, operand in condition.items():
        known = _DOLLAR.get(operator, operator) if isinstance(operator, str) else operator
        if known not in _OPERATORS:
            raise InvalidFilter(
                f"unknown operator {operator!r} on {key!r}; use one of {', '.join((*_OPERATORS, *_DOLLAR))} "
                f"(a field inside an object is written {f'{key}.{operator}'!r})"
            )
        tests.append(_test(name, known, _frozen(operand, key, 1)))
    return lambda record: all(test(get(record)) for test in tests)


def _test(name: str, operator: str, operand: Any) -> Test:
    if operator in ("in", "nin"):
        if not isinstance(operand, list):
            raise InvalidFilter(f"{operator} on {name!r} takes a list of values, not {operand!r}")
        among = [_same(_operand(name, item)) for item in operand]
        wanted = operator == "in"
        return lambda value: any(same(value) for same in among) is wanted
    operand = _operand(name, operand)
    if operator == "contains":
        return lambda value: _contains(value, operand)
    if operator == "icontains":
        return lambda value: _contains(_folded(value), _folded(operand))
    same = _same(operand)
    if operator == "eq":
        return same
    if operator == "ne":
        return lambda value: not same(value)
    holds = _ORDER[operator]

    def ordered(value: Any) -> bool:
        sign = _compare(value, operand)
        return sign is not None and holds(sign)

    return ordered


def _operand(name: str, operand: Any) -> Any:
    """The operand in the type of the field: an instant for times, a string for scope ids, unchanged elsewhere."""
    if name in _TIMES:
        return _instant(operand)
    return _as_id(operand) if name in SCOPE_FIELDS else operand


def _instant(value: Any) -> Any:
    """A datetime where the value can be read as one, the value itself where it cannot (and so equals no time)."""
    if value is None or isinstance(value, bool):
        return value
    try:
        return parse_time(value)
    except InvalidTime:
        return value


def _getter(name: str) -> Getter:
    if name in _ATTRIBUTES or name in _TIMES:
        return lambda record: getattr(record, name)
    if name in SCOPE_FIELDS:
        return lambda record: getattr(record.scope, name)
    path = next((name[len(prefix) :] for prefix in _META if name.startswith(prefix)), name)
    return lambda record: _descend(record.meta, path)


def _descend(value: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none; the longest key that fits is tried first."""
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return value[path]
    cut = path.rfind(".")
    while cut >= 0:
        head = path[:cut]
        if head in value:
            found = _descend(value[head], path[cut + 1 :])
            if found is not None:
                return found
        cut = path.rfind(".", 0, cut)
    return None


def _same(operand: Any) -> Test:
    return lambda value: _equal(value, operand)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(b, datetime):
        return _compare(a, b) == 0
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _compare(a: Any, b: Any) -> int | None:
    """-1, 0 or 1; None for values that have no order between them."""
    if isinstance(b, datetime):
        a = _instant(a)
        comparable = isinstance(a, datetime)
    elif isinstance(b, str):
        comparable = isinstance(a, str)
    else:
        comparable = _is_number(a) and _is_number(b)
    if not comparable or a != a or b != b:
        return None
    return -1 if a < b else int(a > b)


def _contains(value: Any, operand: Any) -> bool:
    if isinstance(value, str):
        return isinstance(operand, str) and operand in value
    return isinstance(value, list | tuple) and any(_equal(item, operand) for item in value)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    return [_folded(item) for item in value] if isinstance(value, list | tuple) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _frozen(operand: Any, key: str, depth: int) -> Any:
    """A private copy of an operand, so that the caller's later changes do not reach the compiled filter."""
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the value for {key!r} is nested more than {MAX_DEPTH} levels deep")
    if isinstance(operand, Mapping):
        return {name: _frozen(item, key, depth + 1) for name, item in operand.items()}
    if isinstance(operand, Set | Sequence) and not isinstance(operand, str | bytes):
        return [_frozen(item, key, depth + 1) for item in operand]
    if isinstance(operand, date) and (not isinstance(operand, datetime) or operand.utcoffset() is None):
        return parse_time(operand)
    return operand


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested more than {MAX_DEPTH} levels deep")


def _all(tests: Sequence[Predicate]) -> Predicate:
    if len(tests) == 1:
        return tests[0]
    return lambda record: all(test(record) for test in tests)

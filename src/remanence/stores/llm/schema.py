"""Does a value fit a JSON schema? The part of the standard that prompts need, with messages that a model can act on.

Known: `type` (one or several), `enum`, `const`, `properties`, `required`, `additionalProperties` (False), `items`,
`minItems`, `maxItems`, `minLength`, `maxLength`, `pattern`, `minimum`, `maximum`, `anyOf`. Notes such as `title` and
`description` are passed over; any other keyword is `InvalidInput`, so that no schema promises what nobody checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from remanence.core.errors import InvalidInput

__all__ = ["check_schema", "is_strict", "problems"]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN: Final = frozenset(
    "type enum const properties required additionalProperties items minItems maxItems minLength maxLength pattern "
    "minimum maximum anyOf title description examples default $schema $id".split()
)
SHOWN: Final = 48
"""Characters of a value that a message shows."""
MOST: Final = 12
"""Problems that are told at once."""


def problems(value: object, schema: Mapping[str, Any], path: str = "") -> list[str]:
    """What is wrong with a value, each as "path: what is wrong, and what is wanted"; empty when it fits."""
    found = []
    for problem in _problems(value, schema, path):
        found.append(problem)
        if len(found) == MOST:
            break
    return found


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema with keywords that are not checked here, or without an object at its root."""
    if schema.get("type") != "object":
        raise InvalidInput("the root of the schema must have type 'object'; services take nothing else")
    for part in _parts(schema):
        if unknown := sorted(set(part) - _KNOWN):
            raise InvalidInput(f"the schema uses {', '.join(unknown)}, which nobody checks here; leave it out")


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether every object names all of its keys as required and allows no others, as strict decoding demands."""
    return all(
        part.get("additionalProperties") is False and set(part.get("required", ())) == set(part.get("properties", {}))
        for part in _parts(schema)
        if "object" in _names(part.get("type"))
    )


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for below in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        yield from _parts(below)
    if isinstance(schema.get("items"), Mapping):
        yield from _parts(schema["items"])


def _names(kind: object) -> tuple[str, ...]:
    if kind is None:
        return ()
    return (kind,) if isinstance(kind, str) else tuple(kind) if isinstance(kind, list | tuple) else ()


def _problems(value: object, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    where = path or "the answer"
    kinds = _names(schema.get("type"))
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where}: {_shown(value)} is {_kind(value)}, not {' or '.join(kinds)}"
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{where}: {_shown(value)} is none of {', '.join(map(_shown, schema['enum']))}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{where}: {_shown(value)} is not {_shown(schema['const'])}"
    if "anyOf" in schema:
        tried = [list(_problems(value, option, path)) for option in schema["anyOf"]]
        if all(tried):
            yield from min(tried, key=len)
    if isinstance(value, dict):
        yield from _object(value, schema, path)
    elif isinstance(value, list):
        yield from _array(value, schema, path)
    elif isinstance(value, str):
        yield from _string(value, schema, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield f"{where}: {value} is less than {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            yield f"{where}: {value} is more than {schema['maximum']}"


def _object(value: dict[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    where = path or "the answer"
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}: the key {name!r} is missing"
    if schema.get("additionalProperties") is False and (extra := [key for key in value if key not in properties]):
        yield f"{where}: {', '.join(map(_shown, extra[:4]))} is no key of it; use {', '.join(map(repr, properties))}"
    for name, below in properties.items():
        if name in value:
            yield from _problems(value[name], below, f"{path}.{name}" if path else name)


def _array(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    where = path or "the answer"
    if len(value) < schema.get("minItems", 0):
        yield f"{where}: {len(value)} elements, at least {schema['minItems']} are wanted"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{where}: {len(value)} elements, at most {schema['maxItems']} are wanted"
    if isinstance(schema.get("items"), Mapping):
        for place, one in enumerate(value):
            yield from _problems(one, schema["items"], f"{path}[{place}]")


def _string(value: str, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{where}: {_shown(value)} is shorter than {schema['minLength']} characters"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{where}: {len(value)} characters, at most {schema['maxLength']} are wanted"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {_shown(value)} does not match {schema['pattern']}"


def _is(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(kind, ()))


def _same(one: object, other: object) -> bool:
    # In JSON, true is not 1.
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _kind(value: object) -> str:
    return next((kind for kind in _TYPES if _is(value, kind)), type(value).__name__)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"

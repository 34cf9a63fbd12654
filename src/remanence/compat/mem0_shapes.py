"""The shapes of mem0: items, history rows, filters, dates and configurations, from and to what the runtime has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidFilter, InvalidInput, NotFound, ScopeRequired
from remanence.substrates.records.filters import mentions, split_scope

__all__ = ["IDS", "Config", "MemoryNotFound", "day_of", "item", "owner_of", "unexpired", "where_of"]

IDS: Final = ("user_id", "agent_id", "run_id")
COLLECTION: Final = "mem0"
EXPIRATION: Final = "expiration_date"
_LOGIC: Final = frozenset(("AND", "OR", "NOT", "$and", "$or", "$not"))
_NAMES: Final = {"updated_at": "recorded_at", "actor_id": "speaker", "data": "text"}
_PROMOTED: Final = (*IDS, "actor_id", "role")
_MORE: Final = ("event_at", "valid_from", "valid_to", "version", "kind", "superseded", "facts")
_NEEDED: Final = "at least one of user_id, agent_id and run_id must be given, as an argument or inside filters"


class MemoryNotFound(NotFound, InvalidInput):
    """No memory of this id; a `ValueError`, as users of mem0 expect, and a `KeyError`."""


def item(found: Mapping[str, Any]) -> dict[str, Any]:
    """A memory as mem0 has it: all of its keys, and what else is known under keys that mem0 does not have.

    `metadata` is None where there is none; ids, `actor_id`, `role` and `expiration_date` are there if they were given.
    """
    text = found["memory"]
    metadata = dict(found["metadata"])
    shaped = {
        "id": found["id"],
        "memory": text,
        "hash": hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest(),
        "metadata": metadata or None,
        "created_at": found["created_at"],
        "updated_at": found["updated_at"],
    }
    shaped.update((name, found[name]) for name in _PROMOTED if found.get(name) is not None)
    if metadata.get(EXPIRATION) is not None:
        shaped[EXPIRATION] = metadata[EXPIRATION]
    shaped.update((name, found[name]) for name in _MORE if name in found)
    if "score" in found:
        shaped["score"] = found["score"]
    if "channels" in found:
        shaped["score_details"] = found["channels"]
    return shaped


def owner_of(
    ids: Mapping[str, Any], filters: Mapping[str, Any] | None = None, *, required: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Whom a call is about, as ids, and what its filter asks besides.

    Ids are taken from both places, which must agree; blanks around them do not count. A filter may also name owners by
    an operator or `"*"`: then all owners are looked at, and the filter decides.

    Raises:
        ScopeRequired: nobody is named.
        InvalidInput: ids that contradict each other, or that are none.

    """
    inside, rest = ({}, {}) if filters is None else split_scope(filters)
    named: dict[str, Any] = {}
    for name, value in (*ids.items(), *inside.items()):
        if value is None:
            continue
        if name not in IDS:
            raise InvalidInput(f"{name}={value!r}: there is no such argument, nor such an id; ids are {', '.join(IDS)}")
        value = value.strip() if isinstance(value, str) else value
        if str(named.setdefault(name, value)) != str(value):
            raise InvalidInput(f"{name}={named[name]!r} contradicts {name}={value!r} inside filters; give one of them")
    if required and not named and not mentions(rest, IDS):
        raise ScopeRequired(f"{_NEEDED}, for example user_id='ana' or filters={{'user_id': 'ana'}}")
    return named, rest


def where_of(filters: Mapping[str, Any]) -> dict[str, Any]:
    """A filter on mem0's fields as one on the runtime's."""
    found: dict[str, Any] = {}
    for key, condition in filters.items():
        if key in _LOGIC:
            parts = [condition] if isinstance(condition, Mapping) else condition
            if not isinstance(parts, Sequence) or not all(isinstance(part, Mapping) for part in parts):
                raise InvalidFilter(f"{key} takes a list of filters, not {condition!r}")
            if not parts and key not in ("AND", "$and"):
                raise InvalidFilter(f"{key} of nothing; give at least one filter, or leave it out")
            found[key] = [where_of(part) for part in parts]
        else:
            found[_NAMES.get(key, key)] = condition
    return found


def day_of(value: object) -> str:
    """A date as `YYYY-MM-DD`, from a date, a datetime or an ISO string. Raises `InvalidTime`."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return parse_time(value).date().isoformat()


def unexpired(where: Mapping[str, Any], today: datetime) -> dict[str, Any]:
    """A filter that besides leaves out what expired before today; on its day a memory still holds."""
    over = {"NOT": [{f"meta.{EXPIRATION}": {"lt": today.date().isoformat()}}]}
    return {"AND": [dict(where), over]} if where else over


@dataclass(frozen=True, slots=True)
class Config:
    """What of a mem0 configuration means something here, and what does not."""

    collection: str
    unused: tuple[str, ...]
    """Keys that have no effect, with the provider's name where one is given, and never with a value besides."""

    @classmethod
    def read(cls, config: object) -> Config:
        """From a mapping, or from an object with `model_dump` such as mem0's own `MemoryConfig`; None is no config.

        Raises:
            InvalidInput: neither, or a section that is no mapping.

        """
        if config is None:
            return cls(COLLECTION, ())
        dump = getattr(config, "model_dump", None)
        data = dump() if callable(dump) else config
        if not isinstance(data, Mapping):
            raise InvalidInput(f"config must be a mapping as for mem0, not {type(config).__name__}")
        collection: object = COLLECTION
        unused = []
        for key, section in data.items():
            if section is None or key == "version":
                continue
            provider = section.get("provider") if isinstance(section, Mapping) else None
            unused.append(f"{key} ({provider})" if isinstance(provider, str) else str(key))
            if key == "vector_store":
                collection = _collection(section)
        if not isinstance(collection, str) or not collection:
            raise InvalidInput(f"vector_store.config.collection_name={collection!r} must be a name")
        return cls(collection, tuple(unused))


def _collection(section: object) -> object:
    inner = section.get("config") if isinstance(section, Mapping) else getattr(section, "config", None)
    if not isinstance(inner, Mapping):
        inner = getattr(inner, "__dict__", {})
    return inner.get("collection_name") or COLLECTION

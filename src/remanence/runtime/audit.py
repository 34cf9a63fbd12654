"""How clean a memory is: rates of junk, repetition, contradiction, staleness and the like, for our own store and for
what other tools export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from remanence.core.clock import parse_time
from remanence.core.errors import ImportFormatError, InvalidInput, InvalidTime
from remanence.core.scope import FIELDS, Scope
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Utterance
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.duplicates import Statement, canonical, depends_on_context, group
from remanence.kernels.junk import CONVERSATION, junk, suspicious
from remanence.kernels.truth import value_key
from remanence.runtime import formats
from remanence.runtime.arguments import Time, moment_of
from remanence.runtime.consolidation import created
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.handler import home_of
from remanence.runtime.fading import expiry
from remanence.runtime.files import TextFile, opened
from remanence.runtime.hygiene import everything
from remanence.substrates.records.model import Record, View

__all__ = ["CLASSES", "FORMATS", "audit", "audit_file", "exceeded"]

CLASSES: Final = (
    "junk", "exact_duplicates", "near_duplicates", "contradictions", "stale", "unsupported", "suspects",
)  # fmt: skip
"""What is counted. Each memory counts once in each class; rates are shares of all memories, but those of `unsupported`
are shares of what was derived. None where a file cannot tell."""
FORMATS: Final = ("auto", "mem0", "mcp", "langgraph")
STALE_DAYS: Final = 365.0
EXAMPLES: Final = 3

_SOMEBODY: Final = "User"
"""Whom memories are about that name nobody, as other tools call them."""
_SPOKEN: Final = frozenset(("turn", "document"))
_SHOWN: Final = 160


@dataclass(slots=True)
class _Item:
    """One memory to examine."""

    id: str
    text: str
    place: str
    """Whose it is; nothing is compared across places."""
    at: datetime | None
    confirmed: datetime | None
    """When it was last said, used or updated."""
    ends: datetime | None = None
    kind: str = "note"
    role: str | None = None
    speaker: str | None = None
    trust: float = 1.0
    about: str = _SOMEBODY
    """Whom it is about where it names nobody."""


@dataclass(slots=True)
class _Findings:
    """Reasons by class and id."""

    found: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in CLASSES})

    def note(self, name: str, id: str, why: str) -> None:
        self.found[name].setdefault(id, why)


def audit(
    engine: Engine,
    scope: Scope,
    *,
    stale_days: float = STALE_DAYS,
    examples: int = EXAMPLES,
    now: Time | None = None,
) -> dict[str, Any]:
    """Examine the memories of a scope that a search can find, and what was derived from them. Nothing is changed.

    - `junk`: see `kernels.junk`; a short or polite turn of a conversation is none;
    - `exact_duplicates`, `near_duplicates`: what the same voice had said in the same words, or in others that differ in
      form only (see `kernels.duplicates`);
    - `contradictions`: facts that hold at the same time and cannot both be true, and memories of the same matter with
      different values; the newer of two does not count;
    - `stale`: past the end that its metadata gives, or, but for what was said or written, neither confirmed nor used
      for `stale_days`;
    - `unsupported`: derived without a source, from sources that are gone, or with a value that they do not contain;
    - `suspects`: instructions in data.

    Args:
        engine: whose store.
        scope: what to examine.
        stale_days: age beyond which what nobody confirms is stale.
        examples: how many examples of each class to give.
        now: the time to judge by; that of the engine's clock if left out.

    Returns:
        `source`, `memories` and `derived` (how many), `rates`, `counts`, `junk` (counts by sort), and `examples`.
    """
    _check(stale_days, examples)
    moment = engine.now() if now is None else moment_of(now) or engine.now()
    records = {record.id: record for record in everything(engine, scope, moment)}
    view = View(moment)
    raw = [r for r in records.values() if not r.derived and not r.hidden and view.shows(r)]
    derived = [r for r in records.values() if r.derived and not r.hidden and r.kind != "reading"]
    findings = _Findings()
    items = [_item_of(record) for record in raw]
    sorts = _examine(items, findings, moment, timedelta(days=stale_days), news=True)
    for record in derived:
        why = _unsupported(record, records)
        if why is not None:
            findings.note("unsupported", record.id, why)
    _contradicting_facts([record for record in derived if view.shows(record)], findings)
    texts = {record.id: record.text for record in (*raw, *derived)}
    report = _report("store", texts, items, findings, sorts, examples)
    report["derived"] = len(derived)
    report["rates"]["unsupported"] = _share(len(findings.found["unsupported"]), len(derived))
    return report


def audit_file(
    source: TextFile,
    *,
    format: str = "auto",
    stale_days: float = STALE_DAYS,
    examples: int = EXAMPLES,
    now: Time,
) -> dict[str, Any]:
    """Examine what another tool exported: mem0's `get_all` as JSON, the MCP memory server's JSON lines, the items of a
    LangGraph store. As `audit`; these formats keep no sources, so `unsupported` is None, and MCP keeps no times, so
    `stale` is None for it.

    Raises `ImportFormatError` for files in none of these formats.
    """
    _check(stale_days, examples)
    if format not in FORMATS:
        raise InvalidInput(f"format {format!r} is none of {', '.join(FORMATS)}")
    moment = moment_of(now)
    if moment is None:
        raise InvalidInput("now is needed to tell what is stale")
    with opened(source) as (stream, name):
        data = formats.json_of(stream, name)
    found = _recognise(data, name) if format == "auto" else format
    items = _mcp(data) if found == "mcp" else _listed(found, data, name)
    findings = _Findings()
    sorts = _examine(items, findings, moment, timedelta(days=stale_days), news=False)
    report = _report(found, {item.id: item.text for item in items}, items, findings, sorts, examples)
    report["rates"]["unsupported"] = None
    if all(item.at is None for item in items):
        report["rates"]["stale"] = None
    return report


def exceeded(report: Mapping[str, Any], limits: Mapping[str, float | None]) -> list[str]:
    """What is over its limit, in words. `limits`: most share by class; "duplicates" is both sorts together.

    A rate that is not known exceeds nothing.
    """
    rates: dict[str, float | None] = dict(report["rates"])
    rates["duplicates"] = rates["exact_duplicates"] + rates["near_duplicates"]  # type: ignore[operator]
    over = []
    for name, most in limits.items():
        if name not in rates:
            raise InvalidInput(f"there is no rate {name!r}; there are {', '.join(rates)}")
        rate = rates[name]
        if most is not None and rate is not None and rate > most:
            over.append(f"{name.replace('_', ' ')} {rate:.2%} is over {most:.2%}")
    return over


# The tests


def _examine(
    items: Sequence[_Item], findings: _Findings, now: datetime, stale: timedelta, *, news: bool
) -> dict[str, int]:
    """All tests that need no sources. Junk by sort."""
    sorts: dict[str, int] = {}
    statements = []
    for place, item in enumerate(items):
        sort = junk(item.text)
        if sort is not None and not (item.kind == "turn" and sort in CONVERSATION):
            findings.note("junk", item.id, sort)
            sorts[sort] = sorts.get(sort, 0) + 1
        why = suspicious(item.text, item.role, item.trust)
        if why is not None:
            findings.note("suspects", item.id, why)
        if item.ends is not None and item.ends <= now:
            findings.note("stale", item.id, f"ended {item.ends.date()}")
        elif item.kind not in _SPOKEN and item.confirmed is not None and now - item.confirmed > stale:
            findings.note("stale", item.id, f"not confirmed since {item.confirmed.date()}")
        statements.append(_statement(item, place))
    _duplicates(items, statements, findings, news=news)
    _contradictions([item for item in items if item.kind not in _SPOKEN], findings)
    return dict(sorted(sorts.items()))


def _statement(item: _Item, place: int) -> Statement:
    return Statement(
        item.text,
        # Where nobody knows when, it was in the order of the file.
        item.at or datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=place),
        repr((item.place, item.kind, item.role, item.speaker, item.about)),
        bound=item.kind == "turn" and depends_on_context(item.text),
    )


def _duplicates(items: Sequence[_Item], statements: Sequence[Statement], findings: _Findings, *, news: bool) -> None:
    """`news`: whether what comes back after another value is none, as for sleep."""
    said: dict[int, set[str]] = {}
    groups = group(statements, news=news)
    for place in sorted(range(len(items)), key=lambda place: (statements[place].at, place)):
        item, first = items[place], groups[place]
        texts = said.setdefault(first, set())
        if item.text in texts:
            findings.note("exact_duplicates", item.id, f"the words of {items[first].id}, or of what repeats it")
        elif texts:
            findings.note("near_duplicates", item.id, f"says what {items[first].id} says")
        texts.add(item.text)


def _contradictions(items: Sequence[_Item], findings: _Findings) -> None:
    """Memories whose claim a newer one of the same place takes another value for, though only one can hold."""
    held: dict[tuple[str, str, str], dict[str, list[tuple[str, str]]]] = {}
    denied: dict[tuple[str, str, str, str], list[tuple[bool, str]]] = {}
    start = datetime(1970, 1, 1, tzinfo=UTC)
    ordered = sorted(enumerate(items), key=lambda pair: (pair[1].at or start, pair[0]))
    for _, item in ordered:
        place = f"{item.place} {item.about}"
        for subject, key, value, polarity in _claims(item):
            meant = attribute(key)
            if meant.dated or not value:
                continue
            denied.setdefault((place, subject, key, value_key(value)), []).append((polarity, item.id))
            if polarity and not meant.many:
                values = held.setdefault((place, subject, key), {})
                # The value that was said last stands last.
                values[value_key(value)] = [*values.pop(value_key(value), []), (item.id, value)]
    for (_, _, key), values in held.items():
        *older, newest = values.values()
        for stated in older:
            for id, value in stated:
                findings.note("contradictions", id, f"{attribute(key).label}: {value}, and {newest[-1][1]} since")
    for (_, _, key, _), told in denied.items():
        for polarity, id in told:
            if polarity is not told[-1][0]:
                findings.note("contradictions", id, f"{attribute(key).label}: denied since, or said again")


def _claims(item: _Item) -> list[tuple[str, str, str, bool]]:
    """`(subject, attribute, value, polarity)` of what an item says to be so."""
    at = item.at or datetime(2000, 1, 1, tzinfo=UTC)
    # Notes leave out whom they are about: "Lives in Oslo".
    for text in (item.text, f"{_SOMEBODY} {item.text[:1].lower()}{item.text[1:]}"):
        claims = extract(Utterance(item.id, text, at, item.speaker or _SOMEBODY, "user"), (), {item.about, _SOMEBODY})
        if claims:
            return [
                (
                    _SOMEBODY if claim.subject.casefold() == item.about.casefold() else claim.subject.casefold(),
                    claim.attribute,
                    claim.value,
                    claim.polarity,
                )
                for claim in claims
                if claim.act in ("state", "change") and claim.attribute
            ]
    return []


def _contradicting_facts(facts: Sequence[Record], findings: _Findings) -> None:
    open_: dict[tuple[str, str], list[Record]] = {}
    for fact in facts:
        meta = fact.meta
        if fact.kind == "fact" and meta.get("status") == "held" and {"key", "value", "attribute"} <= meta.keys():
            open_.setdefault((str(home_of(fact.scope)), str(meta["key"])), []).append(fact)
    for rivals in open_.values():
        rivals.sort(key=lambda fact: (fact.valid_from, fact.id))
        meant = attribute(str(rivals[0].meta["attribute"]))
        newest = rivals[-1]
        told: dict[str, set[bool]] = {}
        for fact in rivals:
            told.setdefault(_value(fact), set()).add(fact.meta.get("polarity", True))
        for fact in rivals[:-1]:
            both = fact.meta.get("polarity", True) and newest.meta.get("polarity", True)
            one_of_two = not meant.many and not meant.dated and both and _value(fact) != _value(newest)
            if one_of_two or len(told[_value(fact)]) > 1:
                findings.note("contradictions", fact.id, f"{fact.text}, but also: {newest.text}")


def _value(fact: Record) -> str:
    return value_key(str(fact.meta["value"]))


def _unsupported(record: Record, records: Mapping[str, Record]) -> str | None:
    """Why nothing bears out what was derived; None where its sources do."""
    if not record.sources:
        return "it names no source"
    words: list[str] = []
    for source in record.sources:
        found = records.get(source.id)
        if found is None or found.trust <= 0 or found.state == "expired":
            return f"its source {source.id} is gone"
        if source.end > len(found.text) or source.start >= source.end:
            return f"its span {source.start}:{source.end} is not in {source.id}"
        words.append(found.text[source.start : source.end])
    value = record.meta.get("value")
    if record.kind != "fact" or not isinstance(value, str) or not value:
        return None
    key = record.meta.get("attribute")
    if isinstance(key, str) and (attribute(key).day or attribute(key).dated):
        # A day is worked out from words such as "next Friday".
        return None
    said = set(canonical(" ".join(words)))
    return None if said & set(canonical(value)) else f"no source says {value!r}"


# Where memories come from


def _item_of(record: Record) -> _Item:
    try:
        ends = expiry(record)
    except InvalidTime:
        ends = None
    last = max(moment for moment in (created(record), record.recorded_at, record.last_hit) if moment is not None)
    return _Item(
        record.id,
        record.text,
        str(home_of(record.scope)),
        record.event_at,
        last,
        ends,
        record.kind,
        record.role,
        record.speaker,
        record.trust,
    )


def _recognise(data: Any, name: str) -> str:
    if isinstance(data, list) and any(isinstance(one, Mapping) and one.get("type") == "entity" for one in data[:20]):
        return "mcp"
    if isinstance(data, Mapping) and isinstance(data.get("entities"), list):
        return "mcp"
    found = formats.recognise(data)
    if found in FORMATS:
        return found
    raise ImportFormatError(f"{name} is no export of mem0, the MCP memory server or LangGraph; say its format")


def _listed(format: str, data: Any, name: str) -> list[_Item]:
    """Memories of mem0 and LangGraph. Raises `ImportFormatError` for what is none."""

    def complain(place: int, reason: object) -> None:
        raise ImportFormatError(f"{name}, memory {place}: {reason}")

    items = []
    for place, item in formats.READERS[format](data, complain):
        metadata = item.get("metadata") or {}
        at = _time(item.get("timestamp"))
        items.append(
            _Item(
                str(metadata.get("mem0_id") or metadata.get("key") or place),
                str(item["content"]),
                repr([item.get(field) for field in FIELDS] + [metadata.get("namespace")]),
                at,
                _latest(data, place) or at,
                _time(item.get("valid_to")),
            )
        )
    return _apart(items)


def _latest(data: Any, place: int) -> datetime | None:
    """When mem0 or LangGraph says that the memory at this place was updated last."""
    rows = data
    if isinstance(data, Mapping):
        rows = next((data[key] for key in ("results", "memories", "items") if isinstance(data.get(key), list)), [data])
    row = rows[place - 1] if isinstance(rows, list) and place <= len(rows) else None
    if not isinstance(row, Mapping):
        return None
    inner = row.get("payload")
    return _time(row.get("updated_at") or (inner.get("updated_at") if isinstance(inner, Mapping) else None))


def _mcp(data: Any) -> list[_Item]:
    """The observations of the MCP memory server's graph, each about its entity."""
    lines = data.get("entities", []) if isinstance(data, Mapping) else data if isinstance(data, list) else []
    items = []
    for line in lines:
        if not isinstance(line, Mapping) or line.get("type", "entity") != "entity":
            continue
        name, observations = line.get("name"), line.get("observations")
        if not isinstance(name, str) or not isinstance(observations, list):
            raise ImportFormatError(f"an entity needs a name and observations, not {line!r:.80}")
        for number, text in enumerate(observations, 1):
            if not isinstance(text, str):
                raise ImportFormatError(f"observation {number} of {name!r} is no string")
            items.append(_Item(f"{name} #{number}", text, "graph", None, None, about=name))
    return _apart(items)


def _apart(items: list[_Item]) -> list[_Item]:
    """Items with ids of their own, whatever the file calls them."""
    seen: set[str] = set()
    for item in items:
        name, copy = item.id, 2
        while item.id in seen:
            item.id, copy = f"{name} ({copy})", copy + 1
        seen.add(item.id)
    return items


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_time(value).astimezone(UTC)
    except (InvalidTime, OverflowError):
        return None


# The report


def _report(
    source: str,
    texts: Mapping[str, str],
    items: Sequence[_Item],
    findings: _Findings,
    sorts: Mapping[str, int],
    examples: int,
) -> dict[str, Any]:
    counts = {name: len(found) for name, found in findings.found.items()}
    rates: dict[str, float | None] = {name: _share(count, len(items)) for name, count in counts.items()}
    shown: Callable[[str], str] = lambda text: text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"  # noqa: E731
    return {
        "source": source,
        "memories": len(items),
        "rates": rates,
        "counts": counts,
        "junk": dict(sorts),
        "examples": {
            name: [{"id": id, "why": why, "memory": shown(texts[id])} for id, why in list(found.items())[:examples]]
            for name, found in findings.found.items()
            if found
        },
    }


def _share(some: int, of: int) -> float:
    return round(some / of, 4) if of else 0.0


def _check(stale_days: object, examples: object) -> None:
    if isinstance(stale_days, bool) or not isinstance(stale_days, int | float) or not 0 < stale_days < 1e6:
        raise InvalidInput(f"stale_days={stale_days!r} must be a number of days above 0")
    if isinstance(examples, bool) or not isinstance(examples, int) or examples < 0:
        raise InvalidInput(f"examples={examples!r} must be a whole number from 0 up")

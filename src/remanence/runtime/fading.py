"""What a night's sleep would let go: what has expired, what has faded, and what was put away and is wanted again."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidTime
from remanence.kernels.forgetting import forgotten, retention, sampled
from remanence.runtime.consolidation import Plan, World, created, evidence
from remanence.runtime.hygiene import Rewrite
from remanence.substrates.records.model import Record

__all__ = ["FORGET", "KEEP", "Forget", "Keep", "closing", "expiring", "expiry", "fading", "waking"]

Forget = Literal["archive", "close", "off"]
FORGET: Final = ("archive", "close", "off")
Keep = Literal["facts", "held", "nothing"]
KEEP: Final = ("facts", "held", "nothing")

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TTL: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", re.IGNORECASE)
_DAY: Final = timedelta(days=1)
_RESTING: Final = frozenset(("instruction", "conclusion", "note"))


def expiry(record: Record) -> datetime | None:
    """When a memory ends by its metadata: `expires_at`, a time, or `ttl`, seconds since it was recorded or "30d".

    The earlier one where there are both. Raises `InvalidTime` for what is neither.
    """
    moments = []
    if record.meta.get("expires_at") is not None:
        moments.append(parse_time(record.meta["expires_at"]))
    ttl = record.meta.get("ttl")
    if ttl is not None:
        try:
            moments.append(created(record) + timedelta(seconds=_seconds(ttl)))
        except OverflowError as error:
            raise InvalidTime(f"ttl {ttl!r} ends after the year 9999") from error
    return min(moments, default=None)


def _seconds(ttl: object) -> float:
    if isinstance(ttl, str):
        match = _TTL.fullmatch(ttl)
        if match is not None:
            return float(match[1]) * _UNITS[match[2].lower()]
    elif isinstance(ttl, int | float) and not isinstance(ttl, bool) and 0 <= ttl < float("inf"):
        return float(ttl)
    raise InvalidTime(f"ttl {ttl!r} must be seconds, or a text such as '12h', '30d' or '2w'")


def expiring(world: World) -> tuple[Plan, list[dict[str, Any]]]:
    """What has reached its end, and what says it in a way that cannot be read."""
    plan, unread = Plan(), []
    for record in world.records.values():
        if record.derived or record.state in ("expired", "frozen") or not record.meta.keys() & {"ttl", "expires_at"}:
            continue
        try:
            end = expiry(record)
        except InvalidTime as error:
            unread.append({"id": record.id, "reason": str(error)})
            continue
        if end is not None and end <= world.now:
            plan.rewrites.append(Rewrite(record, {"state": "expired"}))
            plan.rows.append({"id": record.id, "expired_at": end.isoformat(), "memory": record.text[:80]})
    return plan, unread


def waking(world: World) -> Plan:
    """What was in the archive and was found there by a search since."""
    plan = Plan()
    for record in world.records.values():
        if record.state != "archived" or record.derived or record.last_hit is None:
            continue
        if record.last_hit > record.recorded_at:
            plan.rewrites.append(Rewrite(record, {"state": "activated"}))
            plan.rows.append({"id": record.id, "used_at": record.last_hit.isoformat(), "memory": record.text[:80]})
    return plan


def fading(world: World, *, kinds: Sequence[str], scale: float, threshold: float, seed: int | None, keep: Keep) -> Plan:
    """What the forgetting curve lets go, to be archived.

    A memory has faded since it was last found, said again or put there. Each use and each repetition makes it one
    stronger. With a seed it is drawn by lot with the probability of what is left, else it goes below `threshold`.
    """
    kept = _kept(world, keep)
    repeated: dict[str, datetime] = {}
    for id, into in world.merged.items():
        if id in world.records:
            again = created(world.records[id])
            repeated[into] = max(again, repeated.get(into, again))
    candidates = [
        record
        for record in world.records.values()
        if record.kind in kinds
        and not record.derived
        and not record.hidden
        and record.state != "frozen"
        and record.id not in kept
    ]
    days, strengths = [], []
    for record in candidates:
        fresh = [created(record), *(one for one in (record.last_hit, repeated.get(record.id)) if one is not None)]
        days.append((world.now - max(fresh)) / _DAY)
        strengths.append(max(record.strength, 0.01) + record.hits + evidence(record) - 1)
    left = retention(days, strengths, scale)
    gone = forgotten(left, threshold) if seed is None else sampled(left, random.Random(seed))
    plan = Plan()
    for record, away, rest, idle, strength in zip(candidates, gone, left, days, strengths, strict=True):
        if away:
            plan.rewrites.append(Rewrite(record, {"state": "archived"}))
            plan.rows.append(
                {
                    "id": record.id,
                    "retention": round(float(rest), 4),
                    "days": round(idle, 2),
                    "strength": strength,
                    "memory": record.text[:80],
                }
            )
    return plan


def closing(world: World, *, after: timedelta) -> Plan:
    """What has lain in the archive for longer than `after`, with what was merged into it; sources of anything stay."""
    plan = Plan()
    kept = _kept(world, "facts")
    merged: dict[str, list[str]] = {}
    for id, into in world.merged.items():
        merged.setdefault(into, []).append(id)
    for record in world.records.values():
        if record.state != "archived" or record.derived or world.now - record.recorded_at < after:
            continue
        along = [id for id in merged.get(record.id, ()) if id in world.records and world.records[id].state == "merged"]
        if kept.isdisjoint((record.id, *along)):
            plan.closed += [record.id, *along]
            plan.rows.append(
                {"id": record.id, "archived_at": record.recorded_at.isoformat(), "memory": record.text[:80]}
            )
    return plan


def _kept(world: World, keep: Keep) -> set[str]:
    """Ids of what something rests on that must not lose it."""
    if keep == "nothing":
        return set()
    found: set[str] = set()
    for record in world.records.values():
        if record.hidden or not record.sources:
            continue
        held = record.kind == "fact" and (keep == "facts" or record.meta.get("status", "held") == "held")
        if held or record.kind in _RESTING:
            found |= {source.id for source in record.sources}
    return found

"""What language models may cost per day, and what they have cost.

Every call leaves one line in a scope of its own: model, purpose, tokens and milliseconds, no text. A call first takes a
place in the line, with the most that it can cost, and is made only if all places before it leave room: so several
workers on one store keep one budget. A worker that dies half-way leaves its place taken until the day ends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from remanence.core.errors import BudgetExceeded, InvalidInput, LLMError
from remanence.core.ids import ulid_floor
from remanence.core.scope import Scope
from remanence.substrates.chat import Message, Reply, Schema, Usage
from remanence.substrates.records.model import DERIVED, Draft, Record, View
from remanence.substrates.records.operations import Close, Find, Put, Revise, Written

if TYPE_CHECKING:
    from remanence.runtime.engine import Engine
    from remanence.substrates.chat import ChatModel

__all__ = ["LEDGER", "ORIGIN", "Budgeted", "Limits", "usage_of"]

LEDGER: Final = Scope(app_id="remanence:llm")
"""Where calls are counted, for the whole store."""
KIND: Final = "llm_call"
ORIGIN: Final = f"{DERIVED}llm"
DAYS: Final = 30
"""How far back the totals go."""
# Rarely does a token have fewer characters; a wrong guess only reserves too much for the time of the call.
_CHARS_PER_TOKEN: Final = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What language models may cost per store and day (UTC), prompts and answers together; None: as much as it takes.

    A call is refused when the most that it can cost would not fit any more.
    """

    tokens_per_day: int | None = 2_000_000
    calls_per_day: int | None = 5_000

    def __post_init__(self) -> None:
        for name in ("tokens_per_day", "calls_per_day"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise InvalidInput(f"{name}={value!r} must be a whole number, or None for no limit")


class Budgeted:
    """A model whose calls are counted, and refused once the day's budget is spent.

    Args:
        model: who answers.
        engine: where the calls are counted.
        limits: the budget.
        purpose: what the calls are for, as it is shown in the totals ("claims@1").

    """

    def __init__(self, model: ChatModel, engine: Engine, limits: Limits | None = None, *, purpose: str = "") -> None:
        self._model = model
        self._engine = engine
        self._limits = limits or Limits()
        self._purpose = purpose

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        timeout: float | None = None,
    ) -> Reply:
        """As the model does. A call that fails is counted as a call without tokens.

        Raises:
            BudgetExceeded: it might not fit into what is left of today; nothing was sent.

        """
        characters = sum(len(message["content"]) for message in messages)
        place = self._reserve(math.ceil(characters / _CHARS_PER_TOKEN) + max_tokens)
        usage, failed = Usage(), False
        try:
            reply = self._model.complete(
                messages, schema=schema, max_tokens=max_tokens, temperature=temperature, timeout=timeout
            )
            usage = reply.usage
            return reply
        except LLMError:
            failed = True
            raise
        finally:
            self._settle(place, usage, failed=failed)

    def _reserve(self, tokens: int) -> Written:
        now = self._engine.now()
        self._check(_since(self._engine, _day(now)), tokens, now)
        draft = self._line({"calls": 1, "tokens": tokens, "open": True})
        (written,) = self._engine.write([Put(draft)], LEDGER, why="llm").results
        ahead = [line for line in _since(self._engine, _day(now)) if line.id < written.id]
        try:
            self._check(ahead, tokens, now)
        except BudgetExceeded:
            self._engine.write([Close(written.id)], LEDGER, why="llm")
            raise
        place: Written = written
        return place

    def _check(self, lines: Sequence[Record], tokens: int, now: datetime) -> None:
        calls = sum(line.meta["calls"] for line in lines)
        spent = sum(line.meta["tokens"] for line in lines)
        limits = self._limits
        if limits.calls_per_day is not None and calls + 1 > limits.calls_per_day:
            said = f"{calls:,} of {limits.calls_per_day:,} calls are made"
        elif limits.tokens_per_day is not None and spent + tokens > limits.tokens_per_day:
            said = f"{spent:,} of {limits.tokens_per_day:,} tokens are spent and the next call may take {tokens:,}"
        else:
            return
        until = _day(now) + timedelta(days=1)
        error = BudgetExceeded(
            f"today's budget for language models: {said}; it begins anew at {until.isoformat()}, or raise Limits(…)"
        )
        error.until = until
        raise error

    def _settle(self, place: Written, usage: Usage, *, failed: bool) -> None:
        meta = {"calls": max(usage.calls, 1), "tokens": usage.tokens, "ms": round(usage.ms, 1), "failed": failed}
        line = self._line({**meta, "prompt_tokens": usage.prompt_tokens})
        self._engine.write([Revise(place.id, line, expected_version=place.version)], LEDGER, why="llm")

    def _line(self, meta: dict[str, Any]) -> Draft:
        draft = Draft(text="a call to a language model", kind=KIND, state="archived", origin=ORIGIN)
        (draft,) = self._engine.recall(LEDGER).derive([draft])
        return replace(draft, meta={"model": self.name, "purpose": self._purpose, **meta})


def usage_of(engine: Engine) -> dict[str, Any]:
    """What language models have cost in this store: today, in the last 30 days, and those by model and purpose.

    Each total has `calls`, `failed`, `prompt_tokens`, `completion_tokens`, `tokens` and `ms`; `limits` are those of
    today.
    """
    today = _day(engine.now())
    lines = _since(engine, today - timedelta(days=DAYS - 1))
    begins = ulid_floor(today)
    limits = engine.llm_limits or Limits()
    groups: dict[str, list[Record]] = {}
    for line in lines:
        groups.setdefault(f"{line.meta['model']} {line.meta['purpose']}".strip(), []).append(line)
    return {
        "model": None if engine.llm is None else engine.llm.name,
        "today": _total([line for line in lines if line.id >= begins]),
        "last_30_days": _total(lines),
        "by_model": {name: _total(group) for name, group in sorted(groups.items())},
        "limits": {"tokens_per_day": limits.tokens_per_day, "calls_per_day": limits.calls_per_day},
    }


def _total(lines: Sequence[Record]) -> dict[str, Any]:
    sums: Counter[str] = Counter()
    ms = 0.0
    for line in lines:
        # A place that is taken and not yet settled has cost nothing so far.
        settled = not line.meta.get("open")
        tokens = line.meta["tokens"] if settled else 0
        sums["calls"] += line.meta["calls"]
        sums["failed"] += int(bool(line.meta.get("failed")))
        sums["prompt_tokens"] += line.meta.get("prompt_tokens", 0)
        sums["completion_tokens"] += tokens - line.meta.get("prompt_tokens", 0)
        sums["tokens"] += tokens
        ms += line.meta.get("ms", 0.0)
    names = ("calls", "failed", "prompt_tokens", "completion_tokens", "tokens")
    return {name: sums[name] for name in names} | {"ms": round(ms, 1)}


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _since(engine: Engine, moment: datetime) -> list[Record]:
    """The lines of the ledger from a moment on, in the order of their places."""
    lines: Sequence[Record]
    asked = Find(View(engine.now()), kinds=(KIND,), limit=None, after=ulid_floor(moment))
    (lines,) = engine.read([asked], LEDGER)
    return list(lines)

"""What a rule is, how it is run, and what is reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import ModuleType, TracebackType
from typing import Any, Generic, Literal, TypeVar, get_args

S = TypeVar("S")
Status = Literal["pass", "fail", "known", "stale-waiver", "not-claimed", "cannot-run-here", "broken-check"]
"""`known`: it does not hold, and a waiver says why. `stale-waiver`: the waiver is needed no longer, or names no rule.
`not-claimed`: the rule is about an ability that is not claimed. `broken-check`: the check itself went wrong."""
STATUSES: tuple[Status, ...] = get_args(Status)
BAD: frozenset[Status] = frozenset({"fail", "stale-waiver", "broken-check"})
_NOTE = 400


class Broken(AssertionError):
    """A rule does not hold; the message says what was seen and what was to be seen."""


class CannotRun(Exception):
    """A rule cannot be put to the test here: something is not installed, or was not given."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[S]):
    """One promise: a stable id, the promise in a sentence, and a check that raises `Broken` where it fails.

    `when` names the ability that switches it on, `unless` one that switches it off; None: it holds for all.
    """

    id: str
    title: str
    check: Callable[[S], None]
    when: str | None = None
    unless: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one rule."""

    rule: str
    title: str
    status: Status
    note: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.status:15} {self.title}" + (f"\n    {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class Report:
    """Verdicts in order of the rules. `subject` is what was put to the test."""

    verdicts: tuple[Verdict, ...]
    subject: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it: no rule failed, no waiver is stale, no check is broken."""
        return not self.failed

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Verdicts that speak against it."""
        return tuple(verdict for verdict in self.verdicts if verdict.status in BAD)

    @property
    def counts(self) -> dict[str, int]:
        """How many verdicts of each status there are, in the order of `STATUSES`; those without any left out."""
        found = [verdict.status for verdict in self.verdicts]
        return {status: found.count(status) for status in STATUSES if status in found}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items()) or "no rules"
        head = [self.subject] if self.subject else []
        return "\n".join([*head, *(str(verdict) for verdict in self.verdicts), counts])

    def to_json(self) -> str:
        """The report as a JSON document: subject, ok, counts, verdicts."""
        data = {
            "subject": self.subject,
            "ok": self.ok,
            "counts": self.counts,
            "verdicts": list(map(asdict, self.verdicts)),
        }
        return json.dumps(data, indent=2, ensure_ascii=False)


def rule(id: str, when: str | None = None, unless: str | None = None) -> Callable[[Callable[[S], None]], Rule[S]]:
    """Make a check into a rule; its docstring is the promise."""

    def make(check: Callable[[S], None]) -> Rule[S]:
        return Rule(id, " ".join((check.__doc__ or check.__name__).split()), check, when, unless)

    return make


def collect(*modules: ModuleType) -> tuple[Rule[Any], ...]:
    """All rules of some modules by id; a ValueError if two share one."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Rule)]
    found.sort(key=lambda one: one.id)
    for one, other in pairwise(found):
        if one.id == other.id:
            raise ValueError(f"two rules are called {one.id}: {one.title!r} and {other.title!r}")
    return tuple(found)


def run(
    rules: Iterable[Rule[S]],
    stage: Callable[[], AbstractContextManager[S]],
    *,
    claimed: Collection[str] = (),
    waivers: Mapping[str, str] | None = None,
    subject: str = "",
) -> Report:
    """Put each rule to the test on a stage of its own.

    An error that a check did not ask for is a failure of what is tested; one that begins in the check itself says that
    the check is broken. A waived rule is run like any other, and has to fail.
    """
    excused = dict(waivers or {})
    verdicts = []
    for one in rules:
        reason = excused.pop(one.id, None)
        off = ""
        if one.when is not None and one.when not in claimed:
            off = one.when
        elif one.unless in claimed:
            off = f"it claims {one.unless}"
        if off:
            status: Status = "not-claimed" if reason is None else "stale-waiver"
            verdicts.append(Verdict(one.id, one.title, status, reason or off))
            continue
        status, note = _verdict(one, stage)
        if reason is not None and status in ("pass", "fail"):
            status, note = ("known", f"{reason} ({note})") if status == "fail" else ("stale-waiver", reason)
        verdicts.append(Verdict(one.id, one.title, status, note if len(note) <= _NOTE else note[:_NOTE] + " …"))
    return Report(tuple(verdicts), subject)


def unknown_waivers(waivers: Mapping[str, str], rules: Iterable[Rule[Any]]) -> list[Verdict]:
    """Verdicts on waivers of rules that there are none of."""
    known = {one.id for one in rules}
    return [Verdict(id, "There is a rule of this name.", "stale-waiver", why) for id, why in waivers.items()
            if id not in known]  # fmt: skip


def _verdict(one: Rule[S], stage: Callable[[], AbstractContextManager[S]]) -> tuple[Status, str]:
    try:
        with stage() as ready:
            one.check(ready)
    except Broken as broken:
        return "fail", str(broken)
    except CannotRun as cannot:
        return "cannot-run-here", str(cannot)
    except Exception as error:
        own = _begins_in(error.__traceback__, one.check.__module__)
        return ("broken-check" if own else "fail"), f"{type(error).__name__}: {error}"
    return "pass", ""


def _begins_in(trace: TracebackType | None, module: str) -> bool:
    """Whether an error was raised by the lines of a module themselves, and not by what they call."""
    last = ""
    while trace is not None:
        last, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return last == module

"""What a rule is, how it is run, and what is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any, Generic, Literal, TypeVar

S = TypeVar("S")
Status = Literal["pass", "fail", "skipped"]
_NOTE = 400


class Broken(AssertionError):
    """A rule does not hold; the message says what was seen and what was to be seen."""


class Skipped(Exception):
    """A rule cannot be put to the test with what the caller gave."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[S]):
    """One promise: a stable id, the promise in a sentence, and a check that raises `Broken` where it fails."""

    id: str
    title: str
    check: Callable[[S], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one rule."""

    rule: str
    title: str
    status: Status
    note: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.status:7} {self.title}" + (f"\n    {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class Report:
    """Verdicts in order of the rules."""

    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Verdicts of the rules that do not hold."""
        return tuple(verdict for verdict in self.verdicts if verdict.status == "fail")

    def __str__(self) -> str:
        counts = ", ".join(
            f"{sum(verdict.status == status for verdict in self.verdicts)} {status}"
            for status in ("pass", "fail", "skipped")
        )
        return "\n".join([*(str(verdict) for verdict in self.verdicts), counts])


def rule(id: str) -> Callable[[Callable[[S], None]], Rule[S]]:
    """Make a check into a rule; its docstring is the promise."""

    def make(check: Callable[[S], None]) -> Rule[S]:
        return Rule(id, " ".join((check.__doc__ or check.__name__).split()), check)

    return make


def collect(*modules: ModuleType) -> tuple[Rule[Any], ...]:
    """All rules of some modules by id; a ValueError if two share one."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Rule)]
    found.sort(key=lambda one: one.id)
    for one, other in pairwise(found):
        if one.id == other.id:
            raise ValueError(f"two rules are called {one.id}: {one.title!r} and {other.title!r}")
    return tuple(found)


def run(rules: Iterable[Rule[S]], stage: Callable[[], AbstractContextManager[S]]) -> Report:
    """Put each rule to the test on a stage of its own. An error that a check did not ask for is a failure too."""
    verdicts = []
    for one in rules:
        status: Status = "pass"
        note = ""
        try:
            with stage() as ready:
                one.check(ready)
        except Broken as broken:
            status, note = "fail", str(broken)
        except Skipped as skipped:
            status, note = "skipped", str(skipped)
        except Exception as error:
            status, note = "fail", f"{type(error).__name__}: {error}"
        verdicts.append(Verdict(one.id, one.title, status, note if len(note) <= _NOTE else note[:_NOTE] + " …"))
    return Report(tuple(verdicts))

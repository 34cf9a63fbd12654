"""The port over which bulk work is spread: start a function on values, wait for whichever ends first, take its result.

What is started may run anywhere, twice, or half: functions have to be plain functions of a module, and what they write
has to be there once, however often they run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from remanence.core.errors import InvalidInput, RemanenceError, SpreadError

__all__ = ["HERE", "LOCAL", "Here", "Spread", "as_spread", "words"]

HERE = "here"
"""Name of the form that runs everything in this process."""
LOCAL = "local"
"""Name of a Ray cluster of this machine alone, made for the work and gone with it."""
_SHOWN = 300
"""Characters of an error that are kept."""


class Spread(Protocol):
    """Where tasks run. For one thread at a time. A ticket stands for a value that may still be on its way."""

    @property
    def apart(self) -> bool:
        """Whether tasks run in other processes, where only what can travel arrives."""
        ...

    @property
    def slots(self) -> int:
        """How many tasks can run at once at present; at least 1."""
        ...

    def put(self, value: object) -> Any:
        """A ticket for a value that many tasks are given. Raises `InvalidInput` for one that cannot travel."""
        ...

    def start(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        """A ticket for what `function` will return. A ticket among the arguments arrives as its value.

        `light`: the task waits more than it computes, and need not wait for a slot.
        """
        ...

    def first(self, tickets: Sequence[Any]) -> Any:
        """Wait until one of the tickets has its value, or has failed; that ticket."""
        ...

    def result(self, ticket: Any) -> Any:
        """Wait for a ticket's value.

        Raises:
            RemanenceError: the function raised it.
            SpreadError: the function raised something else, or those who ran it died too often.

        """
        ...

    def close(self) -> None:
        """Let go of what was made for the work. Idempotent."""
        ...


class _Done:
    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


class Here:
    """Runs each task in this process, when it is started."""

    apart = False
    slots = 1

    def put(self, value: object) -> Any:
        """The value, as a ticket."""
        return _Done(value)

    def start(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        """Run the function now; what it raises is raised by `result`."""
        try:
            return _Done(function(*(self.result(one) if isinstance(one, _Done) else one for one in arguments)))
        except Exception as error:
            return _Done(error=error)

    def first(self, tickets: Sequence[Any]) -> Any:
        """The first one: all of them are done."""
        return tickets[0]

    def result(self, ticket: Any) -> Any:
        """What the function returned, or raised."""
        if isinstance(ticket.error, RemanenceError):
            raise ticket.error
        if ticket.error is not None:
            raise SpreadError(words(ticket.error)) from ticket.error
        return ticket.value

    def close(self) -> None:
        """Nothing was made."""


def as_spread(source: Spread | str) -> Spread:
    """A spread from one, or from its name: "here", "local", or the address of a Ray cluster.

    Raises:
        MissingExtra: Ray is meant, and is not installed.
        SpreadError: there is no cluster at the address.

    """
    if not isinstance(source, str):
        return source
    if not source:
        raise InvalidInput(f"an empty address names no cluster; use {HERE!r}, {LOCAL!r}, or host:port")
    if source == HERE:
        return Here()
    from remanence.runtime.bulk.on_ray import RaySpread

    return RaySpread(source)


def words(error: BaseException) -> str:
    """An error in one line, short enough not to carry much of a text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]

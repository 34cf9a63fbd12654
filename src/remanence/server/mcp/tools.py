"""What a tool is, whatever the library that speaks the protocol: arguments, an answer within a budget, hints.

A tool runs in a thread, synchronously. It takes checked arguments and who asks, and returns a text for the model and
the same as data for programs. What goes wrong on purpose is a `RemanenceError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from remanence.core.errors import InvalidInput
from remanence.server.access import Principal
from remanence.server.errors import Forbidden

__all__ = ["Answer", "Arguments", "Listed", "Resource", "Tool", "Toolbox", "dumped", "reach"]

A = TypeVar("A", bound="Arguments")

SHOWN_PROBLEMS: Final = 5
_NAME: Final = 60


class Arguments(BaseModel):
    """Base of the arguments of tools. A name that a tool does not know is an error, not a silence."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def _from_json(value: Any) -> Any:
    """Some clients pass lists and objects as JSON within a string."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


Listed = BeforeValidator(_from_json)
"""Marks an argument that is a list or an object and may come as JSON within a string."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool found: `text` for the model, `content` for programs; `changed` if anything is different now."""

    text: str
    content: BaseModel
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `right` is what a key needs for it; the hints are the protocol's annotations."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    answer: type[BaseModel]
    run: Callable[[Any, Principal], Answer]
    right: str = "read"
    destructive: bool = False
    idempotent: bool = False

    @property
    def read_only(self) -> bool:
        """Whether nothing is changed by it."""
        return self.right == "read"

    def call(self, arguments: Mapping[str, Any], principal: Principal) -> Answer:
        """Check the arguments and run. Raises `InvalidInput` naming what is wrong, and what the tool raises."""
        return self.run(read(self.arguments, arguments), principal)


@dataclass(frozen=True, slots=True)
class Resource:
    """Something to read under an address."""

    uri: str
    name: str
    title: str
    description: str
    mime: str
    read: Callable[[Principal], str]


@dataclass(frozen=True, slots=True)
class Toolbox:
    """A profile: its tools and resources, and what a model is told about them.

    `admit` turns who asks into who that is to the tools: it narrows the reach, or raises `Forbidden`.
    """

    instructions: str
    tools: Sequence[Tool]
    admit: Callable[[Principal], Principal]
    resources: Sequence[Resource] = field(default_factory=tuple)


def read(model: type[A], arguments: Mapping[str, Any]) -> A:
    """Arguments as the tool wants them. The message names fields and not values, which may be long or secret."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        shown = [f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems[:SHOWN_PROBLEMS]]
        more = len(problems) - len(shown)
        raise InvalidInput("; ".join(shown) + (f"; and {more} more" if more else "")) from error


def reach(
    principal: Principal, ids: Mapping[str, object], filters: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ids of a call, completed by those that the caller is bound to, and what its filter asks besides.

    Raises `Forbidden` for ids that lead elsewhere, whether anything is there or not.
    """
    try:
        return principal.narrow({name: value for name, value in ids.items() if value is not None}, filters)
    except Forbidden as error:
        raise Forbidden(
            "these ids are out of reach: this server was started for other memories; leave out the ids, or give "
            "narrower ones"
        ) from error


def dumped(content: BaseModel) -> dict[str, Any]:
    """Data as the protocol carries it."""
    return content.model_dump(mode="json", by_alias=True, exclude_none=True)


def _place(where: Sequence[int | str]) -> str:
    name = ".".join(str(part) for part in where) or "arguments"
    return name if len(name) <= _NAME else f"{name[:_NAME]}…"


Words = Annotated[list[str], Listed]
"""A list of strings, also as JSON within a string."""

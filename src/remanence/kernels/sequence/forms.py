"""One operation in several forms: step by step, by chunks, and a fast one for a device where somebody registered it.

>>> import torch
>>> from remanence.kernels.sequence.hebbian import hebbian
>>> q, k, v = (torch.randn(1, 7, 2, 4) for _ in range(3))
>>> hebbian.forms
('recurrent', 'chunk')
>>> torch.allclose(hebbian(q, k, v, form="recurrent")[0], hebbian(q, k, v, form="chunk")[0], atol=1e-5)
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput

P = ParamSpec("P")
R = TypeVar("R")
Fits = Callable[..., bool]


@dataclass(frozen=True)
class Call:
    """Arguments of an operation, and which of them takes the state to go on from; empty if there is none."""

    args: tuple[Tensor, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: str = "initial_state"


Example = Callable[[int, torch.Generator], Call]
"""Inputs of a length, drawn at random: what a benchmark or a test runs an operation on."""


def always(*_: Any, **__: Any) -> bool:
    """A form for all arguments."""
    return True


class Op(Generic[P, R]):
    """An operation on `q, …` that can be called in any of its forms; they give the same outputs, states and gradients.

    `form="auto"` takes a fast form registered for the device of the first argument if it fits the arguments, else the
    chunked form for more than one token, else the recurrent one. The recurrent form is the definition of the operation.
    `examples` are inputs by name, one for each setting worth telling apart.
    """

    def __init__(
        self,
        recurrent: Callable[P, R],
        chunk: Callable[P, R] | None = None,
        *,
        examples: Mapping[str, Example] | None = None,
    ) -> None:
        self.recurrent = recurrent
        self.chunk = chunk
        self.examples = dict(examples or {})
        self.fast: dict[str, tuple[Callable[P, R], Fits]] = {}
        self.name = recurrent.__name__.removeprefix("naive_recurrent_")
        self.__doc__ = recurrent.__doc__

    def __repr__(self) -> str:
        return f"Op({self.name}: {', '.join(self.forms)})"

    @property
    def forms(self) -> tuple[str, ...]:
        """Names that `form` may have, without "auto"; a fast form is called after its device: "cuda"."""
        return ("recurrent", *(("chunk",) if self.chunk else ()), *self.fast)

    def register(self, device: str, fits: Fits = always) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Make a function the fast form for tensors on a type of device, where `fits` says yes to the arguments."""

        def keep(function: Callable[P, R]) -> Callable[P, R]:
            self.fast[device] = (function, fits)
            return function

        return keep

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it. Raises `InvalidInput` for a form that this operation does not have."""
        form = kwargs.pop("form", "auto")
        return self._chosen(form, args, kwargs)(*args, **kwargs)

    def in_form(self, form: str) -> Callable[P, R]:
        """The function that is called for `form`. Raises `InvalidInput` for one that this operation does not have."""
        return self if form == "auto" else self._chosen(form, (), {})

    def _chosen(self, form: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[P, R]:
        if form == "auto":
            first = next(one for one in (*args, *kwargs.values()) if isinstance(one, Tensor))
            if first.device.type in self.fast:
                function, fits = self.fast[first.device.type]
                if fits(*args, **kwargs):
                    return function
            return self.chunk if self.chunk and first.shape[1] > 1 else self.recurrent
        if form == "recurrent":
            return self.recurrent
        if form == "chunk" and self.chunk:
            return self.chunk
        if isinstance(form, str) and form in self.fast:
            return self.fast[form][0]
        raise InvalidInput(f"{self.name} has no form {form!r}; it has auto, {', '.join(self.forms)}")

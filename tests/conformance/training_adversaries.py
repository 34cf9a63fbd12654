"""A right training mechanism, as small as can be, and wrong ones, each caught by the rule named beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from remanence.core.card import Card, Evidence
from remanence.core.errors import InvalidInput
from remanence.substrates.training.base import Group, Memory, MemoryOptimizer, zeros
from remanence.substrates.training.mechanism import Limit, Source

CARD = Card(
    slug="heavy_ball",
    substrate="training",
    title="Heavy ball",
    paper="",
    claim="rolls on",
    needs=frozenset({"torch"}),
)


class Right(MemoryOptimizer):
    """m <- momentum m + g;  W <- W - lr m."""

    card: ClassVar[Card] = CARD

    def __init__(
        self, *, params: Source | None = None, lr: float = 0.05, momentum: float = 0.5, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @staticmethod
    def witness(seed: int) -> Evidence:
        return Evidence("rolled", 1.0, 0.0)

    def begin(self, parameter: Tensor, group: Group) -> Memory:
        return {"momentum": zeros(parameter)}

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        m: Tensor = memory["momentum"]
        return m.mul_(group["momentum"]).add_(gradient)

    def numbers(self, shape: torch.Size, group: Group) -> int:
        return shape.numel()

    @classmethod
    def limit(cls) -> Limit:
        return Limit({"lr": 0.1, "momentum": 0.5}, lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5))


class Deaf(Right):
    """The constructor takes parameters and forgets them."""

    def __init__(self, *, params: Source | None = None, **settings: Any) -> None:
        super().__init__(**settings)


class Forgetful(Right):
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore({**state, "memory": {name: {} for name in state["memory"]}})


class HalfSaved(Right):
    def load(self, path: str | Path) -> Self:
        super().load(path)
        self.state.clear()
        return self


class Narrowing(Right):
    """Torch's own way of loading brings the memory to the type of the weights."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        torch.optim.Optimizer.load_state_dict(self, state_dict)


class Hoarding(Right):
    """Keeps every gradient, and does not say so."""

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        vars(self).setdefault("seen", []).append(gradient.clone())
        return super().direction(gradient, memory, parameter, group)


class Understating(Right):
    def numbers(self, shape: torch.Size, group: Group) -> int:
        return shape.numel() // 2


class Other(Right):
    """Averages where it says that it adds up."""

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        return super().direction(0.5 * gradient, memory, parameter, group)


class Dicing(Right):
    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        return super().direction(gradient + 1e-3 * torch.randn_like(gradient), memory, parameter, group)


class Ordered(Right):
    """Steps get smaller from parameter to parameter."""

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        number = next(at for at, (one, _) in enumerate(self._trained()) if one is parameter)
        return super().direction(gradient * 0.9**number, memory, parameter, group)


class Twice(Right):
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if closure is not None:
            with torch.enable_grad():
                closure()
        return super().step(closure)


class Mute(Right):
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        super().step(closure)
        return 0.0


class Eager(Right):
    """Holds a memory for parameters without a gradient too."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        for one, group in self._trained():
            if one.grad is None and closure is None:
                self.state[one] = self.begin(one, group)
        return super().step(closure)


class Drifting(Right):
    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        return super().direction(gradient + 1e-4, memory, parameter, group)


class Careless(Right):
    def _sound(self) -> None:
        pass


class Late(Right):
    """Looks at the gradients when some weights have been changed by them."""

    def _sound(self) -> None:
        pass

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        if not gradient.isfinite().all():
            raise InvalidInput("the gradient is not finite")
        return super().direction(gradient, memory, parameter, group)


class Climbing(Right):
    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        return super().direction(-gradient, memory, parameter, group)


class Coupled(Right):
    """Weight decay goes through the momentum too."""

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        return super().direction(gradient + group["weight_decay"] * parameter, memory, parameter, group)


class Narrow(Right):
    def begin(self, parameter: Tensor, group: Group) -> Memory:
        return {"momentum": torch.zeros_like(parameter)}


class Spoiling(Right):
    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        return super().direction(gradient.clamp_(-0.01, 0.01), memory, parameter, group)


class Credulous(Right):
    def _check(self, group: Group) -> None:
        pass


class Forgiving(Right):
    """A state that does not fit is passed over in silence."""

    def restore(self, state: Mapping[str, Any]) -> None:
        if len(state.get("memory", {})) == len(self._trained()):
            super().restore(state)


class Tolerant(Right):
    """A state of other shapes is taken as it is."""

    def _fitting(self, found: Mapping[str, Any], parameter: Tensor, group: Group, number: int) -> Memory:
        return {name: torch.from_numpy(one.copy()) for name, one in found.items()}


ADVERSARIES: list[tuple[type[Any], str]] = [
    (Deaf, "T01"),
    (Forgetful, "T02"),
    (HalfSaved, "T03"),
    (Narrowing, "T04"),
    (Hoarding, "T05"),
    (Understating, "T05"),
    (Other, "T06"),
    (Dicing, "T07"),
    (Ordered, "T08"),
    (Twice, "T09"),
    (Mute, "T09"),
    (Eager, "T10"),
    (Drifting, "T11"),
    (Careless, "T12"),
    (Late, "T12"),
    (Climbing, "T13"),
    (Coupled, "T14"),
    (Narrow, "T15"),
    (Spoiling, "T16"),
    (Credulous, "T17"),
    (Forgiving, "T18"),
    (Tolerant, "T18"),
    (Forgetful, "G02"),
    (Dicing, "G07"),
]

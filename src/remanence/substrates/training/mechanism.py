"""The contract of training mechanisms: the framework's own interface, and what they hold beside the weights.

A training mechanism is a `torch.optim.Optimizer`. Weights belong to the model and are kept with it; what the optimizer
remembers is what it makes of the gradients that it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer

from remanence.core.card import Card

Source = nn.Module | Iterable[Tensor] | Iterable[dict[str, Any]]
"""What is trained: a model, parameters, or groups of parameters with settings of their own."""


class Limit(NamedTuple):
    """The setting at which a mechanism is a known optimizer, on matrices and vectors.

    `reference` makes that optimizer from parameters; `tolerance` is the largest difference of the weights after some
    steps in float64, relative to how far they moved: 1e-9 is equality but for rounding.
    """

    settings: Mapping[str, Any]
    reference: Callable[[list[nn.Parameter]], Optimizer]
    tolerance: float = 1e-9
    matrices_only: bool = False


@runtime_checkable
class TrainingMechanism(Protocol):
    """A training mechanism: what `torch.optim.Optimizer` has, and these."""

    card: ClassVar[Card]
    param_groups: list[dict[str, Any]]

    def attach(self, source: Source) -> Any:
        """Train these parameters too; the mechanism itself."""
        ...

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the weights by what their gradients say; what the closure returned."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        ...

    def measured_bytes(self) -> int:
        """Bytes that it holds beside weights and gradients."""
        ...

    def claimed_bytes(self) -> int:
        """The most that it will ever hold, from the shapes of the parameters alone."""
        ...

    @classmethod
    def limit(cls) -> Limit:
        """The setting at which it is a known optimizer."""
        ...

    def state(self) -> dict[str, Any]:
        """Settings and memories by the number of the parameter, as plain data and arrays."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned; before parameters are attached too."""
        ...

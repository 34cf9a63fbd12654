"""Delta gradient descent: a step on the weights of a linear layer that also knows what came in.

    W <- (W - lr g) (I + lr decay C)^-1,   C = the mean of x x^T over the inputs of the step
       = W (I - lr' decay x x^T) - lr' dL/dy x^T,   lr' = lr / (1 + lr decay |x|^2)      for one input x

It is the solution of  min_W 1/2 |W x + dL/dy|^2 + 1/(2 lr) |W - W_t|^2  (decay 1): a gradient step is the same with the
dot product in place of the square. Along inputs that come now, what the weights answered before is given up; all else
stays. Where there is one input, it is the delta rule of the proximal step (`kernels.sequence.proximal`).
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.training.base import Group, Memory, MemoryOptimizer, wide
from remanence.substrates.training.mechanism import Limit, Source

CARD = Card(
    slug="dgd",
    substrate="training",
    title="Delta gradient descent",
    paper="nested_learning",
    claim="replaces what was learnt about an input that comes again with another answer, and keeps what is seen rarely",
    idea="The step on a linear layer weighs the old answer to the inputs of the moment, not the gradient alone: it "
    "decays the weights along those inputs and nowhere else, in closed form and for any step size.",
    equation="W <- W (I - lr' x x^T) - lr' dL/dy x^T,  lr' = lr / (1 + lr |x|^2)",
    needs=frozenset({"torch"}),
    deviations=(
        "several inputs of a step are solved for together, each by its share of the loss",
        "decay scales what is given up, published as 1: the answer that a layer comes to rest at is drawn to zero by "
        "it; parameters that belong to no linear layer take a gradient step",
    ),
    waivers={"G05": "its memory is the weights that it trains; beside them it keeps nothing from one step to the next"},
)

Reduction = Literal["mean", "sum"]


class DGD(MemoryOptimizer):
    """The optimizer; what it knows of inputs it sees through the linear layers of the modules that it is given.

    Args:
        params: a module; None: `attach` says later. Of parameters without their module no input is known.
        lr: step size.
        decay: weight of what is given up, over that of the gradient; 0: gradient descent.
        reduction: whether the loss is a mean over inputs or a sum.
        weight_decay: decoupled, of all directions.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        params: Source | None = None,
        *,
        lr: float = 0.1,
        decay: float = 1.0,
        reduction: Reduction = "mean",
        weight_decay: float = 0.0,
    ) -> None:
        self._inputs: dict[Tensor, list[Tensor]] = {}
        self._handles: list[RemovableHandle] = []
        super().__init__(params, {"lr": lr, "decay": decay, "reduction": reduction, "weight_decay": weight_decay})

    def check(self, group: Group) -> None:
        """Settings in their ranges."""
        if not group["decay"] >= 0:
            raise InvalidInput(f"decay must be at least 0, not {group['decay']}")
        if group["reduction"] not in ("mean", "sum"):
            raise InvalidInput(f"reduction is mean or sum, not {group['reduction']!r}")

    def attach(self, source: Source) -> Self:
        """Train these too, and watch what the linear layers among them are given."""
        super().attach(source)
        if isinstance(source, nn.Module):
            for one in source.modules():
                if isinstance(one, nn.Linear) and one.weight.requires_grad:
                    # Weak: a model must not keep alive an optimizer that nobody uses any more.
                    self._handles.append(one.register_forward_hook(partial(_watch, weakref.ref(self))))
        return self

    def detach(self) -> None:
        """Stop watching."""
        for one in self._handles:
            one.remove()
        self._handles.clear()
        self._inputs.clear()

    def saw(self, weight: Tensor, x: Tensor) -> None:
        """Note inputs x [..., in] of a weight [out, in] whose gradient was taken."""
        rows = x.detach().reshape(-1, x.shape[-1]).to(wide(weight.dtype))
        mean = next((group["reduction"] == "mean" for one, group in self._trained() if one is weight), True)
        self._inputs.setdefault(weight, []).append(rows * len(rows) ** -0.5 if mean else rows)

    def step(self, closure: Any = None) -> Any:
        """Change the weights; what was seen belongs to the gradients of this step, and is dropped with them."""
        loss = super().step(closure)
        self._inputs.clear()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, and the inputs that they belong to."""
        super().zero_grad(set_to_none)
        self._inputs.clear()

    def begin(self, parameter: Tensor, group: Group) -> Memory:
        """Nothing is kept."""
        return {}

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        """(W - W') / lr, written so that without decay it is the gradient itself."""
        seen = self._inputs.get(parameter)
        if not seen or not group["decay"]:
            return gradient
        x = torch.cat(seen)
        decay: float = group["decay"]
        strength: float = group["lr"] * decay
        towards = gradient + decay * (parameter.to(x.dtype) @ x.mT) @ x
        # (I + s X^T X)^-1 = I - s X^T (I + s X X^T)^-1 X: the smaller of the two systems is solved.
        if len(x) <= x.shape[1]:
            gram = strength * x @ x.mT + torch.eye(len(x), dtype=x.dtype, device=x.device)
            solved: Tensor = torch.linalg.solve(gram, x @ towards.mT)
            return towards - strength * solved.mT @ x
        gram = strength * x.mT @ x + torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        solved = torch.linalg.solve(gram, towards.mT)
        return solved.mT

    def numbers(self, shape: torch.Size, group: Group) -> int:
        """None."""
        return 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._inputs, self._handles = {}, []

    @classmethod
    def limit(cls) -> Limit:
        """Without decay it is gradient descent."""
        return Limit({"lr": 0.1, "decay": 0.0}, lambda params: torch.optim.SGD(params, lr=0.1))


def _watch(optimizer: weakref.ref[DGD], layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Note the inputs when, and as often as, the gradient comes back through the output."""
    if not output.requires_grad:
        return
    x = inputs[0].detach()

    def seen(_: Tensor) -> None:
        one = optimizer()
        if one is not None:
            one.saw(layer.weight, x)

    output.register_hook(seen)

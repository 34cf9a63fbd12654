"""Deep momentum gradient descent: the momentum is a perceptron trained on the gradients, and read with the last one.

    u   = rows of g over their mean length s
    m   <- keep m - rate grad_m L(m(u), u),   m(u) = tanh(u W1) W2,   L = -<m(u), u> or 1/2 |m(u) - u|^2
    b   <- momentum b + s m(u)
    W   <- W - lr b

Momentum as published compresses gradients into a matrix of their sum; a perceptron that has to give gradients back
keeps the directions that they usually take. Read with a noisy gradient, it answers with its part along those.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.training.base import Group, Memory, MemoryOptimizer, matrix, rows_and_columns, wide, zeros
from remanence.substrates.training.mechanism import Limit, Source

CARD = Card(
    slug="dmgd",
    substrate="training",
    title="Deep momentum gradient descent",
    paper="nested_learning",
    claim="follows a target that moves along few directions through noisy gradients better than momentum",
    idea="A small perceptron for each weight matrix is trained to give gradients back, and what it says to the last "
    "gradient takes the gradient's place.",
    equation="m <- keep m - rate grad_m L(m(u), u);  W <- W - lr m(u)",
    needs=frozenset({"torch"}),
    deviations=(
        "the paper leaves open what the memory is and what it is trained on: here a perceptron on the rows of a "
        "gradient, its own value; gradients are brought to unit length for it, and back",
        "what it says is averaged by an ordinary momentum, which is all there is for vectors and with hidden=0",
    ),
)

Objective = Literal["dot", "l2"]


class DMGD(MemoryOptimizer):
    """The optimizer; it holds b, and W1 [in, hidden] and W2 [hidden, in] for a matrix [out, in].

    Args:
        params: what is trained; None: `attach` says later.
        lr: step size.
        momentum: of what was read.
        hidden: width of the perceptron; 0: heavy-ball momentum.
        rate: step size of its training.
        keep: share of W2 that stays in each step.
        objective: what it is trained by.
        seed: of W1.
        weight_decay: decoupled.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        params: Source | None = None,
        *,
        lr: float = 0.02,
        momentum: float = 0.0,
        hidden: int = 16,
        rate: float = 0.1,
        keep: float = 0.999,
        objective: Objective = "dot",
        seed: int = 0,
        weight_decay: float = 0.0,
    ) -> None:
        settings: dict[str, Any] = {
            "lr": lr, "momentum": momentum, "hidden": hidden, "rate": rate, "keep": keep, "objective": objective,
            "seed": seed, "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, settings)

    def check(self, group: Group) -> None:
        """Settings in their ranges."""
        if not 0 <= group["momentum"] <= 1 or not 0 <= group["keep"] <= 1:
            raise InvalidInput(f"momentum and keep lie in [0, 1]; got {group['momentum']} and {group['keep']}")
        if group["hidden"] < 0 or not group["rate"] >= 0 or group["objective"] not in get_args(Objective):
            raise InvalidInput(
                f"hidden and rate are at least 0, objective one of {', '.join(get_args(Objective))}; "
                f"got {group['hidden']}, {group['rate']}, {group['objective']!r}"
            )

    def begin(self, parameter: Tensor, group: Group) -> Memory:
        """Nothing remembered: W2 is 0, W1 is drawn, the same for all matrices of a width."""
        memory: Memory = {"momentum": zeros(parameter)}
        hidden, (_, columns) = group["hidden"], rows_and_columns(parameter.shape)
        if hidden and parameter.ndim > 1:
            generator = torch.Generator().manual_seed(group["seed"])
            drawn = torch.randn(columns, hidden, generator=generator, dtype=torch.float64) * 2 * columns**-0.5
            memory["w1"] = drawn.to(parameter.device, wide(parameter.dtype))
            memory["w2"] = zeros(parameter, hidden, columns)
        return memory

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        """b after what the memory said to this gradient."""
        said = gradient
        if "w1" in memory:
            g = matrix(gradient)
            length = g.norm() * len(g) ** -0.5
            if bool(length > 0):
                u = g / length
                self._learn(u, memory, group)
                said = (length * (torch.tanh(u @ memory["w1"]) @ memory["w2"])).view_as(gradient)
        b: Tensor = memory["momentum"]
        return b.mul_(group["momentum"]).add_(said)

    @staticmethod
    def _learn(u: Tensor, memory: Memory, group: Group) -> None:
        """One step of the perceptron, on rows u [out, in] of mean square length 1."""
        w1, w2 = memory["w1"], memory["w2"]
        h = torch.tanh(u @ w1)
        e = h @ w2 - u if group["objective"] == "l2" else -u
        back = (e @ w2.mT) * (1 - h.square())
        step = group["rate"] / len(u)
        w2.mul_(group["keep"]).sub_(step * h.mT @ e)
        w1.sub_(step * u.mT @ back)

    def numbers(self, shape: torch.Size, group: Group) -> int:
        """b, W1 and W2."""
        deep = 2 * group["hidden"] * rows_and_columns(shape)[1] if len(shape) > 1 else 0
        return shape.numel() + int(deep)

    @classmethod
    def limit(cls) -> Limit:
        """Without a perceptron it is heavy-ball momentum."""
        return Limit(
            {"lr": 0.1, "momentum": 0.9, "hidden": 0},
            lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        )

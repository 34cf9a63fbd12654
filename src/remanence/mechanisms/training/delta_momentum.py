"""Delta momentum: a momentum that gives up what it holds along a gradient before it takes that gradient in.

    m <- m (momentum I - delta g^T g / (1 + delta |g|^2)) + P g        implicit: never overshoots
    m <- m (momentum I - delta g^T g) + P g                            explicit: as published
    W <- W - lr m

Momentum is a memory of gradients trained by the dot product, which only ever adds; trained by the squared error it is
the delta rule. g is [out, in], a vector one row; P is 1, or Adam's 1 / sqrt(v) (`second`).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.training.base import Group, Memory, MemoryOptimizer, matrix, zeros
from remanence.substrates.training.mechanism import Limit, Source

CARD = Card(
    slug="delta_momentum",
    substrate="training",
    title="Delta momentum",
    paper="nested_learning",
    claim="follows a gradient that turns sooner than a momentum that averages as long, and stays bounded without decay",
    idea="A gradient replaces what the momentum holds along its own directions and leaves the rest, as the delta rule "
    "does with keys and values.",
    equation="m <- m (alpha I - delta g^T g / (1 + delta |g|^2)) + P g;  W <- W - lr m",
    needs=frozenset({"torch"}),
    deviations=(
        "what is given up is divided by 1 + delta |g|^2, the step of the implicit form; the published rule, "
        "form='explicit', diverges for gradients longer than sqrt(1 + momentum)",
        "the learning rate multiplies m when it is used, as in torch, and not g when it is taken in",
    ),
)

Form = Literal["implicit", "explicit"]


class DeltaMomentum(MemoryOptimizer):
    """The optimizer; it holds m, and v if `second` is given.

    Args:
        params: what is trained; None: `attach` says later.
        lr: step size.
        momentum: alpha, the share that stays of what the gradient says nothing about.
        delta: how much is given up along a gradient, over its squared length; 0: heavy-ball momentum.
        form: implicit, or explicit as published, for gradients that are known to be short.
        second: decay of v = mean g^2, by whose root gradients are divided as values; None: P is 1.
        eps: added to that root.
        weight_decay: decoupled.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        params: Source | None = None,
        *,
        lr: float = 0.01,
        momentum: float = 0.9,
        delta: float = 1.0,
        form: Form = "implicit",
        second: float | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr, "momentum": momentum, "delta": delta, "form": form, "second": second, "eps": eps,
                "weight_decay": weight_decay,
            },
        )  # fmt: skip

    def check(self, group: Group) -> None:
        """Settings in their ranges."""
        second = group["second"]
        if not 0 <= group["momentum"] <= 1 or not group["delta"] >= 0 or (second is not None and not 0 <= second < 1):
            raise InvalidInput(
                "momentum lies in [0, 1], delta is at least 0, second in [0, 1) or None; "
                f"got {group['momentum']}, {group['delta']}, {second}"
            )
        if group["form"] not in ("implicit", "explicit"):
            raise InvalidInput(f"form is implicit or explicit, not {group['form']!r}")

    def begin(self, parameter: Tensor, group: Group) -> Memory:
        """Nothing remembered."""
        memory: Memory = {"momentum": zeros(parameter)}
        if group["second"] is not None:
            memory["second"] = zeros(parameter)
        return memory

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        """m after this gradient."""
        m: Tensor = memory["momentum"]
        delta, value = group["delta"], gradient
        if group["second"] is not None:
            v: Tensor = memory["second"]
            v.mul_(group["second"]).addcmul_(gradient, gradient, value=1 - group["second"])
            value = gradient / (v.sqrt() + group["eps"])
        given_up = None
        if delta:
            if group["form"] == "implicit":
                delta = delta / (1 + delta * gradient.square().sum())
            g = matrix(gradient)
            given_up = (delta * (matrix(m) @ g.mT) @ g).view_as(m)
        m.mul_(group["momentum"]).add_(value)
        if given_up is not None:
            m.sub_(given_up)
        return m

    def numbers(self, shape: torch.Size, group: Group) -> int:
        """m, and v."""
        return shape.numel() * (1 if group["second"] is None else 2)

    @classmethod
    def limit(cls) -> Limit:
        """Without delta it is heavy-ball momentum."""
        return Limit(
            {"lr": 0.1, "momentum": 0.9, "delta": 0.0},
            lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        )

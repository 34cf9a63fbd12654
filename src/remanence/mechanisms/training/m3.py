"""M3, multi-scale momentum Muon: a fast momentum, and a slow one that is written once in a while; both orthogonalised.

    M1 += beta1 g,   V += beta2 g^2,   S += g
    W  -= lr (NS(M1) + alpha O2) / (sqrt(V) + eps)
    every `period` steps, after that:  M2 += beta3 S,   O2 = NS(M2),   S = 0

NS is Newton-Schulz (`kernels.sequence.newton_schulz`), of a matrix, or of a tensor as its first axis by all others;
vectors are taken as they are. `ema` averages instead of adding up; `rescale` gives NS(M) the length of M; `adaptive`
says whether matrices are divided by sqrt(V).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.newton_schulz import COEFFICIENTS, Coefficients, newton_schulz
from remanence.substrates.training.base import Group, Memory, MemoryOptimizer, matrix, zeros
from remanence.substrates.training.mechanism import Limit, Source

CARD = Card(
    slug="m3",
    substrate="training",
    title="M3",
    paper="nested_learning",
    claim="forgets less of a task that it is not trained on at the moment than Muon, which has the fast momentum alone",
    idea="Beside the momentum of the last steps stands one of long ago, updated at a lower frequency from the sum of "
    "the gradients since; each is brought to a matrix with singular values near one.",
    equation="W -= lr (NS(M1) + alpha NS(M2)) / (sqrt(V) + eps);  M1 += beta1 g each step, "
    "M2 += beta3 sum g each period",
    needs=frozenset({"torch"}),
    deviations=("ema, rescale and adaptive=False are the form of other implementations, not the published one",),
)


class M3(MemoryOptimizer):
    """The optimizer; it holds M1, M2, O2, S, and V where it is used.

    Args:
        params: what is trained; None: `attach` says later.
        lr: step size.
        beta1, beta2, beta3: as above; with `ema` the share that stays of M1, V and M2.
        alpha: weight of the slow momentum; 0: Muon, divided by sqrt(V) if `adaptive`.
        period: steps between two updates of the slow momentum.
        steps, coefficients: of Newton-Schulz.
        ema: whether M1, V and M2 are averages; published: sums.
        rescale: whether what comes out of Newton-Schulz is as long as what went in.
        adaptive: whether matrices are divided by sqrt(V); vectors always are.
        eps: added to sqrt(V).
        weight_decay: decoupled.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        params: Source | None = None,
        *,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        beta3: float = 0.9,
        alpha: float = 1.0,
        period: int = 100,
        steps: int = 3,
        coefficients: Coefficients = "cubic",
        ema: bool = False,
        rescale: bool = False,
        adaptive: bool = True,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        settings: dict[str, Any] = {
            "lr": lr, "beta1": beta1, "beta2": beta2, "beta3": beta3, "alpha": alpha, "period": period, "steps": steps,
            "coefficients": coefficients, "ema": ema, "rescale": rescale, "adaptive": adaptive, "eps": eps,
            "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, settings)

    def check(self, group: Group) -> None:
        """Settings in their ranges."""
        betas = [group[name] for name in ("beta1", "beta2", "beta3")]
        if not all(0 <= one <= 1 for one in betas) or not group["alpha"] >= 0:
            raise InvalidInput(f"betas lie in [0, 1], alpha is at least 0; got {betas} and {group['alpha']}")
        if group["period"] < 1 or group["steps"] < 0 or group["coefficients"] not in COEFFICIENTS:
            raise InvalidInput(
                f"period is at least 1, steps at least 0, coefficients one of {', '.join(COEFFICIENTS)}; "
                f"got {group['period']}, {group['steps']}, {group['coefficients']!r}"
            )

    def begin(self, parameter: Tensor, group: Group) -> Memory:
        """Nothing remembered, at step 0."""
        memory: Memory = {"step": 0, "fast": zeros(parameter)}
        if group["alpha"]:
            memory |= {name: zeros(parameter) for name in ("slow", "gathered", "slow_direction")}
        if group["adaptive"] or parameter.ndim < 2:
            memory["second"] = zeros(parameter)
        return memory

    def direction(self, gradient: Tensor, memory: Memory, parameter: Tensor, group: Group) -> Tensor:
        """The two momenta, over the root of V."""
        fast: Tensor = memory["fast"]
        memory["step"] += 1
        _take_in(fast, gradient, group["beta1"], group["ema"])
        direction = self._orthogonal(fast, group)
        if group["alpha"]:
            direction = direction + group["alpha"] * memory["slow_direction"]
        if "second" in memory:
            _take_in(memory["second"], gradient.square(), group["beta2"], group["ema"])
            direction = direction / (memory["second"].sqrt() + group["eps"])
        if group["alpha"]:
            memory["gathered"].add_(gradient)
            if memory["step"] % group["period"] == 0:
                # After the step: what is gathered up to here steers the steps of the next period.
                _take_in(memory["slow"], memory["gathered"], group["beta3"], group["ema"])
                memory["gathered"].zero_()
                memory["slow_direction"].copy_(self._orthogonal(memory["slow"], group))
        return direction

    def numbers(self, shape: torch.Size, group: Group) -> int:
        """M1; M2, O2 and S if alpha is not 0; V where it is used."""
        held = 1 + 3 * bool(group["alpha"]) + (group["adaptive"] or len(shape) < 2)
        return shape.numel() * int(held)

    @staticmethod
    def _orthogonal(momentum: Tensor, group: Group) -> Tensor:
        if momentum.ndim < 2:
            return momentum
        m = matrix(momentum)
        found = newton_schulz(m, group["steps"], group["coefficients"])
        if group["rescale"]:
            found = found * (m.norm() / found.norm().clamp(min=torch.finfo(m.dtype).tiny))
        return found.view_as(momentum)

    @classmethod
    def limit(cls) -> Limit:
        """Without the slow momentum and V it is Muon, which torch computes in bfloat16."""
        return Limit(
            {
                "lr": 0.02, "beta1": 0.9, "alpha": 0.0, "steps": 5, "coefficients": "muon", "ema": True,
                "adaptive": False,
            },
            lambda params: torch.optim.Muon(params, lr=0.02, momentum=0.9, nesterov=False, weight_decay=0.0),
            tolerance=0.05,
            matrices_only=True,
        )  # fmt: skip


def _take_in(held: Tensor, new: Tensor, beta: float, ema: bool) -> None:
    if ema:
        held.lerp_(new, 1 - beta)
    else:
        held.add_(new, alpha=beta)

"""ATLAS: a memory fitted to a window of the past at each token, by Muon, on polynomial features.

    u_t = sum_{t-c < i <= t} gamma_i grad |M(φ(k_i)) - v_i|^2        the Omega rule
    S_t = theta_t S_{t-1} + u_t
    M_t = alpha_t M_{t-1} - eta_t NewtonSchulz_5(S_t)                each weight matrix by itself
    y_t = M_t(φ(q_t)),  φ(q)·φ(k) = sum_i a_i (q·k)^i

The update is `kernels.sequence.frozen`, a chunk at a time; what stands around it is
`substrates.sequence.families.neural_memory`.
"""

from __future__ import annotations

from functools import partial
from math import factorial
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.features import Polynomial
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.update import Loss
from remanence.substrates.sequence.families.neural_memory import NeuralMemory
from remanence.substrates.sequence.mixer import wide

CARD = Card(
    slug="atlas",
    substrate="sequence",
    title="ATLAS",
    paper="atlas",
    claim="fitting a window of pairs recalls keys that have much in common, which fitting one pair at a time confuses",
    idea="At each token the memory takes a step on the last c pairs together, not on the last alone, in the direction "
    "that Newton-Schulz makes of the accumulated gradient; polynomial features give it more room.",
    equation="S_t = theta_t S_{t-1} + sum_{i in window} gamma_i grad |M(phi(k_i)) - v_i|^2;  "
    "M_t = alpha_t M_{t-1} - eta_t NS_5(S_t)",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "monomials occur once, weighted so that inner products are those of the tensor power",
        "the infinite features of DeepTransformers, whose inner product is exp(q·k), are a Taylor series of degree 3",
    ),
)

Optimizer = Literal["muon", "gd"]
PUBLISHED: dict[str, dict[str, Any]] = {
    "atlas": {},
    "omeganet": {"optimizer": "gd"},
    "deep_transformer": {"optimizer": "gd", "loss": "dot", "window": 1, "feature_name": "taylor3"},
    "dot": {"optimizer": "gd", "loss": "dot", "feature_name": "taylor3"},
    "dla": {"optimizer": "gd", "loss": "dot", "window": 1, "feature_name": "identity"},
    "swla": {"optimizer": "gd", "loss": "dot", "depth": 1, "feature_name": "identity"},
}
"""The layers of the paper as settings: ATLAS, OmegaNet, DeepTransformer, its Omega form Dot, deep linear attention, and
sliding-window linear attention."""


class Atlas(NeuralMemory):
    """ATLAS' memory, alone or beside attention.

    Args:
        window: c.
        optimizer: "muon", or "gd": gradient descent without momentum.
        steps: of Newton-Schulz.
        max_lr: upper bound of the step; 0.02 for Muon, whose steps are as large whatever the gradient is; for gradient
            descent 1 / (2 c chunk_size), beyond which the sum of a chunk's windows may diverge, if left out.
        forget, momentum: what 1 - alpha and theta are before training, in (0, 1).
        feature_name: "taylor2" and "taylor3" have coefficients that are learnt, from 1/i! on.
        others: as in `NeuralMemory`, with `variant` "lmm", "mag" or "mal"; `PUBLISHED` are settings.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        num_heads: int = 4,
        depth: int = 2,
        expansion: float = 1.0,
        feature_name: str = "taylor2",
        window: int = 16,
        chunk_size: int = 16,
        loss: Loss = "squared",
        optimizer: Optimizer = "muon",
        steps: int = 5,
        max_lr: float | None = None,
        forget: float = 0.01,
        momentum: float = 0.9,
        **others: Any,
    ) -> None:
        if optimizer not in get_args(Optimizer):
            raise InvalidInput(f"no optimizer {optimizer!r}; there are {', '.join(get_args(Optimizer))}")
        super().__init__(
            hidden_size=hidden_size, num_heads=num_heads, depth=depth, expansion=expansion, feature_name=feature_name,
            window=window, chunk_size=chunk_size, loss=loss,
            post=partial(newton_schulz, steps=steps) if optimizer == "muon" else None, **others,
        )  # fmt: skip
        if max_lr is None:
            max_lr = 0.02 if optimizer == "muon" else 1 / (2 * window * chunk_size)
        if not max_lr > 0 or not 0 < forget < 1 or not 0 < momentum < 1:
            raise InvalidInput(
                f"max_lr must be above 0, forget and momentum within (0, 1); got {max_lr}, {forget}, {momentum}"
            )
        self.max_lr, self.optimizer = max_lr, optimizer
        first = [forget, 0.5, 0.98, momentum][: 4 if optimizer == "muon" else 3]
        # One projection for all gates: 1 - alpha, the step, gamma, and theta for Muon.
        self.gate_proj = nn.Linear(hidden_size, len(first) * self.num_heads)
        with torch.no_grad():
            self.gate_proj.bias.copy_(torch.logit(torch.tensor(first)).repeat_interleave(self.num_heads))
        self.coefficients: nn.Parameter | None = None
        map_ = self.feature_map
        if isinstance(map_, Polynomial) and map_.coefficients is not None:
            self.coefficients = nn.Parameter(torch.tensor([1 / factorial(i) for i in range(map_.degree + 1)]))

    @classmethod
    def published(cls, name: str, **settings: Any) -> Self:
        """One of the layers of the paper by its name in `PUBLISHED`; `settings` go over its own.

        Raises `InvalidInput`, with the names, for one that is not there.
        """
        if name not in PUBLISHED:
            raise InvalidInput(f"no layer {name!r}; the paper has {', '.join(PUBLISHED)}")
        return cls(**{**PUBLISHED[name], **settings})

    def features(self, x: Tensor) -> Tensor:
        """Unit length, then the map, with its learnt coefficients."""
        if self.coefficients is None or not isinstance(self.feature_map, Polynomial):
            return super().features(x)
        return self.feature_map(super(NeuralMemory, self).features(x), self.coefficients)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """log alpha, the step, gamma, and for Muon the momentum, of each token, [B, T, H]."""
        given = self.gate_proj(x).to(wide(x.dtype)).unflatten(-1, (-1, self.num_heads)).unbind(-2)
        g, step, gamma = functional.logsigmoid(-given[0]), self.max_lr * given[1].sigmoid(), given[2].sigmoid()
        if self.optimizer == "muon":
            return {"g": g, "rate": step, "gamma": gamma, "eta": given[3].sigmoid()}
        return {"g": g, "theta": step, "gamma": gamma}

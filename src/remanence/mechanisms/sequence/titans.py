"""Titans: a perceptron whose weights are trained on the stream while it is read, by what surprises them.

    S_t = eta_t S_{t-1} - theta_t grad |M(k_t) - v_t|^2      surprise: of the past, and of the moment
    M_t = (1 - a_t) M_{t-1} + S_t
    y_t = M_t(q_t)

The update is `kernels.sequence.frozen`, a chunk at a time; what stands around it, attention over the recent past and
learnt tokens, is `substrates.sequence.families.neural_memory`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.sequence.families.neural_memory import NeuralMemory
from remanence.substrates.sequence.mixer import wide

CARD = Card(
    slug="titans",
    substrate="sequence",
    title="Titans",
    paper="titans",
    claim="a deep memory trained while it is read holds a map from keys to values that no matrix holds",
    idea="The weights of a small perceptron are the memory: each token trains them, with momentum and decay, on its "
    "key and value. Attention over the recent past and learnt tokens may stand beside it.",
    equation="S_t = eta_t S_{t-1} - theta_t grad |M_{t-1}(k_t) - v_t|^2;  M_t = (1 - a_t) M_{t-1} + S_t;  M_t(q_t)",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "within a segment of mac a token sees what the memory answered up to itself, not to the whole segment: a "
        "stream can stop at any token, and nothing of the future is seen",
        "in mac the memory is asked with x W_q without the convolution, which belongs to what it is trained on",
        "mag and mal read the learnt tokens once, before the first token, and attend to them always",
    ),
)


class Titans(NeuralMemory):
    """Titans' memory, alone or in one of its three architectures.

    Args:
        max_lr: upper bound of theta, 0.02 if left out, 0.005 for a `residual` memory, whose norm makes gradients large.
            Steps above (1 - eta) / chunk_size may diverge, as gradients of a chunk add up.
        forget, momentum: what a and eta are before training, in (0, 1).
        others: as in `NeuralMemory`: `variant`, `depth`, `expansion`, `residual`, `chunk_size`, `persistent` and more.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        max_lr: float | None = None,
        forget: float = 0.005,
        momentum: float = 0.7,
        **others: Any,
    ) -> None:
        super().__init__(hidden_size=hidden_size, **others)
        if max_lr is None:
            max_lr = 0.005 if self.perceptron.residual else 0.02
        if not max_lr > 0 or not 0 < forget < 1 or not 0 < momentum < 1:
            raise InvalidInput(
                f"max_lr must be above 0, forget and momentum within (0, 1); got {max_lr}, {forget}, {momentum}"
            )
        self.max_lr = max_lr
        # One projection for all three: a, eta and theta.
        self.gate_proj = nn.Linear(hidden_size, 3 * self.num_heads)
        first = torch.logit(torch.tensor([forget, momentum, 0.5])).repeat_interleave(self.num_heads)
        with torch.no_grad():
            self.gate_proj.bias.copy_(first)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """log(1 - a), eta and theta of each token, [B, T, H]."""
        a, eta, theta = self.gate_proj(x).to(wide(x.dtype)).chunk(3, -1)
        return {"g": functional.logsigmoid(-a), "eta": eta.sigmoid(), "theta": self.max_lr * theta.sigmoid()}

"""DeltaNet: what a key already holds is taken out before its new value is written.

    S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T,   o_t = S_t^T q_t

One step of gradient descent on |S^T k_t - v_t|^2 / 2 at every token, with step size beta_t. The formula is computed in
`kernels.sequence.delta`. Source: Schlag, Irie and Schmidhuber (arXiv:2102.11174); by chunks, and with keys of unit
length, Yang et al. (arXiv:2406.06484); strengths up to 2, Grazzi et al. (arXiv:2411.12537).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from remanence.core.card import Card
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import HeadMixer

CARD = Card(
    slug="delta_net",
    substrate="sequence",
    title="DeltaNet",
    paper="",
    claim="answers with the newest value of a key that was rewritten, where linear attention mixes in all earlier ones",
    idea="Replaces what the memory holds under a key, by a learned share, instead of adding to it.",
    equation="S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T;  o_t = S_t^T q_t",
    source="fla-org/flash-linear-attention",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=("outputs are gated by silu(x W_g), which use_gate=False switches off",),
)


class DeltaNet(HeadMixer):
    """The layer; the state has `memory` [B, H, K, V].

    Args:
        allow_neg_eigval: whether strengths reach to 2 in place of 1: a write may then turn over the sign of what was
            there, which tracking states such as parity needs.
        others: those of `HeadMixer`.

    """

    card: ClassVar[Card] = CARD

    def __init__(self, *, allow_neg_eigval: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.allow_neg_eigval = allow_neg_eigval
        self.b_proj = nn.Linear(self.hidden_size, self.num_heads, bias=False)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """The strength beta of each write."""
        beta = torch.sigmoid(self.b_proj(x))
        return {"beta": 2 * beta if self.allow_neg_eigval else beta}

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """S = 0."""
        shape = (batch, self.num_heads, self.head_dim, self.value_dim)
        return {"memory": torch.zeros(shape, device=device, dtype=dtype)}

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Replace and read: q, k [B, T, H, K], v [B, T, H, V] to o [B, T, H, V]."""
        o, memory = gated_delta_rule.in_form(form)(
            q, k, v, gates.get("beta"), initial_state=state["memory"], chunk_size=self.chunk_size
        )
        assert memory is not None
        return o, {"memory": memory}

    def read(self, q: Tensor, state: State) -> Tensor:
        """What a state answers to queries q [B, N, H, K] after features, without changing: [B, N, H, V]."""
        return torch.einsum("bhkv,bnhk->bnhv", state["memory"], q)

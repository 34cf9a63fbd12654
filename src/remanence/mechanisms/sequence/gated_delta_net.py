"""Gated DeltaNet and Kimi Delta Attention: the delta rule on a memory that decays, at once where a gate says so.

    S_t = a_t S_{t-1} + beta_t k_t (v_t - (a_t S_{t-1})^T k_t)^T,   o_t = S_t^T q_t

a_t in (0, 1) is one number for a head, or one for each channel of the key (KDA). What is taken out under a key is what
is left after the decay. The formula is computed in `kernels.sequence.delta`. Source: Yang, Kautz and Hatamizadeh
(arXiv:2412.06464); Kimi Team (arXiv:2510.26692).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import Decay, HeadMixer

CARD = Card(
    slug="gated_delta_net",
    substrate="sequence",
    title="Gated DeltaNet",
    paper="",
    claim="replaces single values and drops a whole context at once; DeltaNet cannot drop, decayed sums cannot replace",
    idea="The delta rule, on a memory that decays before every write by a learned gate.",
    equation="S_t = a_t S_{t-1} + beta_t k_t (v_t - (a_t S_{t-1})^T k_t)^T;  o_t = S_t^T q_t",
    source="NVlabs/GatedDeltaNet",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=("gates by channel are those of the heads of Gated DeltaNet, in place of KDA's projection of low rank",),
)

Gate = Literal["head", "channel"]


class GatedDeltaNet(HeadMixer):
    """The layer; the state has `memory` [B, H, K, V].

    Args:
        gate: whether a head decays as a whole, or every channel of its key by itself, which is KDA.
        allow_neg_eigval: whether strengths reach to 2 in place of 1; see `DeltaNet`.
        others: those of `HeadMixer`.

    """

    card: ClassVar[Card] = CARD

    def __init__(self, *, gate: Gate = "head", allow_neg_eigval: bool = False, **others: Any) -> None:
        super().__init__(**others)
        if gate not in get_args(Gate):
            raise InvalidInput(f"gate is one of {', '.join(get_args(Gate))}; got {gate!r}")
        self.gate, self.allow_neg_eigval = gate, allow_neg_eigval
        self.b_proj = nn.Linear(self.hidden_size, self.num_heads, bias=False)
        self.decay = Decay(self.hidden_size, self.num_heads * (self.head_dim if gate == "channel" else 1))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """The strength beta of each write, and the log decay g before it."""
        beta, g = torch.sigmoid(self.b_proj(x)), self.decay(x)
        return {
            "beta": 2 * beta if self.allow_neg_eigval else beta,
            "g": g.unflatten(-1, (self.num_heads, self.head_dim)) if self.gate == "channel" else g,
        }

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """S = 0."""
        shape = (batch, self.num_heads, self.head_dim, self.value_dim)
        return {"memory": torch.zeros(shape, device=device, dtype=dtype)}

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Decay, replace and read: q, k [B, T, H, K], v [B, T, H, V] to o [B, T, H, V]; g may be minus infinity."""
        o, memory = gated_delta_rule.in_form(form)(
            q, k, v, gates.get("beta"), gates.get("g"), initial_state=state["memory"], chunk_size=self.chunk_size
        )
        assert memory is not None
        return o, {"memory": memory}

    def read(self, q: Tensor, state: State) -> Tensor:
        """What a state answers to queries q [B, N, H, K] after features, without changing: [B, N, H, V]."""
        return torch.einsum("bhkv,bnhk->bnhv", state["memory"], q)

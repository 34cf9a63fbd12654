"""Linear attention and its kin with decay: a sum of outer products, read with the query.

    S_t = a_t S_{t-1} + beta_t phi(k_t) v_t^T,   z_t = a_t z_{t-1} + beta_t phi(k_t)
    o_t = S_t^T phi(q_t) / (z_t^T phi(q_t)),     without the divisor where it is not normalised

The formula is computed in `kernels.sequence.hebbian`. What decays decides the name: nothing, linear attention
(Katharopoulos et al., arXiv:2006.16236); every head by its own constant, RetNet (arXiv:2307.08621); every token, with
the step of the token as the strength of its write, Mamba-2 (arXiv:2405.21060); every channel of the key, GLA
(arXiv:2312.06635).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.features import feature
from remanence.kernels.sequence.hebbian import hebbian, normalized_hebbian
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import Decay, HeadMixer

CARD = Card(
    slug="linear_attention",
    substrate="sequence",
    title="Linear attention",
    paper="",
    claim="keeps more of many unrelated pairs in a state of fixed size than the delta rule, or the last of them whole",
    idea="Adds the outer product of every key and value to one matrix, which may decay, and reads it with the query.",
    equation="S_t = a_t S_{t-1} + phi(k_t) v_t^T;  o_t = S_t^T phi(q_t) / (z_t^T phi(q_t)), z the same sum of phi(k)",
    source="",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "short convolution, norm of what was recalled and output gate stand around it, as around all layers here",
        "there is no rotary position encoding in the setting of RetNet",
        "gates by channel have the form of those of Mamba-2, in place of GLA's projection of low rank",
    ),
)

Decays = Literal["none", "head", "token", "channel"]
POSITIVE = ("elu1", "poly2", "full2", "taylor2")


class LinearAttention(HeadMixer):
    """The layer; the state has `memory` [B, H, F, V], or [B, H, F, V + 1] with z in the last column.

    Args:
        feature_name: phi, one of `kernels.sequence.features`, from K to F coordinates.
        normalize: whether reads are divided by what they would be if all values were 1; phi is then one of `POSITIVE`.
        decay: "none"; "head", by 1 - 2^-(5 + h) at every token; "token" or "channel", by a gate on x.
        step: with "token", whether pairs are written with the strength of the step that decay is made of.
        others: those of `HeadMixer`.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        feature_name: str = "elu1",
        normalize: bool = True,
        decay: Decays = "none",
        step: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if decay not in get_args(Decays):
            raise InvalidInput(f"decay is one of {', '.join(get_args(Decays))}; got {decay!r}")
        if step and decay != "token":
            raise InvalidInput(f"step=True takes the step of decay='token'; decay is {decay!r}")
        self.feature_map = feature(feature_name)
        if normalize and feature_name not in POSITIVE:
            raise InvalidInput(
                f"reads can be normalised where phi(q) . phi(k) is never negative: {', '.join(POSITIVE)}; "
                f"for {feature_name!r} pass normalize=False"
            )
        self.feature_dim = self.feature_map.size(self.head_dim)
        self.normalize, self.decays, self.step_weighs = normalize, decay, step
        self.decay: Decay | None = None
        if decay in ("token", "channel"):
            self.decay = Decay(self.hidden_size, self.num_heads * (self.feature_dim if decay == "channel" else 1))

    @classmethod
    def retnet(cls, **others: Any) -> LinearAttention:
        """With the decay of RetNet."""
        return cls(**{"feature_name": "identity", "normalize": False, "decay": "head", **others})

    @classmethod
    def mamba2(cls, **others: Any) -> LinearAttention:
        """With the gates of Mamba-2."""
        return cls(**{"feature_name": "identity", "normalize": False, "decay": "token", "step": True, **others})

    @classmethod
    def gla(cls, **others: Any) -> LinearAttention:
        """With decay by channel, as in gated linear attention."""
        return cls(**{"feature_name": "identity", "normalize": False, "decay": "channel", **others})

    def features(self, x: Tensor) -> Tensor:
        """phi: [B, T, H, K] to [B, T, H, F]."""
        return self.feature_map(x)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """The log decay `g`, as far as anything decays, and `beta`, the strength of each write."""
        if self.decays == "none":
            return {}
        if self.decay is None:
            heads = torch.arange(self.num_heads, device=x.device, dtype=torch.float64)
            g = torch.log1p(-torch.exp2(-5 - heads))
            return {"g": g.expand(*x.shape[:2], -1)}
        g = self.decay(x)
        if self.decays == "channel":
            return {"g": g.unflatten(-1, (self.num_heads, self.feature_dim))}
        return {"g": g, "beta": -g / self.decay.A_log.to(g.dtype).exp()} if self.step_weighs else {"g": g}

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """S = 0, and z = 0."""
        width = self.value_dim + self.normalize
        return {"memory": torch.zeros(batch, self.num_heads, self.feature_dim, width, device=device, dtype=dtype)}

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Add pairs and read: q, k [B, T, H, F], v [B, T, H, V] to o [B, T, H, V]."""
        common: dict[str, Any] = {"initial_state": state["memory"], "chunk_size": self.chunk_size}
        beta, g = gates.get("beta"), gates.get("g")
        if self.normalize:
            o, memory = normalized_hebbian(q, k, v, beta, g, form=form, **common)
        else:
            o, memory = hebbian.in_form(form)(q, k, v, beta, g, scale=1 / math.sqrt(self.head_dim), **common)
        assert memory is not None
        return o, {"memory": memory}

    def read(self, q: Tensor, state: State) -> Tensor:
        """What a state answers to queries q [B, N, H, F] after features, without changing: [B, N, H, V]."""
        o = torch.einsum("bhkv,bnhk->bnhv", state["memory"], q)
        return o[..., :-1] / (o[..., -1:] + 1e-10) if self.normalize else o

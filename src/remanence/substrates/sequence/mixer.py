"""The layer around an associative memory with heads: projections, short convolution, gates, norm, output.

    q, k, v = silu(conv(x W_q)), silu(conv(x W_k)), silu(conv(x W_v))      split into heads
    o       = recall(features(q), features(k), v; gates(x))               what a mechanism is
    y       = (rmsnorm(o) * silu(x W_g)) W_o

Names and initial values follow flash-linear-attention's layers. The memory is kept and computed in float32 at least,
also under autocast: sums over a long past do not survive bfloat16.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.convolution import short_conv
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.mechanism import State

_CONV = "conv"


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that memories are kept in: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


class HeadMixer(SequenceLayer):
    """A memory from keys to values in several heads.

    Args:
        hidden_size: D, the width of the tokens.
        num_heads: H.
        head_dim: K, the width of a key in one head; D / H if left out.
        expand_v: V / K, the width of a value over that of a key.
        conv_size: tokens that the causal convolution on q, k, v sees; 1: there is none.
        use_gate: whether outputs are gated by silu(x W_g).
        chunk_size: tokens that the parallel form takes together.
        norm_eps: of the norm on what was recalled.
        seed: of the initial weights.

    """

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        num_heads: int = 2,
        head_dim: int | None = None,
        expand_v: float = 1.0,
        conv_size: int = 4,
        use_gate: bool = True,
        chunk_size: int = 64,
        norm_eps: float = 1e-5,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        if num_heads < 1 or conv_size < 1 or chunk_size < 1:
            raise InvalidInput(
                f"num_heads, conv_size and chunk_size must be at least 1; got {num_heads}, {conv_size}, {chunk_size}"
            )
        if head_dim is None and hidden_size % num_heads:
            raise InvalidInput(f"hidden_size {hidden_size} is no multiple of num_heads {num_heads}; give head_dim")
        self.num_heads, self.conv_size, self.chunk_size, self.norm_eps = num_heads, conv_size, chunk_size, norm_eps
        self.head_dim = hidden_size // num_heads if head_dim is None else head_dim
        self.value_dim = round(self.head_dim * expand_v)
        if self.head_dim < 1 or self.value_dim < 1:
            raise InvalidInput(f"head_dim {head_dim} and expand_v {expand_v} leave keys or values without a coordinate")
        keys, values = num_heads * self.head_dim, num_heads * self.value_dim
        self.q_proj = nn.Linear(hidden_size, keys, bias=False)
        self.k_proj = nn.Linear(hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(hidden_size, values, bias=False)
        self.g_proj = nn.Linear(hidden_size, values, bias=False) if use_gate else None
        self.o_proj = nn.Linear(values, hidden_size, bias=False)
        self.o_norm = nn.Parameter(torch.ones(self.value_dim))
        self.conv_weight: nn.Parameter | None = None
        if conv_size > 1:
            bound = conv_size**-0.5
            self.conv_weight = nn.Parameter(torch.empty(2 * keys + values, conv_size).uniform_(-bound, bound))

    # What a mechanism gives.

    @abstractmethod
    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """The memory before the first token."""

    def features(self, x: Tensor) -> Tensor:
        """What is made of queries and keys [B, T, H, K] before they reach the memory: unit length, if not changed."""
        return functional.normalize(x, dim=-1, eps=1e-6)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """What `recall` takes beside q, k, v, from the tokens x [B, T, D]: each [B, T, H] or [B, T, H, K]."""
        return {}

    @abstractmethod
    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Write pairs and read: q, k [B, T, H, K], v [B, T, H, V] to o [B, T, H, V] and the memory after the last."""

    # The layer.

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The last inputs of the convolution, and the memory."""
        weight = self.q_proj.weight
        device, dtype = weight.device if device is None else device, weight.dtype if dtype is None else dtype
        state = self.init_memory(batch, device=device, dtype=wide(dtype))
        if self.conv_weight is not None:
            channels = self.conv_weight.shape[0]
            state = {_CONV: torch.zeros(batch, self.conv_size - 1, channels, device=device, dtype=dtype), **state}
        return state

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """The recurrence over the tokens."""
        memory = {name: one for name, one in state.items() if name != _CONV}
        q, k, v, kept = self.project(x, state)
        out_type = v.dtype
        gates = self.gates(x)
        with torch.autocast(x.device.type, enabled=False):
            type_ = wide(x.dtype)
            q, k, v = self.features(q.to(type_)), self.features(k.to(type_)), v.to(type_)
            o, memory = self.recall(q, k, v, memory, form=form, **{n: g.to(type_) for n, g in gates.items()})
        return self.finish(o, x, out_type), {**kept, **memory}

    def finish(self, o: Tensor, x: Tensor, out_type: torch.dtype) -> Tensor:
        """Norm, gate and output projection, in `out_type`, of what the heads recalled: [B, T, H, V] to y like x."""
        with torch.autocast(x.device.type, enabled=False):
            o = o * torch.rsqrt(o.square().mean(-1, keepdim=True) + self.norm_eps) * self.o_norm.to(o.dtype)
        out = o.flatten(2).to(out_type)
        if self.g_proj is not None:
            out = out * functional.silu(self.g_proj(x))
        y: Tensor = self.o_proj(out)
        return y.to(x.dtype)

    def project(self, x: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """Queries, keys and values in heads, before features, and what the convolution keeps for the next tokens."""
        mixed = torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], -1)
        kept: State = {}
        if self.conv_weight is not None:
            tail = state[_CONV]
            mixed, end = short_conv(mixed, self.conv_weight.to(mixed.dtype), tail=tail.to(mixed.dtype))
            kept[_CONV] = end.to(tail.dtype)
        else:
            mixed = functional.silu(mixed)
        keys = self.num_heads * self.head_dim
        q, k, v = mixed.split([keys, keys, self.num_heads * self.value_dim], -1)
        heads = (self.num_heads, -1)
        return q.unflatten(-1, heads), k.unflatten(-1, heads), v.unflatten(-1, heads), kept


class Decay(nn.Module):
    """How much of the memory stays, as a logarithm: g = -exp(A_log) softplus(x W_a + dt_bias) per token, as in Mamba-2.

    `channels` outputs: one per head, or one per head and channel of the key. A is drawn from U(0, 16), the step from
    exp(U(log 1e-3, log 0.1)); A_log and dt_bias carry `no_weight_decay`.
    """

    def __init__(self, hidden_size: int, channels: int) -> None:
        super().__init__()
        self.a_proj = nn.Linear(hidden_size, channels, bias=False)
        # The floor keeps the logarithm finite where the draw is next to nothing.
        self.A_log = nn.Parameter(torch.empty(channels).uniform_(0, 16).clamp_(min=1e-4).log_())
        low, high = math.log(1e-3), math.log(1e-1)
        step = torch.empty(channels).uniform_(low, high).exp_().clamp_(min=1e-4)
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        for one in (self.A_log, self.dt_bias):
            one.no_weight_decay = True  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] to g [B, T, channels], in float32 at least."""
        type_ = wide(x.dtype)
        step = functional.softplus(self.a_proj(x).to(type_) + self.dt_bias.to(type_))
        return -self.A_log.to(type_).exp() * step

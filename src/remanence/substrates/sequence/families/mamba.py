"""What layers on state spaces share: matrices that are not learned, and Mamba's way in, selective scan and way out.

    h, z = silu(conv(x W_x)), x W_z
    s    = scan(h, dt = softplus(h W_dt), B = h W_B, C = h W_C)
    y    = (s * silu(z)) W_o                                              with a norm before W_o, as in Mamba-2, or not

Source: Gu and Dao, Mamba (arXiv:2312.00752), whose initial values are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.convolution import short_conv
from remanence.kernels.sequence.state_space import selective_scan
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide


class Fixed(nn.Module):
    """Tensors that are saved and moved with a layer, but not learned, and never rounded below float32.

    The matrices of a long memory lose their meaning, or their stability, in half precision.
    """

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        for name, one in tensors.items():
            self.register_buffer(name, one.to(torch.get_default_dtype()))

    def get(self, name: str) -> Tensor:
        """A tensor by its name."""
        found: Tensor = self.get_buffer(name)
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        for name, one in self._buffers.items():
            if one is not None:
                moved = fn(one)
                narrow = moved.dtype != wide(moved.dtype)
                self._buffers[name] = one.to(moved.device, wide(moved.dtype)) if narrow else moved
        return self


class Mamba(nn.Module):
    """Mamba's mixer in three parts, so that other things can stand between them: `enter`, `scan`, `leave`.

    Args:
        hidden_size: D.
        expand: E / D, the width within.
        state_size: N, numbers that each channel keeps.
        conv_size: tokens of the short convolution.
        norm: whether what was read is normalised before it leaves (Mamba-2).
        norm_eps: of that norm.

    """

    def __init__(
        self,
        hidden_size: int,
        *,
        expand: float = 2.0,
        state_size: int = 16,
        conv_size: int = 4,
        norm: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.width, self.state_size, self.conv_size = round(hidden_size * expand), state_size, conv_size
        if min(self.width, state_size, conv_size) < 1:
            raise InvalidInput(
                f"expand {expand}, state_size {state_size} and conv_size {conv_size} leave nothing to remember with"
            )
        rank = math.ceil(hidden_size / 16)
        self.in_proj = nn.Linear(hidden_size, 2 * self.width, bias=False)
        bound = conv_size**-0.5
        self.conv_weight = nn.Parameter(torch.empty(self.width, conv_size).uniform_(-bound, bound))
        self.conv_bias = nn.Parameter(torch.empty(self.width).uniform_(-bound, bound))
        self.bc_proj = nn.Linear(self.width, 2 * state_size, bias=False)
        self.dt_down = nn.Linear(self.width, rank, bias=False)
        self.dt_up = nn.Linear(rank, self.width, bias=False)
        nn.init.uniform_(self.dt_up.weight, -(rank**-0.5), rank**-0.5)
        step = torch.empty(self.width).uniform_(math.log(1e-3), math.log(1e-1)).exp_().clamp_(min=1e-4)
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        decay = torch.arange(1, state_size + 1).to(torch.get_default_dtype())
        self.A_log = nn.Parameter(decay.log().repeat(self.width, 1))
        self.D = nn.Parameter(torch.ones(self.width))
        for one in (self.A_log, self.D, self.dt_bias):
            one.no_weight_decay = True  # type: ignore[attr-defined]
        self.norm_eps = norm_eps
        self.norm = nn.Parameter(torch.ones(self.width)) if norm else None
        self.out_proj = nn.Linear(self.width, hidden_size, bias=False)

    def init_state(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype | None) -> State:
        """The tail of the convolution [B, W - 1, E], and the state space [B, E, N]."""
        weight = self.in_proj.weight
        device, dtype = weight.device if device is None else device, weight.dtype if dtype is None else dtype
        return {
            "conv": torch.zeros(batch, self.conv_size - 1, self.width, device=device, dtype=dtype),
            "ssm": torch.zeros(batch, self.width, self.state_size, device=device, dtype=wide(dtype)),
        }

    def enter(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, D] to what is written and the gate, [B, T, E], and the tail for the next tokens."""
        h, z = self.in_proj(x).chunk(2, -1)
        h, end = short_conv(h, self.conv_weight.to(h.dtype), self.conv_bias.to(h.dtype), tail=tail.to(h.dtype))
        return h, z, end.to(tail.dtype)

    def scan(self, h: Tensor, state: Tensor, *, form: str) -> tuple[Tensor, Tensor]:
        """h [B, T, E] to what is read of it and of the past, like h, and the state after the last token."""
        b, c = self.bc_proj(h).chunk(2, -1)
        type_ = wide(h.dtype)
        step = self.dt_up(self.dt_down(h)).to(type_) + self.dt_bias.to(type_)
        a = -self.A_log.to(type_).exp()
        with torch.autocast(h.device.type, enabled=False):
            y, after = selective_scan.in_form(form)(h, functional.softplus(step), a, b, c, self.D, initial_state=state)
        assert after is not None
        return y, after

    def leave(self, y: Tensor, z: Tensor) -> Tensor:
        """What was read, gated, [B, T, E] to [B, T, D]."""
        out = y * functional.silu(z)
        if self.norm is not None:
            whole = out.to(wide(out.dtype))
            whole = whole * torch.rsqrt(whole.square().mean(-1, keepdim=True) + self.norm_eps)
            out = (whole * self.norm.to(whole.dtype)).to(z.dtype)
        left: Tensor = self.out_proj(out)
        return left

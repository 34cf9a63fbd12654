"""Legendre memory unit, as LMUFormer uses it in place of attention: one number of each token enters a sliding window.

    u_t = relu(W_u x_t)                          one channel
    m_t = Abar m_{t-1} + bbar u_t                the window's Legendre coefficients, by fixed matrices
    h_t = relu(W_h [m_t; x_t]),  y_t = norm(W_o h_t)

The memory is linear and known, so that sequences are read in parallel, and what went in any time ago, up to the window,
can be told without learning (`recall`). With `spiking`, relu is a neuron that fires or does not. Patch embedding,
channel mixer and the head that answers at any time are in `substrates.sequence.families.lmu_former`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hippo import decoder, lmu, zoh
from remanence.kernels.sequence.spiking import lif
from remanence.kernels.sequence.state_space import state_space
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.families.mamba import Fixed
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide
from remanence.substrates.sequence.model import RMSNorm

CARD = Card(
    slug="lmu",
    substrate="sequence",
    title="Legendre memory unit (LMUFormer)",
    paper="lmu_former",
    claim="tells a signal's past of any delay in its window better than as many leaky averages do",
    idea="Keeps the last window of one channel as Legendre coefficients, by matrices that are given, not learned.",
    equation="m_t = Abar m_{t-1} + bbar relu(W_u x_t), u(t - tau) = sum_i P_i(2 tau / theta - 1) m_i(t)",
    source="zeyuliu1037/LMUFormer",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "norms over the channels of a token stand where batch norms did, which mix sequences and times",
        "the neuron of the single channel u has a gain and a bias of its own instead of a norm",
    ),
)


class LegendreMemory(SequenceLayer):
    """The layer; the state is `m` [B, N], with charges of the neurons if it is spiking.

    Args:
        hidden_size: D.
        memory_size: N; a window shows periods down to about 4 window / N. D if left out, 2 D where spiking.
        window: theta, tokens that are kept.
        spiking: whether activations are leaky integrate-and-fire neurons.
        tau: how slowly their charges leak.
        convolution: whether whole sequences are convolved by the fast Fourier transform, not by chunks.
        chunk_size: tokens that the parallel form takes together.
        seed: of the initial weights.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        memory_size: int | None = None,
        window: float = 128.0,
        spiking: bool = False,
        tau: float = 2.0,
        convolution: bool = False,
        chunk_size: int = 64,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        memory_size = (2 if spiking else 1) * hidden_size if memory_size is None else memory_size
        if memory_size < 1 or not window >= 1 or chunk_size < 1 or tau < 1:
            raise InvalidInput(
                "memory_size, window, chunk_size and tau must be at least 1; got "
                f"{memory_size}, {window}, {chunk_size}, {tau}"
            )
        self.memory_size, self.window, self.spiking, self.tau = memory_size, window, spiking, tau
        self.convolution, self.chunk_size = convolution, chunk_size
        system = zoh(*lmu(memory_size, window), torch.ones((), dtype=torch.float64))
        self.system = Fixed(a=system.a, b=system.b)
        self.u_proj = nn.Linear(hidden_size, 1)
        self.h_proj = nn.Linear(memory_size + hidden_size, hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)
        self.o_norm = RMSNorm(hidden_size)
        self.x_norm, self.h_norm = (RMSNorm(hidden_size) if spiking else None for _ in range(2))
        if spiking:
            # So that the one neuron fires from the start, now and then.
            nn.init.constant_(self.u_proj.bias, 1.0)

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """An empty window, and neurons without charge."""
        weight = self.o_proj.weight
        device, dtype = weight.device if device is None else device, weight.dtype if dtype is None else dtype
        widths = {"m": self.memory_size}
        if self.spiking:
            widths |= {"x_charge": self.hidden_size, "u_charge": 1, "h_charge": self.hidden_size}
        return {name: torch.zeros(batch, one, device=device, dtype=wide(dtype)) for name, one in widths.items()}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """The window moves on, and every token reads it beside itself."""
        m, seen, after = self.remember(x, state, form=form)
        h = self.h_proj(torch.cat((m.to(seen.dtype), seen), -1))
        h = torch.relu(h) if self.h_norm is None else self._fire(self.h_norm(h), "h_charge", state, after)
        y = self.o_norm(self.o_proj(h))
        return y.to(x.dtype), after

    def remember(self, x: Tensor, state: State | None = None, *, form: str = "auto") -> tuple[Tensor, Tensor, State]:
        """The window after every token, m [B, T, N], the tokens as they are read [B, T, D], and the state so far."""
        state = self.init_state(x.shape[0], device=x.device) if state is None else state
        after: State = {}
        if self.x_norm is not None:
            x = self._fire(self.x_norm(x), "x_charge", state, after)
            u = self._fire(self.u_proj(x), "u_charge", state, after)
        else:
            u = torch.relu(self.u_proj(x))
        if form == "auto" and self.convolution:
            form = "convolution"
        with torch.autocast(x.device.type, enabled=False):
            a, b = (self.system.get(name).to(state["m"].dtype) for name in ("a", "b"))
            c = torch.eye(self.memory_size, dtype=a.dtype, device=a.device)
            m, end = state_space.in_form(form)(
                u.to(a.dtype), a[None], b[None], c[None], initial_state=state["m"][:, None], chunk_size=self.chunk_size
            )
        assert end is not None
        return m[:, :, 0], x, {"m": end[:, 0], **after}

    def recall(self, m: Tensor, delays: Tensor) -> Tensor:
        """What u was each of some delays [n] ago, 0 to window, from the window m [..., N]: [..., n]."""
        if bool(((delays < 0) | (delays > self.window)).any()):
            raise InvalidInput(f"the window keeps delays from 0 to {self.window}; asked for {delays.tolist()}")
        return m @ decoder("lmu", self.memory_size, delays.to(m), self.window).mT

    def _fire(self, current: Tensor, name: str, state: State, after: State) -> Tensor:
        spikes, charge = lif(current, tau=self.tau, initial_state=state[name])
        assert charge is not None
        after[name] = charge
        return spikes

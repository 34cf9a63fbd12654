"""Linear state-space layers: every feature is the input of a linear system in continuous time, read off in steps.

    x' = A x + b u,   y = C x + D u          A, b shared by the features; step, C, D of each
    Abar = (I - a step A)^-1 (I + (1 - a) step A),   bbar = (I - a step A)^-1 step b
    x_t = Abar x_{t-1} + bbar u_t            or y = K * u + D u with K = (C bbar, C Abar bbar, C Abar^2 bbar, …)

With the HiPPO matrices x holds the best polynomial through the past. Other spacing of the samples needs another step
and nothing else (`resample`).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hippo import Measure, Structured, System, bilinear, log_uniform, of_measure, structured
from remanence.kernels.sequence.state_space import state_space
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.families.mamba import Fixed
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide

CARD = Card(
    slug="lssl",
    substrate="sequence",
    title="Linear state-space layer",
    paper="lssl",
    claim="with a HiPPO matrix, a linear system tells what came in many steps ago, which a stable random one forgets",
    idea="Simulates a linear system for each feature; as a recurrence, as a convolution, and at any sampling rate.",
    equation="x_t = Abar x_{t-1} + bbar u_t, y_t = C x_t + D u_t, Abar = (I - a step A)^-1 (I + (1 - a) step A)",
    source="HazyResearch/state-spaces",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "dropout, the residual path and the norm stand in the block around the layer",
        "the small learning rates of A and of the steps are part of the layer: what is learned of them is scaled by "
        "`slow`, which comes to the same under Adam",
        "A = P(D + T^-1)Q is multiplied out and solved densely: 3 N parameters of T, but N^3 work for each feature",
    ),
)

Start = Literal["legs", "legt", "random"]


class LSSL(SequenceLayer):
    """The layer; the state is `x` [B, D, N].

    Args:
        hidden_size: D.
        state_size: N, numbers that each feature keeps.
        channels: M, outputs of each feature before they are mixed.
        measure: legs | legt, or random: a stable matrix without meaning, the baseline.
        learn: whether A = P(D + T^-1)Q and the steps are learned; otherwise they stay (LSSL-f). `random` stays.
        steps: the least and the greatest step in the time of the system; those of features lie evenly between their
            logarithms.
        alpha: of the discretisation: 0 Euler, 1 backward Euler, 1/2 bilinear.
        slow: how much slower A and steps are learned than the rest.
        convolution: whether whole sequences are convolved by the fast Fourier transform, not by chunks.
        chunk_size: tokens that the parallel form takes together.
        seed: of the initial weights.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        state_size: int = 32,
        channels: int = 1,
        measure: Start = "legs",
        learn: bool = True,
        steps: tuple[float, float] = (1e-3, 1e-1),
        alpha: float = 0.5,
        slow: float = 0.1,
        convolution: bool = False,
        chunk_size: int = 64,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        if min(state_size, channels, chunk_size) < 1 or not 0 < steps[0] <= steps[1] or not 0 <= alpha <= 1:
            raise InvalidInput(
                "state_size, channels and chunk_size must be at least 1, 0 < steps[0] <= steps[1], 0 <= alpha <= 1; "
                f"got {state_size}, {channels}, {chunk_size}, {steps}, {alpha}"
            )
        if learn and measure == "random":
            raise InvalidInput("a random matrix is no member of the family that is learned; give learn=False")
        self.alpha, self.slow, self.chunk_size, self.convolution = alpha, slow, chunk_size, convolution
        self.state_size, self.channels = state_size, channels
        self.log_step = Fixed(value=log_uniform(hidden_size, *steps))
        self.learned: nn.ParameterDict | None = None
        if learn:
            factors = structured(_known(measure), state_size)
            shapes = {name: one.shape for name, one in factors._asdict().items()} | {"b": factors.p.shape}
            shapes["step"] = self.log_step.get("value").shape
            # What is learned is the difference to the start, which keeps its own, full precision.
            self.learned = nn.ParameterDict({name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()})
            self.system = Fixed(**factors._asdict(), b=of_measure(_known(measure), state_size).b)
        else:
            system = _random(state_size) if measure == "random" else of_measure(_known(measure), state_size)
            self.system = Fixed(a=system.a, b=system.b)
            # Inverted once and for all: the matrices of steps are kept, too.
            self.stepped = Fixed(**self._in_steps(system.a, system.b, self.log_step.get("value"))._asdict())
        self.C = nn.Parameter(torch.randn(hidden_size, channels, state_size))
        self.D = nn.Parameter(torch.randn(hidden_size, channels))
        self.out_proj = nn.Linear(channels * hidden_size, hidden_size)

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Nothing came in."""
        device, dtype = self.C.device if device is None else device, self.C.dtype if dtype is None else dtype
        return {"x": torch.zeros(batch, self.hidden_size, self.state_size, device=device, dtype=wide(dtype))}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """Every feature through its system, and all that is read of them mixed."""
        if form == "auto" and self.convolution:
            form = "convolution"
        y, after = self.simulate(x, state["x"], form=form)
        out: Tensor = self.out_proj(functional.gelu(y).flatten(2))
        return out.to(x.dtype), {"x": after}

    def simulate(self, u: Tensor, state: Tensor | None = None, *, form: str = "auto") -> tuple[Tensor, Tensor]:
        """Features u [B, T, D] to what is read of their systems, [B, T, D, M], and x [B, D, N] after the last."""
        with torch.autocast(u.device.type, enabled=False):
            a, b = self.stepwise(wide(u.dtype))
            y, after = state_space.in_form(form)(
                u, a, b, self.C, self.D, initial_state=state, chunk_size=self.chunk_size
            )
        assert after is not None
        return y, after

    def continuous(self, dtype: torch.dtype) -> System:
        """A [N, N] and b [N] before they are cut into steps."""
        if self.learned is None:
            return System(self.system.get("a").to(dtype), self.system.get("b").to(dtype))
        now = {
            name: self.system.get(name).to(dtype) + self.slow * self.learned[name].to(dtype)
            for name in (*Structured._fields, "b")
        }
        b = now.pop("b")
        return System(Structured(**now).matrix(), b)

    def stepwise(self, dtype: torch.dtype) -> System:
        """Abar [D, N, N] and bbar [D, N] of every feature."""
        if self.learned is None:
            return System(self.stepped.get("a").to(dtype), self.stepped.get("b").to(dtype))
        log_step = self.log_step.get("value").to(dtype) + self.slow * self.learned["step"].to(dtype)
        return self._in_steps(*self.continuous(dtype), log_step)

    def resample(self, factor: float) -> None:
        """From now on expect samples that lie `factor` times as far apart; nothing has to be learned anew.

        Raises `InvalidInput` for a factor that is not above 0.
        """
        if not factor > 0:
            raise InvalidInput(f"samples must lie further apart than {factor} times what they did")
        log_step = self.log_step.get("value")
        log_step += math.log(factor)
        if self.learned is None:
            wide_step = log_step.double()
            found = self._in_steps(*self.continuous(torch.float64), wide_step)
            for name, one in found._asdict().items():
                self.stepped.get(name).copy_(one)

    def _in_steps(self, a: Tensor, b: Tensor, log_step: Tensor) -> System:
        return bilinear(a, b, log_step.to(a).exp(), self.alpha)


def _known(measure: Start) -> Measure:
    if measure not in ("legs", "legt"):
        raise InvalidInput(f"measure {measure!r} is none of legs, legt, random")
    return measure


def _random(size: int) -> System:
    """Normal entries, moved to the left until every mode fades at least as exp(-t); b normal."""
    a = torch.randn(size, size, dtype=torch.float64) / math.sqrt(size)
    shift = torch.linalg.eigvals(a).real.max() + 1
    return System(a - shift * torch.eye(size, dtype=torch.float64), torch.randn(size, dtype=torch.float64))

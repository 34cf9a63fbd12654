"""Gated KalmaNet: a memory that fades and that is read with the exact ridge regression on what is left of the past.

    H_t = e^g_t H_{t-1} + beta_t^2 k_t k_t^T,   U_t = e^g_t U_{t-1} + beta_t^2 k_t v_t^T
    x_t = (H_t + lambda_t I)^-1 q_t,            lambda_t = ratio |H_t|_F
    o_t = U_t^T (q_t + alpha_t (x_t - q_t))

The formula is computed in `kernels.sequence.ridge`. H and U are sums: writes can be taken out of a state exactly
(`forget`), and states put together (`merge`), which no memory made of gradient steps allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import ridge as memory
from remanence.kernels.sequence.ridge import RidgeState, Solver
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import Decay, HeadMixer, wide

CARD = Card(
    slug="gated_kalmanet",
    substrate="sequence",
    title="Gated KalmaNet",
    paper="gka",
    claim="recalls under correlated keys what the delta rule and linear attention confuse, from a state of fixed size",
    idea="Keeps the decayed covariances of keys and values, and solves the ridge regression on them for every query.",
    equation="o = U^T (q + alpha ((H + ratio |H|_F I)^-1 q - q)), H = sum w k k^T, U = sum w k v^T, w = decay beta^2",
    source="awslabs/hybrid-model-factory",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "the settings of MesaNet are part of the layer: GatedKalmaNet.mesa; its decay has the form that this one has",
        "forget and merge are this project's; the paper does not use that its state is a sum",
    ),
)

Ridge = Literal["norm", "channel"]
"""A share of the norm of H, or one learned number for each head and channel of the key."""


class Writes(NamedTuple):
    """What some tokens write: k [B, T, H, K], v [B, T, H, V], the weight [B, T, H] of each pair in the sums, and the
    log decay [B, T, H] of the memory just before each of them."""

    k: Tensor
    v: Tensor
    beta: Tensor
    g: Tensor


class GatedKalmaNet(HeadMixer):
    """The layer; the state has `h` [B, H, K, K] and `u` [B, H, K, V].

    Args:
        ridge: where lambda comes from; `ratio` is for "norm", a learned one that begins at 1 for "channel".
        ratio: lambda over the norm of H; the condition number is at most (1 + ratio) / ratio.
        solver: exact | cg | chebyshev.
        iterations: of the solver; it may be changed at any time, fewer are faster.
        mix: whether alpha is learned for each token; otherwise it is 1.
        decay: whether memory fades, by a gate for each token.
        weigh: whether the gate beta multiplies k and v ("both") or the pair ("once").
        others: those of `HeadMixer`.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        ridge: Ridge = "norm",
        ratio: float = 0.02,
        solver: Solver = "chebyshev",
        iterations: int = 30,
        mix: bool = True,
        decay: bool = True,
        weigh: Literal["both", "once"] = "both",
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if ridge not in ("norm", "channel") or weigh not in ("both", "once"):
            raise InvalidInput(f"ridge is norm or channel, weigh is both or once; got {ridge!r} and {weigh!r}")
        if solver not in get_args(Solver) or iterations < 1 or not ratio > 0:
            raise InvalidInput(
                f"solver is one of {', '.join(get_args(Solver))}, iterations at least 1 and ratio above 0; got "
                f"{solver!r}, {iterations} and {ratio}"
            )
        self.ratio, self.solver, self.iterations, self.weigh = ratio, solver, iterations, weigh
        self.b_proj = nn.Linear(self.hidden_size, self.num_heads)
        self.alpha_proj = nn.Linear(self.hidden_size, self.num_heads) if mix else None
        self.decay = Decay(self.hidden_size, self.num_heads) if decay else None
        self.lambda_raw: nn.Parameter | None = None
        if ridge == "channel":
            begin = math.log(math.expm1(1 - 0.25))
            self.lambda_raw = nn.Parameter(torch.full((self.num_heads, self.head_dim), begin))

    @classmethod
    def mesa(cls, **others: Any) -> Self:
        """With the settings of MesaNet: a ridge for each channel, conjugate gradients, pairs weighed once, no mix."""
        return cls(**{"ridge": "channel", "solver": "cg", "mix": False, "weigh": "once", **others})

    @property
    def lam(self) -> Tensor | None:
        """The ridge of each head and channel [H, K], at least 0.25; None where it follows the norm of H."""
        return None if self.lambda_raw is None else functional.softplus(self.lambda_raw) + 0.25

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """H = 0 and U = 0."""
        return memory.empty(batch, self.num_heads, self.head_dim, self.value_dim, device=device, dtype=dtype)._asdict()

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """The weight of the pair, how far to read with the solution, and the log decay."""
        beta = torch.sigmoid(self.b_proj(x))
        found = {"beta": (beta + 1e-6).square() if self.weigh == "both" else beta}
        if self.alpha_proj is not None:
            found["alpha"] = torch.sigmoid(self.alpha_proj(x))
        if self.decay is not None:
            found["g"] = self.decay(x)
        return found

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Write pairs and read with the ridge solution."""
        o, after = memory.ridge.in_form(form)(
            q,
            k,
            v,
            gates.get("beta"),
            gates.get("g"),
            alpha=gates.get("alpha"),
            lam=self.lam,
            ratio=self.ratio,
            solver=self.solver,
            iterations=self.iterations,
            initial_state=RidgeState(**state),
            chunk_size=self.chunk_size,
        )
        assert after is not None
        return o, after._asdict()

    def read(self, q: Tensor, state: State) -> Tensor:
        """What a state answers to queries q [B, N, H, K] after features, without changing: [B, N, H, V]."""
        return memory.read(
            _sums(state), q, lam=self.lam, ratio=self.ratio, solver=self.solver, iterations=self.iterations
        )

    # What only sums allow.

    def writes(self, x: Tensor, state: State | None = None) -> Writes:
        """What tokens x [B, T, D], read after `state`, add to it."""
        _, k, v, _ = self.project(x, self.init_state(x.shape[0], device=x.device) if state is None else state)
        type_, gates = wide(x.dtype), self.gates(x)
        beta = gates["beta"].to(type_)
        g = gates["g"].to(type_) if "g" in gates else torch.zeros_like(beta)
        return Writes(self.features(k.to(type_)), v.to(type_), beta, g)

    def forget(self, state: State, written: Writes, which: Tensor, *, later: Tensor | None = None) -> State:
        """The state as if some of its writes had never happened.

        Args:
            state: one that has read the tokens; it is not changed.
            written: what `writes` said of them.
            which: [B, T], True for those to be taken out.
            later: [B, H], the sum of the log decays of tokens that were read after these; None: there were none.

        What is left of a token in the convolution of the tokens after it is theirs, and stays.

        """
        if which.shape != written.beta.shape[:2] or which.dtype != torch.bool:
            raise InvalidInput(
                f"which must be boolean and [B, T] = {tuple(written.beta.shape[:2])}; got {which.dtype} "
                f"{tuple(which.shape)}"
            )
        after = torch.cat((written.g[:, 1:], torch.zeros_like(written.g[:, :1])), 1)
        since = after.flip(1).cumsum(1).flip(1)
        if later is not None:
            since = since + later[:, None]
        beta = written.beta * which[..., None]
        left = memory.delete(_sums(state), written.k, written.v, beta=beta, g_since=since)
        return {**state, **left._asdict()}

    def merge(self, states: Sequence[State]) -> State:
        """One memory of all that several states hold; it goes on from where the last of them stands.

        Raises `InvalidInput` for no states, and for states of different shapes.
        """
        merged = memory.merge([_sums(state) for state in states])
        return {**states[-1], **merged._asdict()}


def _sums(state: State) -> RidgeState:
    return RidgeState(state["h"], state["u"])

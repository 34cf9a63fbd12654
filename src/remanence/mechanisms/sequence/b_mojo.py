"""B'MOJO: attention over what is recent, what a recurrence has made of the rest, and what could not be predicted.

    window   x_i,  t - w < i <= t            word for word
    fading   f_i,  t - 2w < i <= t - w       outputs of a recurrence that has read everything up to i
    eidetic  x_i,  i <= t - w                word for word: the M whose f_i were predicted worst from f_{i-1}
    o_t = softmax(q_t . k) v                 one softmax over the keys of all three

Windows are computed in `kernels.sequence.attention`, which also joins the parts to one softmax; surprise and what is
kept for it in `kernels.sequence.innovation`. Source: Zancato et al. (arXiv:2407.06324).
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.attention import KV, Part, attend, attention, merge
from remanence.kernels.sequence.innovation import Kept, Predictor, eidetic, innovation, unread
from remanence.kernels.sequence.rotary import rotary
from remanence.kernels.sequence.scan import assoc_scan
from remanence.mechanisms.sequence.linear_attention import LinearAttention
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide
from remanence.substrates.sequence.model import RMSNorm

CARD = Card(
    slug="b_mojo",
    substrate="sequence",
    title="B'MOJO",
    paper="bmojo",
    claim="still recalls, word for word, the old tokens that could not be predicted, where a window has lost them",
    idea="Attends to recent tokens, to outputs of a recurrence for the middle past, and to old tokens that surprised.",
    equation="o_t = softmax over {x_i: t-w < i <= t}, {f_i: t-2w < i <= t-w} and the M old x_i of largest innovation",
    source="awslabs/hybrid-model-factory",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "windows slide by tokens, not by blocks: what a token sees does not depend on where blocks end",
        "how tokens are predicted is not published in detail: here by the ridge regression of each output of the "
        "recurrence on the one before, without a gradient, and the innovation is that of a Kalman filter",
        "a token is offered to the eidetic set when it leaves the window, so that none is seen twice",
    ),
)

Fading = Literal["mamba2", "average", "none"]


class Average(nn.Module):
    """A recurrence without mixing: f_t = a f_{t-1} + (1 - a) x_t, with a learnt a for each channel."""

    def __init__(self, hidden_size: int, keep: float = 0.5) -> None:
        super().__init__()
        self.keep_logit = nn.Parameter(torch.full((hidden_size,), keep).logit())

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """f = 0."""
        weight = self.keep_logit
        kept = wide(weight.dtype if dtype is None else dtype)
        return {"f": torch.zeros(batch, len(weight), device=weight.device if device is None else device, dtype=kept)}

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """x [B, T, D] to f [B, T, D]."""
        a = torch.sigmoid(self.keep_logit.to(state["f"].dtype))
        f = assoc_scan.in_form(form)(a.expand(x.shape), (1 - a) * x.to(a.dtype), state["f"])
        return f.to(x.dtype), {"f": f[:, -1]}


class BMojo(SequenceLayer):
    """The layer. The state has `window_k`, `window_v`, `window_score` of the last w tokens, `fading_k`, `fading_v` of
    the last 2w - 1 outputs of the recurrence, the set `eidetic_…` (where there is nothing its score is -1),
    `predictor_…`, `recurrence_…` and the `position`.

    Args:
        hidden_size, num_heads: D and H.
        window: w.
        eidetic: M; 0: no set.
        fading: the recurrence: Mamba-2, a learnt moving average, or none; then tokens themselves are predicted.
        tie: whether tokens and outputs of the recurrence share projections to keys and values.
        qk_norm: whether queries and keys of each head are brought to the same size.
        forget: what of its past the predictor keeps after a token.
        chunk_size: tokens that the parallel form takes together.
        seed: of the initial weights.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        num_heads: int = 2,
        window: int = 16,
        eidetic: int = 64,
        fading: Fading = "mamba2",
        tie: bool = True,
        qk_norm: bool = False,
        forget: float = 0.999,
        chunk_size: int = 64,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        if num_heads < 1 or hidden_size % num_heads or hidden_size // num_heads % 2:
            raise InvalidInput(f"hidden_size {hidden_size} must be an even multiple of num_heads {num_heads}")
        if window < 1 or eidetic < 0 or chunk_size < 1:
            raise InvalidInput(
                f"window and chunk_size must be at least 1, eidetic at least 0; got {window}, {chunk_size}, {eidetic}"
            )
        if fading not in get_args(Fading) or not 0 < forget <= 1:
            raise InvalidInput(
                f"fading is one of {', '.join(get_args(Fading))} and forget in (0, 1]; got {fading!r} and {forget}"
            )
        self.num_heads, self.head_dim = num_heads, hidden_size // num_heads
        self.window, self.eidetic, self.forget, self.chunk_size = window, eidetic, forget, chunk_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(4)
        )
        self.recurrence: LinearAttention | Average | None = None
        if fading == "mamba2":
            self.recurrence = LinearAttention.mamba2(hidden_size=hidden_size, num_heads=num_heads, seed=None)
        elif fading == "average":
            self.recurrence = Average(hidden_size)
        self.fading_k_proj: nn.Linear | None = None
        self.fading_v_proj: nn.Linear | None = None
        if self.recurrence is not None and not tie:
            self.fading_k_proj, self.fading_v_proj = (nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(2))
        self.q_norm, self.k_norm = (RMSNorm(self.head_dim) if qk_norm else nn.Identity() for _ in range(2))

    # The state.

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Nothing was read."""
        weight = self.q_proj.weight
        device, dtype = weight.device if device is None else device, weight.dtype if dtype is None else dtype
        state: State = {"position": torch.zeros(batch, dtype=torch.long, device=device)}
        for name, places in (("window", self.window), ("fading", 2 * self.window - 1), ("eidetic", self.eidetic)):
            if places and (name != "fading" or self.recurrence is not None):
                for what in ("k", "v"):
                    shape = (batch, places, self.num_heads, self.head_dim)
                    state[f"{name}_{what}"] = torch.zeros(shape, device=device, dtype=wide(dtype))
        if self.eidetic:
            state["eidetic_score"] = -torch.ones(batch, self.eidetic, device=device, dtype=wide(dtype))
            state["window_score"] = torch.zeros(batch, self.window, device=device, dtype=wide(dtype))
            fresh = unread(batch, self.num_heads, self.head_dim, device=device, dtype=wide(dtype))
            state |= {f"predictor_{name}": one for name, one in fresh._asdict().items()}
        if self.recurrence is not None:
            inner = self.recurrence.init_state(batch, device=device, dtype=dtype)
            state |= {f"recurrence_{name}": one for name, one in inner.items()}
        return state

    # The layer.

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """Recurrence and surprise over the tokens, then attention."""
        after = dict(state)
        f = x
        if self.recurrence is not None:
            f, inner = self.recurrence.advance(x, _part(state, "recurrence_"), form=form)
            after |= {f"recurrence_{name}": one for name, one in inner.items()}
        at = state["position"][:, None] + torch.arange(x.shape[1], device=x.device)
        q = self._heads(self.q_norm, self.q_proj, x)
        k, v = self._heads(self.k_norm, self.k_proj, x), self._heads(None, self.v_proj, x)
        fading: tuple[Tensor, Tensor] | None = None
        if self.recurrence is not None:
            fading_k = self._heads(self.k_norm, self.fading_k_proj or self.k_proj, f)
            fading = rotary(fading_k, at), self._heads(None, self.fading_v_proj or self.v_proj, f)
        with torch.autocast(x.device.type, enabled=False):
            score = None
            if self.eidetic:
                score, after = self.surprise(f, after, form=form)
            o, after = self.recall(rotary(q, at), rotary(k, at), v, after, fading=fading, score=score, form=form)
        y: Tensor = self.o_proj(o.flatten(2).to(x.dtype))
        return y.to(x.dtype), after

    def _heads(self, norm: nn.Module | None, projection: nn.Linear, x: Tensor) -> Tensor:
        heads: Tensor = projection(x).unflatten(-1, (self.num_heads, -1))
        if norm is not None:
            heads = norm(heads)
        return heads.to(wide(x.dtype))

    def surprise(self, f: Tensor, state: State, *, form: str = "auto") -> tuple[Tensor, State]:
        """The innovation of each output f [B, T, D] of the recurrence, [B, T], and the state with its predictor."""
        score, predictor = innovation.in_form(form)(
            f.detach().unflatten(-1, (self.num_heads, -1)),
            forget=self.forget, initial_state=Predictor(**_part(state, "predictor_")),
        )  # fmt: skip
        assert predictor is not None
        return score, {**state, **{f"predictor_{name}": one for name, one in predictor._asdict().items()}}

    def recall(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        state: State,
        *,
        fading: tuple[Tensor, Tensor] | None = None,
        score: Tensor | None = None,
        form: str = "auto",
    ) -> tuple[Tensor, State]:
        """Attention, all of it: q, k, v [B, T, H, K] at their positions to o [B, T, H, K].

        Args:
            q, k, v: of the tokens.
            state: what came before.
            fading: keys and values of the outputs of the recurrence, if there is one.
            score: [B, T], at least 0, how much each token deserves a place in the set, if there is one.
            form: "recurrent" or "auto".

        """
        length, after = q.shape[1], dict(state)
        after["position"] = state["position"] + length
        real = self._real(state, self.window)
        window = KV(state["window_k"][:, 1:], state["window_v"][:, 1:], real[:, 1:])
        attend_to, w, size = attention.in_form(form), self.window, self.chunk_size
        o, _, lse = attend_to(q, k, v, window=w, initial_state=window, chunk_size=size)
        parts = [(o, lse)]
        if fading is not None:
            before = KV(state["fading_k"], state["fading_v"], self._real(state, 2 * self.window - 1))
            o, held, lse = attend_to(q, fading[0], fading[1], window=w, lag=w, initial_state=before, chunk_size=size)
            assert held is not None
            parts.append((o, lse))
            after |= {"fading_k": held.k.contiguous(), "fading_v": held.v.contiguous()}
        whole_k, whole_v = torch.cat((state["window_k"], k), 1), torch.cat((state["window_v"], v), 1)
        after |= {"window_k": whole_k[:, length:].contiguous(), "window_v": whole_v[:, length:].contiguous()}
        if score is not None:
            # What leaves the window is offered; before there were w tokens nothing does.
            whole = torch.cat((state["window_score"].masked_fill(~real, -torch.inf), score), 1)
            first = Kept(state["eidetic_k"], state["eidetic_v"], _lowest(state["eidetic_score"]))
            o, kept, lse = eidetic.in_form(form)(
                q, whole_k[:, :length], whole_v[:, :length], whole[:, :length],
                initial_state=first, chunk_size=size,
            )  # fmt: skip
            assert kept is not None
            parts.append((o, lse))
            after |= {"eidetic_k": kept.k, "eidetic_v": kept.v, "eidetic_score": kept.score.clamp(min=-1)}
            after["window_score"] = torch.cat((state["window_score"], score), 1)[:, length:].contiguous()
        return merge(parts)[0], after

    def read(self, q: Tensor, state: State) -> Tensor:
        """What queries q [B, N, H, K] find in a state, each by itself, without being written: [B, N, H, K].

        They see the last w tokens, the w - 1 outputs of the recurrence before those, and the set.
        """
        w, parts = self.window, list[Part]()
        parts.append(attend(q, state["window_k"], state["window_v"], self._real(state, w)[:, None, None]))
        if "fading_k" in state:
            real = self._real(state, 2 * w - 1)[:, None, None, : w - 1]
            parts.append(attend(q, state["fading_k"][:, : w - 1], state["fading_v"][:, : w - 1], real))
        if "eidetic_k" in state:
            real = (state["eidetic_score"] >= 0)[:, None, None]
            parts.append(attend(q, state["eidetic_k"], state["eidetic_v"], real))
        return merge(parts)[0]

    def _real(self, state: State, places: int) -> Tensor:
        """[B, places]: which of as many last tokens there were."""
        return torch.arange(places, device=state["position"].device) >= places - state["position"][:, None]


def _lowest(score: Tensor) -> Tensor:
    return score.masked_fill(score < 0, -torch.inf)


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): one for name, one in state.items() if name.startswith(prefix)}

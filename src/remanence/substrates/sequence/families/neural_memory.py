"""Layers whose memory is a perceptron trained while it is read, alone or beside attention over the recent past.

    lmm: the memory alone
    mag: y = attention([p | x]),  o = norm(y) * sigmoid(norm(memory([p | x])))
    mal: o = attention(memory([p | x]))
    mac: h = memory before the segment, asked with x;  y = attention([p | h | x]) within the segment;
         memory reads y;  o = norm(y) * sigmoid(norm(memory(y)))

p are learnt tokens that every sequence begins with. In `mac` a token sees of its segment what came up to itself, both x
and h, so that a stream may stop anywhere; segments are as long as chunks, at whose start gradients are taken.
Source: Behrouz, Zhong and Mirrokni, Titans (arXiv:2501.00663).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.attention import KV, attention, unseen
from remanence.kernels.sequence.convolution import short_conv
from remanence.kernels.sequence.deep import deep, initial_weights, surprise
from remanence.kernels.sequence.features import Feature, feature
from remanence.kernels.sequence.frozen import Mlp
from remanence.kernels.sequence.omega import omega
from remanence.kernels.sequence.update import Loss, Post, UpdateState
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import HeadMixer, wide
from remanence.substrates.sequence.model import RMSNorm

Variant = Literal["lmm", "mac", "mag", "mal"]
_ATTENTION = "attention."
_PAIRS = ("keys", "values", "weights")
_POSITION = "position"
_SURPRISE = "surprise"


class NeuralMemory(HeadMixer):
    """A memory trained at test time; a mechanism gives `gates`: theta, and eta, g, gamma, rate as far as it has them.

    Args:
        depth: weight matrices of the memory; 1 is a matrix memory, which begins with zeros.
        expansion: width of its hidden layers over that of a key.
        residual: whether it is x + (1 + gain) * layernorm(perceptron(x)); features must then keep the width of a key.
        feature: name of the map after queries and keys are brought to unit length.
        window: pairs that each gradient is taken over.
        loss: see `kernels.sequence.update`.
        post: what is made of the momentum of a weight matrix before it is added.
        variant: how memory and attention stand to each other.
        persistent: learnt tokens at the beginning, where there is attention.
        attention_window: tokens that attention sees in `mag` and `mal`.
        chunk_size: tokens that share the point of their gradients, and a segment of `mac`.
        others: as in `HeadMixer`.

    """

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        depth: int = 2,
        expansion: float = 4.0,
        residual: bool = False,
        feature_name: str = "identity",
        window: int = 1,
        loss: Loss = "squared",
        post: Post | None = None,
        variant: Variant = "lmm",
        persistent: int = 4,
        attention_window: int = 32,
        chunk_size: int = 16,
        **others: Any,
    ) -> None:
        super().__init__(hidden_size=hidden_size, chunk_size=chunk_size, **others)
        if variant not in get_args(Variant):
            raise InvalidInput(f"no variant {variant!r}; there are {', '.join(get_args(Variant))}")
        if window < 1 or attention_window < 1 or persistent < 0:
            raise InvalidInput(
                "window and attention_window must be at least 1 and persistent at least 0; "
                f"got {window}, {attention_window}, {persistent}"
            )
        self.window, self.loss, self.post, self.variant = window, loss, post, variant
        self.feature_map: Feature = feature(feature_name)
        self.perceptron = Mlp(residual)
        first = initial_weights(
            self.num_heads,
            self.feature_map.size(self.head_dim),
            self.value_dim,
            hidden=round(expansion * self.head_dim),
            depth=depth,
            residual=residual,
        )
        # A matrix memory begins empty; a perceptron of zeros would have no gradient.
        self.initial = nn.ParameterList(torch.zeros_like(one) if len(first) == 1 else one for one in first)
        self.persistent: nn.Parameter | None = None
        if variant != "lmm":
            if persistent:
                self.persistent = nn.Parameter(0.02 * torch.randn(persistent, hidden_size))
            self.attention = ShortAttention(
                hidden_size, self.num_heads, self.conv_size, None if variant == "mac" else attention_window
            )
        if variant in ("mac", "mag"):
            self.attention_norm, self.memory_norm = RMSNorm(hidden_size), RMSNorm(hidden_size)
        if variant == "mac":
            self.h_proj = nn.Linear(self.num_heads * self.value_dim, hidden_size, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """Unit length, then the map."""
        return self.feature_map(super().features(x))

    # The state.

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """Weights as they were learnt, no momentum, no pairs, at position 0."""
        state: State = {}
        for number, one in enumerate(self.initial):
            weight = one.to(device=device, dtype=dtype).expand(batch, *one.shape)
            state[f"memory_{number}"], state[f"anchor_{number}"] = weight, weight
            state[f"momentum_{number}"] = torch.zeros_like(weight)
        if self.window > 1:
            sizes = ((self.feature_map.size(self.head_dim),), (self.value_dim,), ())
            for name, size in zip(_PAIRS, sizes, strict=True):
                state[name] = torch.zeros(batch, self.window - 1, self.num_heads, *size, device=device, dtype=dtype)
        state[_POSITION] = torch.zeros(batch, dtype=torch.long, device=device)
        if self.variant != "lmm":
            attended = self.attention.init_state(batch, self.chunk_size, device=device, dtype=dtype)
            state.update({_ATTENTION + name: one for name, one in attended.items()})
        return state

    def phase(self, state: State) -> Tensor:
        """Where in a chunk each sequence stands; -1 where it has not read the persistent tokens."""
        position = state[_POSITION]
        phase = position % self.chunk_size
        return torch.where(position == 0, -1, phase) if self._begins_with_tokens else phase

    @property
    def _begins_with_tokens(self) -> bool:
        return self.persistent is not None and self.variant != "mac"

    # The layer.

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """The recurrence over the tokens."""
        attended = {name.removeprefix(_ATTENTION): one for name, one in state.items() if name.startswith(_ATTENTION)}
        memory = {name: one for name, one in state.items() if not name.startswith(_ATTENTION)}
        if self._begins_with_tokens and int(memory[_POSITION][0]) == 0:
            assert self.persistent is not None
            first = self.persistent.to(x.dtype).expand(x.shape[0], -1, -1)
            _, memory = super().advance(first, memory, form=form)
            if _SURPRISE in memory:
                memory[_SURPRISE] = memory[_SURPRISE][:, first.shape[1] :]
        if self.variant == "lmm":
            y, memory = super().advance(x, memory, form=form)
        elif self.variant == "mal":
            y, memory = super().advance(x, memory, form=form)
            y, attended = self.attention(y, attended, self.persistent)
        elif self.variant == "mag":
            y, attended = self.attention(x, attended, self.persistent)
            said, memory = super().advance(x, memory, form=form)
            y = self._gated(y, said)
        else:
            y, memory, attended = self._by_segments(x, memory, attended, form)
        return y, {**memory, **{_ATTENTION + name: one for name, one in attended.items()}}

    def _by_segments(self, x: Tensor, memory: State, attended: State, form: str) -> tuple[Tensor, State, State]:
        outputs, size = [], self.chunk_size
        at = int(memory[_POSITION][0]) % size
        edges = [0, *range(size - at, x.shape[1], size), x.shape[1]]
        for first, last in pairwise(edges):
            part = x[:, first:last]
            y, attended = self.attention(part, attended, self.persistent, context=self._asked(part, memory))
            said, memory = super().advance(y, memory, form=form)
            outputs.append(self._gated(y, said))
            if int(memory[_POSITION][0]) % size == 0:
                attended = self.attention.forget(attended)
        return torch.cat(outputs, 1), memory, attended

    def _asked(self, x: Tensor, memory: State) -> Tensor:
        """What the memory as it was before this segment answers to x."""
        within = int(memory[_POSITION][0]) % self.chunk_size
        weights = tuple(memory[f"{'anchor' if within else 'memory'}_{i}"] for i in range(len(self.initial)))
        q = functional.silu(self.q_proj(x)).unflatten(-1, (self.num_heads, -1))
        with torch.autocast(x.device.type, enabled=False):
            h = self.perceptron(weights, self.features(q.to(wide(x.dtype))))
        asked: Tensor = self.h_proj(h.flatten(2).to(x.dtype))
        return asked

    def _gated(self, y: Tensor, said: Tensor) -> Tensor:
        gated: Tensor = self.attention_norm(y) * torch.sigmoid(self.memory_norm(said))
        return gated

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Train the memory on pairs and read it: q, k [B, T, H, F], v [B, T, H, V] to o [B, T, H, V]."""
        numbers = range(len(self.initial))
        pairs = (k[:, :0], v[:, :0], k[:, :0, :, 0])
        if self.window > 1:
            pairs = (state["keys"], state["values"], state["weights"])
        weights, momentum, anchor = (
            tuple(state[f"{name}_{i}"] for i in numbers) for name in ("memory", "momentum", "anchor")
        )
        offset = int(state[_POSITION][0]) % self.chunk_size
        before = UpdateState(weights, momentum, anchor, *pairs, offset)
        shared: dict[str, Any] = {
            "initial_state": before, "window": self.window, "loss": self.loss,
            "post": self.post, "chunk_size": self.chunk_size, **gates,
        }  # fmt: skip
        if len(self.initial) == 1:
            o, after = omega.in_form(form)(q, k, v, **shared)
        else:
            o, after = deep.in_form(form)(q, k, v, memory=self.perceptron, **shared)
        assert after is not None
        kept: State = {}
        for i in numbers:
            # Contiguous, as they come back from a file: another layout may be summed in another order.
            kept[f"memory_{i}"] = after.parameters[i].contiguous()
            kept[f"anchor_{i}"] = after.anchor[i].contiguous()
            kept[f"momentum_{i}"] = after.momentum[i].contiguous()
        if self.window > 1:
            kept.update({name: getattr(after, name) for name in _PAIRS})
        kept[_POSITION] = state[_POSITION] + q.shape[1]
        if _SURPRISE in state:
            lost, _ = surprise(k, v, memory=self.perceptron, **shared)
            kept[_SURPRISE] = torch.cat((state[_SURPRISE], lost), 1)
        return o, kept

    def read(self, q: Tensor, state: State) -> Tensor:
        """What the memory answers to q [B, N, H, F], after features, without learning: [B, N, H, V]."""
        return self.perceptron(tuple(state[f"memory_{i}"] for i in range(len(self.initial))), q)

    def surprise(self, x: Tensor, state: State | None = None) -> Tensor:
        """What each token loses under the memory before it, the mean over heads: x [B, T, D] to [B, T].

        A sign of novelty, for what segments a stream or chooses what to keep. Raises `InvalidInput` for sequences that
        stand at different points of a chunk, besides what `scan` refuses.
        """
        if 0 in x.shape[:2]:
            return self.scan(x, state)[0].sum(-1)
        self.scan(x[:, :1], state)
        state = self.init_state(x.shape[0], device=x.device) if state is None else state
        phase = self.phase(state)
        if bool((phase != phase[0]).any()):
            raise InvalidInput(
                f"sequences stand at points {phase.tolist()} of a chunk; ask for those at one by themselves"
            )
        none = x.new_zeros(x.shape[0], 0, self.num_heads, dtype=wide(x.dtype))
        _, after = self.advance(x, {**state, _SURPRISE: none}, form="auto")
        return after[_SURPRISE].mean(-1)


class ShortAttention(nn.Module):
    """Causal attention over a window, or over a segment whose end `forget` marks, with tokens that are always seen.

    `window` None: a segment. Queries, keys and values go through a causal convolution, as in the memory: it is what
    tells positions apart.
    """

    def __init__(self, hidden_size: int, num_heads: int, conv_size: int, window: int | None) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise InvalidInput(
                f"hidden_size {hidden_size} is no multiple of num_heads {num_heads}, which attention needs"
            )
        self.num_heads, self.window, self.width = num_heads, window, hidden_size // num_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(4)
        )
        bound = conv_size**-0.5
        self.conv_weight = nn.Parameter(torch.empty(3 * hidden_size, conv_size).uniform_(-bound, bound))

    def init_state(self, batch: int, segment: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """The last inputs of the convolution, and keys and values: of the window, or of x and h in a segment."""
        count = 2 * (segment - 1) if self.window is None else self.window - 1
        channels, tokens = self.conv_weight.shape
        held = unseen(batch, count, self.num_heads, self.width, self.width, device=device, dtype=dtype)
        assert held.valid is not None
        conv = torch.zeros(batch, tokens - 1, channels, device=device, dtype=dtype)
        return {"conv": conv, "k": held.k, "v": held.v, "valid": held.valid}

    def forget(self, state: State) -> State:
        """At the end of a segment: nothing of it is seen any more."""
        return {**state, **{name: torch.zeros_like(state[name]) for name in ("k", "v", "valid")}}

    def forward(
        self, x: Tensor, state: State, persistent: Tensor | None, *, context: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """x [B, T, D], and `context` [B, T, D] whose token t is seen from x_t on, to y [B, T, D] and the state."""
        kept = state["k"].dtype
        mixed = torch.cat((self.q_proj(x), self.k_proj(x), self.v_proj(x)), -1).to(kept)
        with torch.autocast(x.device.type, enabled=False):
            mixed, tail = short_conv(mixed, self.conv_weight.to(kept), tail=state["conv"], activation="none")
        q, k, v = (one.unflatten(-1, (self.num_heads, -1)) for one in mixed.chunk(3, -1))
        if context is not None:
            seen_k, seen_v = self._keys_and_values(context, kept)
            q, k, v = (torch.stack(two, 2).flatten(1, 2) for two in ((q, q), (seen_k, k), (seen_v, v)))
        prefix = (None, None) if persistent is None else self._keys_and_values(persistent.to(x.dtype), kept)
        with torch.autocast(x.device.type, enabled=False):
            o, held, _ = attention(
                q, k, v,
                window=self.window, initial_state=KV(state["k"], state["v"], state["valid"]),
                prefix_k=prefix[0], prefix_v=prefix[1],
            )  # fmt: skip
        if context is not None:
            o = o[:, 1::2]
        assert held is not None
        assert held.valid is not None
        first = held.k.shape[1] - state["k"].shape[1]
        y: Tensor = self.o_proj(o.flatten(2).to(x.dtype))
        state = {"conv": tail, "k": held.k[:, first:], "v": held.v[:, first:], "valid": held.valid[:, first:]}
        return y.to(x.dtype), {name: one.contiguous() for name, one in state.items()}

    def _keys_and_values(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        k, v = (proj(x).to(dtype).unflatten(-1, (self.num_heads, -1)) for proj in (self.k_proj, self.v_proj))
        return k, v

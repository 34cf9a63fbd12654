"""A small language model around any sequence mechanisms: embedding, blocks, norm, head.

    x = embed(ids);  for every block:  x = x + mixer(norm(x));  x = x + swiglu(norm(x));  logits = head(norm(x))

Plain torch; `remanence.compat.hugging_face` makes it a model of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.mechanism import State

INIT = 0.02
"""Standard deviation of the initial embedding."""


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, computed in float32 at least."""

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] to the same shape and type."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight.to(x.dtype)


class SwiGLU(nn.Module):
    """(silu(x W_gate) * x W_up) W_down, 8/3 as wide within as without."""

    def __init__(self, hidden_size: int, ratio: float = 4.0) -> None:
        super().__init__()
        inner = round(hidden_size * ratio * 2 / 3)
        self.gate = nn.Linear(hidden_size, inner, bias=False)
        self.up = nn.Linear(hidden_size, inner, bias=False)
        self.down = nn.Linear(inner, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] to the same shape."""
        y: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return y


class Block(nn.Module):
    """A mixer over time and one over channels, each behind a norm and beside a residual path."""

    def __init__(self, mixer: SequenceLayer, *, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        size = mixer.hidden_size
        self.mixer_norm, self.mlp_norm = RMSNorm(size), RMSNorm(size)
        self.mixer = mixer
        self.mlp = SwiGLU(size, mlp_ratio)

    def forward(self, x: Tensor, state: State | None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """x [B, T, D] and the state of the mixer to the same, after all tokens."""
        y, state = self.mixer.scan(self.mixer_norm(x), state, mask=mask)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state


class SequenceModel(nn.Module):
    """Token ids to logits, through one mixer per block.

    Args:
        mixers: makes the mixer of each block; called once each, all of the same hidden size.
        vocab_size: how many tokens there are.
        mlp_ratio: width of the channel mixer, before the usual 2/3 of a gated one.
        tie_embeddings: whether the head is the embedding.
        seed: of the initial weights; None: from torch's own generator.

    """

    def __init__(
        self,
        mixers: Sequence[Callable[[], SequenceLayer]],
        *,
        vocab_size: int,
        mlp_ratio: float = 4.0,
        tie_embeddings: bool = True,
        seed: int | None = 0,
    ) -> None:
        super().__init__()
        if not mixers or vocab_size < 1:
            raise InvalidInput(f"a model needs a mixer and a token at least; got {len(mixers)} and {vocab_size}")
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            layers = [make() for make in mixers]
            sizes = {one.hidden_size for one in layers}
            if len(sizes) > 1:
                raise InvalidInput(f"mixers of one model must have one hidden_size; got {sorted(sizes)}")
            size = layers[0].hidden_size
            self.embedding = nn.Embedding(vocab_size, size)
            nn.init.normal_(self.embedding.weight, std=INIT)
            self.blocks = nn.ModuleList(Block(one, mlp_ratio=mlp_ratio) for one in layers)
            self.norm = RMSNorm(size)
            self.head = nn.Linear(size, vocab_size, bias=False)
            nn.init.normal_(self.head.weight, std=INIT)
        if tie_embeddings:
            self.head.weight = self.embedding.weight

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.embedding.num_embeddings

    def init_state(self, batch: int, *, device: torch.device | str | None = None) -> list[State]:
        """The states of all blocks before the first token."""
        return [mixer.init_state(batch, device=device) for mixer in self.mixers]

    @property
    def mixers(self) -> list[SequenceLayer]:
        """The mixers of the blocks, first to last."""
        return [block.mixer for block in self.blocks if isinstance(block, Block)]

    def hidden(
        self, ids: Tensor, states: Sequence[State] | None = None, *, mask: Tensor | None = None
    ) -> tuple[Tensor, list[State]]:
        """Ids [B, T] to what the head reads, [B, T, D], and the states after the last token."""
        if ids.ndim != 2 or ids.is_floating_point():
            raise InvalidInput(f"ids must be whole numbers [B, T]; got {ids.dtype} {tuple(ids.shape)}")
        if states is not None and len(states) != len(self.blocks):
            raise InvalidInput(f"{len(states)} states were given for {len(self.blocks)} blocks")
        x = self.embedding(ids)
        ends = []
        for at, block in enumerate(self.blocks):
            x, end = block(x, None if states is None else states[at], mask=mask)
            ends.append(end)
        y: Tensor = self.norm(x)
        return y, ends

    def forward(
        self, ids: Tensor, states: Sequence[State] | None = None, *, mask: Tensor | None = None
    ) -> tuple[Tensor, list[State]]:
        """Ids [B, T] to logits [B, T, vocabulary] and the states after the last token; `mask` is False for padding."""
        y, ends = self.hidden(ids, states, mask=mask)
        logits: Tensor = self.head(y)
        return logits, ends

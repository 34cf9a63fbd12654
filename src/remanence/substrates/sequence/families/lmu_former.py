"""What LMUFormer puts around its memory: a patch embedding, a channel mixer, and a head that answers at any time.

    x = embedding(signal);  x = x + memory(x);  x = x + mixer(x);  logits_t = mean_{i <= t} head(x_i)

Convolutions see one sample ahead each, so that what the embedding says of a sample comes five samples later. It is run
on streams without recomputing anything (`feed`, `finish`). Source: Liu et al., LMUFormer (arXiv:2402.04882).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.shapes import expect

LAYERS = 4
LOOK_AHEAD = LAYERS + 1
"""Samples that the embedding waits for."""


class PatchEmbedding(nn.Module):
    """Four convolutions over three samples, each with relu and batch norm, and one more for where a sample stands.

    Args:
        channels: of the signal, such as mel bins.
        hidden_size: D.

    """

    def __init__(self, channels: int, hidden_size: int) -> None:
        super().__init__()
        if channels < 1 or hidden_size < 1:
            raise InvalidInput(f"channels and hidden_size must be at least 1; got {channels} and {hidden_size}")
        widths = [channels, *[hidden_size] * LAYERS]
        self.channels = channels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 3) for before, after in zip(widths, [*widths[1:], hidden_size], strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_size) for _ in range(LAYERS))

    def forward(self, signal: Tensor) -> Tensor:
        """[B, T, channels] to [B, T, D]."""
        expect(signal.ndim == 3 and signal.shape[2] == self.channels, "signal must be [B, T, C]", {"signal": signal})
        x = signal.mT
        for number in range(LAYERS + 1):
            x = self._layer(number, functional.pad(x, (1, 1)))
        return x.mT

    def start(self, batch: int) -> list[Tensor]:
        """What each convolution has seen before the first sample: the zero in front of it."""
        return [torch.zeros_like(one.weight[:1, :, 0]).expand(batch, -1)[..., None] for one in self._convolutions()]

    def feed(self, signal: Tensor, seen: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Some more samples [B, T, channels] to what can be said now [B, T', D], and what is kept.

        In all, the first `LOOK_AHEAD` samples fewer than were fed are told; `finish` tells the rest. Call `eval` first:
        the statistics of a batch are not those of its pieces.
        """
        if self.training:
            raise InvalidInput("a stream needs fixed statistics; call eval() first")
        x, kept = signal.mT, []
        for number, before in enumerate(seen):
            whole = torch.cat((before, x), 2)
            kept.append(whole[..., -2:])
            x = self._layer(number, whole) if whole.shape[2] > 2 else self._nothing(whole)
        return x.mT, kept

    def finish(self, seen: list[Tensor]) -> Tensor:
        """What can be said once no more samples come, [B, up to LOOK_AHEAD, D]."""
        x = seen[0][..., :0]
        for number, before in enumerate(seen):
            whole = functional.pad(torch.cat((before, x), 2), (0, 1))
            x = self._layer(number, whole) if whole.shape[2] > 2 else self._nothing(whole)
        return x.mT

    def _convolutions(self) -> list[nn.Conv1d]:
        return [one for one in self.convolutions if isinstance(one, nn.Conv1d)]

    def _nothing(self, like: Tensor) -> Tensor:
        return like.new_zeros(like.shape[0], self._convolutions()[0].out_channels, 0)

    def _layer(self, number: int, x: Tensor) -> Tensor:
        """[B, C, T + 2] to [B, D, T]."""
        found: Tensor = self.convolutions[number](x)
        return x[..., 1:-1] + found if number == LAYERS else self.norms[number](torch.relu(found))


class ChannelMixer(nn.Module):
    """W_2 norm(gelu(W_1 x)): four times as wide within; on tokens, so it needs no state."""

    def __init__(self, hidden_size: int, ratio: float = 4.0) -> None:
        super().__init__()
        inner = round(hidden_size * ratio)
        self.up, self.down = nn.Linear(hidden_size, inner), nn.Linear(inner, hidden_size)
        self.inner_norm, self.outer_norm = nn.BatchNorm1d(inner), nn.BatchNorm1d(hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] to the same shape."""
        x = functional.gelu(self.inner_norm(self.up(x).mT))
        x = functional.gelu(self.outer_norm(self.down(x.mT).mT))
        return x.mT


class AnytimeHead(nn.Module):
    """The mean of what all tokens so far say: an answer after each of them, the last one being the whole's.

    `total` [B, classes] and `count` carry it over calls.
    """

    def __init__(self, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.proj = nn.Linear(hidden_size, classes)

    def forward(self, x: Tensor, total: Tensor | None = None, count: int = 0) -> tuple[Tensor, Tensor, int]:
        """x [B, T, D] to logits [B, T, classes], and what to give with the next tokens."""
        said: Tensor = self.proj(x)
        sums = said.cumsum(1) + (0 if total is None else total[:, None])
        numbers = count + torch.arange(1, x.shape[1] + 1, device=x.device)
        after = sums[:, -1] if x.shape[1] else (sums.new_zeros(x.shape[0], sums.shape[2]) if total is None else total)
        return sums / numbers[:, None], after, count + x.shape[1]


def settled(logits: Tensor) -> Tensor:
    """After how many tokens [B] the answer of a head [B, T, classes] was the last one and stayed so."""
    told = logits.argmax(-1)
    other = told != told[:, -1:]
    numbers = torch.arange(1, logits.shape[1] + 1, device=logits.device)
    return (other * numbers).amax(1) + 1

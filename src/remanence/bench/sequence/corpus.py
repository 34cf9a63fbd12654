"""What sequence models are trained and tested on here: bytes of a text, and token tasks with known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from remanence.bench.sequence.training import Batch
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.scenarios.mqar import TokenTask

BYTES = 256
"""Tokens of a byte-level model."""


@dataclass(frozen=True)
class ByteCorpus:
    """A text as bytes, its last part kept for testing.

    `train` and `test` are [N] whole numbers below 256.
    """

    train: Tensor
    test: Tensor

    @classmethod
    def read(cls, path: Path, *, test_share: float = 0.1) -> ByteCorpus:
        """From a file of any kind. Raises `ImportFormatError` when there is none or too little in it."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImportFormatError(f"the text {path} cannot be read: {error.strerror}") from error
        return cls.of(data, test_share=test_share, name=str(path))

    @classmethod
    def of(cls, data: bytes, *, test_share: float = 0.1, name: str = "the text") -> ByteCorpus:
        """From bytes. Raises `ImportFormatError` when there are fewer than 1,000 of them."""
        if len(data) < 1000:
            raise ImportFormatError(f"{name} has {len(data)} bytes; a thousand are the least to train and test on")
        if not 0 < test_share < 1:
            raise InvalidInput(f"test_share must lie between 0 and 1, not {test_share}")
        whole = torch.frombuffer(bytearray(data), dtype=torch.uint8).long()
        cut = round(len(data) * (1 - test_share))
        return cls(whole[:cut], whole[cut:])

    def batches(self, seed: int, *, size: int, length: int) -> Callable[[int], Batch]:
        """Random stretches to train on; which ones is decided by seed and step alone.

        Raises `InvalidInput` for stretches without a byte, or longer than what there is to train on.
        """
        if size < 1 or length < 1:
            raise InvalidInput(f"a batch needs a stretch of a byte at least; got {size} of {length} bytes")
        if length + 1 > len(self.train):
            raise InvalidInput(f"stretches of {length} bytes do not fit into the {len(self.train)} to train on")

        def batch(step: int) -> Batch:
            rng = np.random.default_rng([seed, step])
            starts = torch.from_numpy(rng.integers(len(self.train) - length, size=size))
            ids = self.train[starts[:, None] + torch.arange(length + 1)]
            return Batch(ids[:, :-1], ids[:, 1:], torch.ones(size, length, dtype=torch.bool))

        return batch

    def test_batch(self, *, size: int, length: int) -> Batch:
        """As many stretches of the held-out part as there are, up to `size`, spread evenly over it."""
        room = len(self.test) - length - 1
        if room < 0:
            raise InvalidInput(f"stretches of {length} bytes do not fit into the {len(self.test)} to test on")
        starts = torch.linspace(0, room, min(size, max(1, len(self.test) // (length + 1)))).long()
        ids = self.test[starts[:, None] + torch.arange(length + 1)]
        return Batch(ids[:, :-1], ids[:, 1:], torch.ones(len(starts), length, dtype=torch.bool))


def batch_of(task: TokenTask) -> Batch:
    """A token task as something to train and test on: only what is asked counts."""
    return Batch(torch.from_numpy(task.ids), torch.from_numpy(task.targets), torch.from_numpy(task.asked))

"""A model of two layers, built and not trained, that answers joint recall: which value was read with this context and
this key?

    state   [context, key, value, is_value]: a token overwrites the coordinates in which it is not 0
    store   key [context, key, 0, is_value], value [value];  ask with [context, key, 0, 1]

The state is one step of a selective state space (a coordinate is kept or replaced), the look-up is attention to the
newest keys of a hash bucket. Source: the constructive proof in HAX (Overcoming long-context limitations of state-space
models via context-dependent sparse attention, 2025), which shows that no state of fixed size alone can do it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.attention import attention
from remanence.kernels.sequence.scan import assoc_scan
from remanence.kernels.sequence.shapes import expect
from remanence.kernels.sequence.sparse_attention import sparse_attention

OTHER, CONTEXT, KEY, VALUE = range(4)
"""Kinds of tokens."""


class ConstructedRecall:
    """Answers ids [B, T] with the value that each place asks for.

    Args:
        kinds: [vocabulary], what each token is: OTHER, CONTEXT, KEY or VALUE.
        lookup: hash: the newest keys of the query's bucket; window: the newest keys of all.
        keys: how many keys a query sees.
        bits: of the hash.
        width: of the random code of a token.
        sharpness: of attention.
        seed: of codes and hash.

    """

    def __init__(
        self,
        kinds: Tensor,
        *,
        lookup: Literal["hash", "window"] = "hash",
        keys: int = 64,
        bits: int = 8,
        width: int = 16,
        sharpness: float = 60.0,
        seed: int = 0,
    ) -> None:
        if lookup not in ("hash", "window") or min(keys, bits, width) < 1:
            raise InvalidInput(
                f"lookup is hash or window, keys, bits and width at least 1; got {lookup!r}, {keys}, {bits}, {width}"
            )
        self.kinds, self.lookup, self.keys, self.width, self.sharpness = kinds, lookup, keys, width, sharpness
        generator = torch.Generator().manual_seed(seed)
        codes = torch.nn.functional.normalize(torch.randn(len(kinds), width, generator=generator), dim=-1)
        self.codes = codes
        parts = [codes * (kinds == kind)[:, None] for kind in (CONTEXT, KEY, VALUE)]
        mark = (kinds == VALUE).float() - ((kinds == CONTEXT) | (kinds == KEY)).float()
        self.embedding = torch.cat((*parts, mark[:, None]), 1)
        self.planes = torch.randn(3 * width + 1, bits, generator=generator)

    def states(self, ids: Tensor) -> Tensor:
        """What is known after each token, [B, T, 3 width + 1]."""
        embedded = self.embedding[ids]
        return assoc_scan((embedded == 0).to(embedded.dtype), embedded)

    def answer(self, ids: Tensor) -> Tensor:
        """The id of a value [B, T] for every place, whether or not it asks for one."""
        expect(ids.ndim == 2 and not ids.is_floating_point(), "ids must be whole numbers [B, T]", {"ids": ids})
        known, width = self.states(ids), self.width
        k = torch.cat((known[..., : 2 * width], torch.zeros_like(known[..., :width]), known[..., -1:]), -1)
        q = torch.cat((k[..., :-1], torch.ones_like(k[..., -1:])), -1)
        v = known[..., 2 * width : 3 * width]
        if self.lookup == "hash":
            read = sparse_attention(
                q, k, v, self.planes, recent=self.keys, centre=False, scale=self.sharpness, output_final_state=False
            ).o
        else:
            heads = (one[:, :, None] for one in (q, k, v))
            read = attention(*heads, window=self.keys, scale=self.sharpness, output_final_state=False).o[:, :, 0]
        values = (self.kinds == VALUE).nonzero()[:, 0]
        return values[(read @ self.codes[values].mT).argmax(-1)]

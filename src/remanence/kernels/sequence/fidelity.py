"""How much of what was read is still there: diagnostics for any model that reads tokens in layers.

    ETMF_delta = mean_j cos(t_j, sum_v softmax(W h_{j + delta})_v e_v)      can the token be told from the last layer?
    ECLMF_G    = 1 - |Y - X W|_F / (|X|_F + 1e-6),  X = h^l, Y = h^{l + G}   can a layer be told from one G below it?

with W the ridge regression of Y on X. Source: MemMamba (arXiv:2510.03279); 1 is everything, 0 is nothing, and ECLMF
falls below 0 where Y is longer than X and has nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.shapes import expect


def token_fidelity(tokens: Tensor, hidden: Tensor, head: Tensor, embedding: Tensor, *, delay: int = 0) -> float:
    """ETMF: the mean cosine between the embedding of each token and the one that the output `delay` tokens later means.

    Args:
        tokens: embeddings of what was read, [B, T, D].
        hidden: of the last layer, [B, T, K].
        head: from hidden to logits of the vocabulary, [V, K].
        embedding: of the vocabulary, [V, D].
        delay: 0: at the token itself; the publication uses 8, 16 and 32 beside it.

    Raises `InvalidInput` for other shapes, and for a delay that leaves no token.

    """
    given = {"tokens": tokens, "hidden": hidden, "head": head, "embedding": embedding}
    fits = tokens.ndim == 3 and hidden.ndim == 3 and tokens.shape[:2] == hidden.shape[:2]
    expect(fits, "tokens must be [B, T, D] and hidden [B, T, K]", given)
    expect(head.ndim == 2 and head.shape[1] == hidden.shape[2], "head must be [V, K]", given)
    expect(embedding.shape == (head.shape[0], tokens.shape[2]), "embedding must be [V, D]", given)
    length = tokens.shape[1]
    if not 0 <= delay < length:
        raise InvalidInput(f"delay must lie between 0 and the {length} tokens less one, not be {delay}")
    told = torch.softmax(hidden[:, delay:] @ head.mT, -1) @ embedding
    return float(functional.cosine_similarity(tokens[:, : length - delay], told, dim=-1).mean())


def layer_fidelity(layers: Sequence[Tensor], *, gap: int = 1, ridge: float = 1e-4) -> list[float]:
    """ECLMF of every layer and the one `gap` above it: one number for each such pair.

    Args:
        layers: outputs of the layers, first to last, each [..., D] with the same number of tokens.
        gap: G; the publication uses 2, 5 and 10.
        ridge: weight of |W|^2 beside |Y - X W|^2.

    With fewer tokens than D, W fits anything: use several times as many.

    """
    if not 1 <= gap < len(layers):
        raise InvalidInput(f"gap must lie between 1 and the {len(layers)} layers less one, not be {gap}")
    return [_layer_fidelity(one, other, ridge) for one, other in zip(layers, layers[gap:], strict=False)]


def _layer_fidelity(below: Tensor, above: Tensor, ridge: float) -> float:
    expect(below.shape[:-1] == above.shape[:-1], "layers must have the same tokens", {"X": below, "Y": above})
    x, y = below.flatten(0, -2).double(), above.flatten(0, -2).double()
    gram = x.mT @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    left = y - x @ torch.linalg.solve(gram, x.mT @ y)
    return float(1 - left.norm() / (x.norm() + 1e-6))

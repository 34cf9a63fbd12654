"""The matrix memory of Titans: gradient descent with momentum and decay on what a token surprises it with.

    e_t = grad of the loss at f = M^T k_t, M the memory at the last chunk boundary    (2 (M^T k_t - v_t) if squared)
    S_t = eta_t S_{t-1} - theta_t k_t e_t^T
    M_t = alpha_t M_{t-1} + S_t
    o_t = M_t^T q_t

With chunks of one token the gradient is taken at M_{t-1}: the recurrence as published; longer chunks are its published
parallel form. A state knows how far into a chunk it is, so that a stream may be cut anywhere.
Source: Behrouz, Zhong and Mirrokni, Titans (arXiv:2501.00663).
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.frozen import Gates, Mlp, drawn, error, frozen_chunks, given, last_pairs
from remanence.kernels.sequence.update import Loss, UpdateState

MATRIX = Mlp()
Result = tuple[Tensor, UpdateState | None]


def naive_recurrent_titans(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    theta: Tensor | None = None,
    eta: Tensor | None = None,
    g: Tensor | None = None,
    loss: Loss = "squared",
    scale: float = 1.0,
    chunk_size: int = 64,
    initial_state: UpdateState | None = None,
    output_final_state: bool = True,
) -> Result:
    """`o [B, T, H, V], state = titans(q, k, v, theta=…, eta=…, g=…)`.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V].
        theta, eta: step size (None: 1) and momentum (None: 0), [B, T, H].
        g: log decay, [B, T, H]; None: nothing is forgotten.
        loss: "squared" is |f - v|^2 as published; "l2" half of it; "dot" -<f, v>.
        scale: factor on q. It is 1, not K ** -0.5: the memory is fitted to the keys as they are.
        chunk_size: tokens that share the point of their gradients.
        initial_state: see `update.start` for one with a given M_0; None: an empty memory.
        output_final_state: whether to return the state.

    Raises `InvalidInput` for shapes that do not match.

    """
    type_ = v.dtype
    gates = Gates(g, eta, theta)
    q, k, v, (g, eta, theta, _, _), state = given(
        q, k, v, gates, initial_state, memory=MATRIX, loss=loss, window=1, chunk_size=chunk_size, scale=scale
    )
    ((m,), (s,), (anchor,)), offset = (state.parameters, state.momentum, state.anchor), state.offset
    outputs = [v[:, :0]]
    for t in range(k.shape[1]):
        if offset % chunk_size == 0:
            anchor = m
        e = error(torch.einsum("bhkv,bhk->bhv", anchor, k[:, t]), v[:, t], loss)
        if theta is not None:
            e = theta[:, t, :, None] * e
        past = torch.zeros_like(s) if eta is None else eta[:, t, :, None, None] * s
        s = past - torch.einsum("bhk,bhv->bhkv", k[:, t], e)
        m = (m if g is None else g[:, t, :, None, None].exp() * m) + s
        outputs.append(torch.einsum("bhkv,bhk->bhv", m, q[:, t])[:, None])
        offset += 1
    final = UpdateState((m,), (s,), (anchor,), *last_pairs(state, k, v, None, 0), offset)
    return torch.cat(outputs, 1).to(type_), final if output_final_state else None


def chunk_titans(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    theta: Tensor | None = None,
    eta: Tensor | None = None,
    g: Tensor | None = None,
    loss: Loss = "squared",
    scale: float = 1.0,
    chunk_size: int = 64,
    initial_state: UpdateState | None = None,
    output_final_state: bool = True,
) -> Result:
    """`naive_recurrent_titans`, a chunk at a time."""
    type_ = v.dtype
    arguments = given(
        q, k, v, Gates(g, eta, theta), initial_state,
        memory=MATRIX, loss=loss, window=1, chunk_size=chunk_size, scale=scale,
    )  # fmt: skip
    o, state = frozen_chunks(*arguments, memory=MATRIX, loss=loss, window=1, chunk_size=chunk_size, post=None)
    return o.to(type_), state if output_final_state else None


def _example(length: int, generator: torch.Generator) -> Call:
    tensors, gates = drawn(length, generator)
    return Call(tensors, {name: gates[name] for name in ("theta", "eta", "g")})


titans = Op(naive_recurrent_titans, chunk_titans, examples={"Titans, matrix memory": _example})

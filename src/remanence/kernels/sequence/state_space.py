"""Linear state spaces over time: with matrices that stay, in three forms, and with ones that each token chooses.

    state_space:     x_t = A x_{t-1} + b u_t,                            y_t = C x_t + D u_t
    selective_scan:  h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t,            y_t = C_t h_t + D x_t

As a convolution y = K * u + D u with K = (C b, C A b, C A^2 b, …). Sources: Gu et al., Combining recurrent,
convolutional, and continuous-time models with linear state-space layers (arXiv:2110.13985); Gu and Dao, Mamba
(arXiv:2312.00752).

>>> import torch
>>> u, a = torch.ones(1, 4, 1), torch.full((1, 1, 1), 0.5)
>>> y, state = state_space(u, a, torch.ones(1, 1), torch.ones(1, 1, 1))
>>> y.flatten().tolist(), state.item()
([1.0, 1.5, 1.75, 1.875], 1.875)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from remanence.kernels.sequence.chunks import accumulation, chunk_length, without_autocast
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.scan import assoc_scan
from remanence.kernels.sequence.shapes import expect
from remanence.kernels.sequence.sound import without_nan


@without_autocast
def naive_recurrent_state_space(
    u: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """H systems with one input each and M outputs, token by token.

    Args:
        u: [B, T, H].
        a, b: of steps, [H, N, N] and [H, N].
        c, d: [H, M, N] and [H, M]; d is 0 if left out.
        initial_state: [B, H, N].
        output_final_state: whether to return x after the last token.
        chunk_size: tokens that the other forms take together.

    Returns y [B, T, H, M] of the type of u, and the state in float32 at least. Raises `InvalidInput` for other shapes.

    """
    u, (a, b, c), d, x, type_ = _prepared(u, a, b, c, d, initial_state)
    ys = []
    for t in range(u.shape[1]):
        x = torch.einsum("hnm,bhm->bhn", a, x) + b * u[:, t, :, None]
        ys.append(torch.einsum("hmn,bhn->bhm", c, x))
    y = torch.stack(ys, 1) if ys else u.new_zeros(*u.shape, c.shape[1])
    return _fed_through(y, u, d).to(type_), x if output_final_state else None


@without_autocast
def chunk_state_space(
    u: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """`naive_recurrent_state_space`: a convolution within chunks of tokens, the recurrence from chunk to chunk."""
    u, (a, b, c), d, x, type_ = _prepared(u, a, b, c, d, initial_state)
    length = u.shape[1]
    if not u.numel():
        return u.new_zeros(*u.shape, c.shape[1]).to(type_), x if output_final_state else None
    size = chunk_length(chunk_size, length)
    squares = _squares(a, size)
    reach = krylov(squares, b[:, None], size, transposed=True)[:, 0]  # A^j b, [H, C, N]
    seen = krylov(squares, c @ a, size)  # C A^(j + 1), [H, M, C, N]
    kernel = torch.einsum("hmn,hjn->hmj", c, reach)
    at = torch.arange(size, device=u.device)
    back = at[:, None] - at
    toeplitz = kernel[..., back.clamp(min=0)].masked_fill(back < 0, 0)
    (clean,), spoilt = without_nan((u,))
    cut = functional.pad(clean, (0, 0, 0, -length % size)).unflatten(1, (-1, size))  # [B, chunks, C, H]
    written = torch.einsum("hjn,bgjh->bghn", reach.flip(1), cut)
    starts = []
    for at_chunk in range(cut.shape[1]):
        starts.append(x)
        x = torch.einsum("hnm,bhm->bhn", squares[-1], x) + written[:, at_chunk]
    y = torch.einsum("hmij,bgjh->bgihm", toeplitz, cut)
    y = (y + torch.einsum("hmin,bghn->bgihm", seen, torch.stack(starts, 1))).flatten(1, 2)[:, :length]
    if left := length % size:
        x = _after(squares, starts[-1], left) + torch.einsum("hjn,bjh->bhn", reach[:, :left].flip(1), cut[:, -1, :left])
    y = _fed_through(y, u, d) + spoilt[..., None]
    return y.to(type_), x + spoilt[:, -1, :, None] if output_final_state else None


@without_autocast
def convolved_state_space(
    u: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """`naive_recurrent_state_space` as one convolution over all tokens, by the fast Fourier transform."""
    u, (a, b, c), d, x, type_ = _prepared(u, a, b, c, d, initial_state)
    length = u.shape[1]
    if not u.numel():
        return u.new_zeros(*u.shape, c.shape[1]).to(type_), x if output_final_state else None
    squares = _squares(a, chunk_length(length, length))
    reach = krylov(squares, b[:, None], length, transposed=True)[:, 0]
    kernel = torch.einsum("hmn,hjn->hmj", c, reach)
    (clean,), spoilt = without_nan((u,))
    y = fft_conv(clean.movedim(1, -1)[:, :, None], kernel).movedim(-1, 1)
    if initial_state is not None:
        y = y + torch.einsum("hmtn,bhn->bthm", krylov(squares, c @ a, length), x)
    y = _fed_through(y, u, d) + spoilt[..., None]
    if not output_final_state:
        return y.to(type_), None
    x = _after(squares, x, length) + torch.einsum("hjn,bjh->bhn", reach.flip(1), clean)
    return y.to(type_), x + spoilt[:, -1, :, None]


def fft_conv(u: Tensor, kernel: Tensor) -> Tensor:
    """y_t = sum_{j <= t} kernel_j u_{t-j} along the last axis, of equal length; the axes before are broadcast."""
    length = u.shape[-1]
    spectrum = torch.fft.rfft(u, 2 * length) * torch.fft.rfft(kernel, 2 * length)
    y: Tensor = torch.fft.irfft(spectrum, 2 * length)[..., :length]
    return y


def krylov(squares: list[Tensor], rows: Tensor, length: int, *, transposed: bool = False) -> Tensor:
    """rows A^j for j < length, or rows (A^T)^j: [H, R, N] to [H, R, length, N], in log(length) products.

    `squares` are A, A^2, A^4, … [H, N, N], as many as it takes.
    """
    found = rows.unsqueeze(2)
    for power in squares:
        if found.shape[2] >= length:
            break
        found = torch.cat((found, found @ (power.mT if transposed else power)[:, None]), 2)
    return found[:, :, :length]


def _squares(a: Tensor, size: int) -> list[Tensor]:
    """A, A^2, A^4, … A^size, for a power of two."""
    found = [a]
    while 1 << (len(found) - 1) < size:
        found.append(found[-1] @ found[-1])
    return found


def _after(squares: list[Tensor], x: Tensor, steps: int) -> Tensor:
    """A^steps x."""
    for bit, power in enumerate(squares):
        if steps >> bit & 1:
            x = torch.einsum("hnm,bhm->bhn", power, x)
    return x


def _fed_through(y: Tensor, u: Tensor, d: Tensor | None) -> Tensor:
    return y if d is None else y + u[..., None] * d.to(y.dtype)


def _prepared(
    u: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, state: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], Tensor | None, Tensor, torch.dtype]:
    given = {
        "u": u,
        "a": a,
        "b": b,
        "c": c,
        **{n: one for n, one in {"d": d, "state": state}.items() if one is not None},
    }
    expect(u.ndim == 3 and a.ndim == 3 and c.ndim == 3, "u must be [B, T, H], a [H, N, N] and c [H, M, N]", given)
    batch, _, heads = u.shape
    size, outputs = a.shape[2], c.shape[1]
    expect(a.shape == (heads, size, size) and b.shape == (heads, size), "a must be [H, N, N], b [H, N]", given)
    expect(c.shape == (heads, outputs, size), "c must be [H, M, N]", given)
    expect(d is None or d.shape == (heads, outputs), "d must be [H, M]", given)
    expect(state is None or state.shape == (batch, heads, size), "the state must be [B, H, N]", given)
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)
    type_ = accumulation(*given.values())
    x = u.new_zeros(batch, heads, size, dtype=type_) if state is None else state.to(type_)
    return u.to(type_), (a.to(type_), b.to(type_), c.to(type_)), d, x, u.dtype


def _example(length: int, generator: torch.Generator) -> Call:
    heads, size = 64, 32
    skew = torch.randn(heads, size, size, generator=generator)
    a = torch.linalg.matrix_exp(skew - skew.mT) * 0.99
    u, b, c = (
        torch.randn(*shape, generator=generator) for shape in ((1, length, heads), (heads, size), (heads, 1, size))
    )
    return Call((u, a, b, c))


state_space = Op(naive_recurrent_state_space, chunk_state_space, examples={"64 systems of 32": _example})
# No device chooses it: it is faster only where states are wide and sequences long.
state_space.register("convolution")(convolved_state_space)


# Systems that every token sets anew.


@without_autocast
def naive_recurrent_selective_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Mamba's scan: diagonal systems of N numbers for each of E channels, token by token.

    Args:
        x, dt: inputs and time steps >= 0, [B, T, E].
        a: [E, N], below 0 for what fades.
        b, c: how each token writes and reads, [B, T, N].
        d: [E]; 0 if left out.
        initial_state: [B, E, N].
        output_final_state: whether to return h after the last token.

    Returns y [B, T, E] of the type of x, and the state in float32 at least. Raises `InvalidInput` for other shapes.

    """
    type_, d, h, (x, dt, a, b, c) = _selected(x, dt, a, b, c, d, initial_state)
    ys = []
    for t in range(x.shape[1]):
        h = torch.exp(dt[:, t, :, None] * a) * h + (dt[:, t] * x[:, t])[..., None] * b[:, t, None]
        ys.append(torch.einsum("ben,bn->be", h, c[:, t]))
    y = torch.stack(ys, 1) if ys else torch.zeros_like(x)
    return (y if d is None else y + d * x).to(type_), h if output_final_state else None


@without_autocast
def chunk_selective_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """`naive_recurrent_selective_scan` as an elementwise linear scan; keeps [B, T, E, N] for the gradient."""
    type_, d, h, (x, dt, a, b, c) = _selected(x, dt, a, b, c, d, initial_state)
    decay = torch.exp(dt[..., None] * a)
    hs = assoc_scan.in_form("chunk")(decay, (dt * x)[..., None] * b[:, :, None], h)
    y = torch.einsum("bten,btn->bte", hs, c)
    after = (hs[:, -1] if x.shape[1] else h) if output_final_state else None
    return (y if d is None else y + d * x).to(type_), after


def _selected(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, state: Tensor | None
) -> tuple[torch.dtype, Tensor | None, Tensor, list[Tensor]]:
    optional = {"d": d, "state": state}
    given = {"x": x, "dt": dt, "a": a, "b": b, "c": c, **{n: one for n, one in optional.items() if one is not None}}
    expect(x.ndim == 3 and dt.shape == x.shape, "x and dt must be [B, T, E]", given)
    batch, length, channels = x.shape
    expect(a.ndim == 2 and a.shape[0] == channels, "a must be [E, N]", given)
    expect(b.shape == c.shape == (batch, length, a.shape[1]), "b and c must be [B, T, N]", given)
    expect(d is None or d.shape == (channels,), "d must be [E]", given)
    shape = (batch, channels, a.shape[1])
    expect(state is None or state.shape == shape, "the state must be [B, E, N]", given)
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)
    type_ = accumulation(*given.values())
    h = x.new_zeros(shape, dtype=type_) if state is None else state.to(type_)
    return x.dtype, None if d is None else d.to(type_), h, [one.to(type_) for one in (x, dt, a, b, c)]


def _selective_example(length: int, generator: torch.Generator) -> Call:
    channels, size = 64, 16
    x, b, c = (torch.randn(1, length, width, generator=generator) for width in (channels, size, size))
    dt = functional.softplus(torch.randn(1, length, channels, generator=generator) - 3)
    a = -torch.arange(1.0, size + 1).expand(channels, size)
    return Call((x, dt, a, b, c))


selective_scan = Op(
    naive_recurrent_selective_scan, chunk_selective_scan, examples={"64 channels of 16": _selective_example}
)

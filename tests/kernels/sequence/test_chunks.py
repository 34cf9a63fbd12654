from __future__ import annotations

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation, chunk_length, chunked, decayed_products, unchunked


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_products_are_sums_over_channels_with_the_decay_on_the_way(size: int, by_channel: bool) -> None:
    """The definition, term by term, of everything that `decayed_products` returns."""
    x, other, y = (draw(3, size, 4, seed=seed) for seed in range(3))
    g = -draw(3, size, 4, seed=3).square()
    g = g if by_channel else g[..., 0]
    a = (g if by_channel else g.unsqueeze(-1).expand(3, size, 4)).exp()
    found = decayed_products([x, other], y, g)
    assert len(found.products) == len(found.from_start) == 2
    for one, products, from_start in zip((x, other), found.products, found.from_start, strict=True):
        for i in range(size):
            torch.testing.assert_close(from_start[:, i], one[:, i] * a[:, : i + 1].prod(1))
            for j in range(size):
                way = a[:, j + 1 : i + 1].prod(1)
                wanted = (one[:, i] * way * y[:, j]).sum(-1) if j <= i else torch.zeros(3, dtype=x.dtype)
                torch.testing.assert_close(products[:, i, j], wanted)
    for j in range(size):
        torch.testing.assert_close(found.to_end[:, j], y[:, j] * a[:, j + 1 :].prod(1))
    torch.testing.assert_close(found.over.expand(3, 1, 4), a.prod(1, keepdim=True))


def test_without_decay_products_are_plain() -> None:
    x, y = draw(3, 8, 4), draw(3, 8, 4, seed=1)
    plain, zero = decayed_products([x], y), decayed_products([x], y, torch.zeros(3, 8, dtype=x.dtype))
    torch.testing.assert_close(plain.products[0], (x @ y.mT).tril())
    torch.testing.assert_close(plain.products[0], zero.products[0])
    torch.testing.assert_close(plain.from_start[0], zero.from_start[0])
    torch.testing.assert_close(plain.to_end, zero.to_end)


@pytest.mark.parametrize("by_channel", [False, True])
def test_weak_decay_after_strong_is_not_lost_in_rounding(by_channel: bool) -> None:
    """A difference of cumulative sums near -3000 would be off by 1e-4 in float32."""
    g = torch.full((64, 4) if by_channel else (64,), -50.0)
    g[60:] = -0.01
    found = decayed_products([torch.ones(64, 4)], torch.ones(64, 4), g).products[0]
    assert float((found[63, 60] / 4 - torch.tensor(-0.03).exp()).abs()) < 1e-6
    assert found[63, 59] < 4
    assert found[60, 58] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("shape", [(2, 11, 3), (2, 11, 3, 5)])
def test_chunks_are_filled_up_with_zeros_and_taken_apart_again(shape: tuple[int, ...]) -> None:
    x = draw(*shape)
    cut = chunked(x, 4)
    assert cut.shape == (2, 3, 3, 4, *shape[3:])
    assert not cut[:, :, 2, 3:].any()
    assert torch.equal(unchunked(cut, 11), x)
    assert torch.equal(cut[1, 2, 1, 3], x[1, 7, 2])


def test_a_chunk_is_a_power_of_two_no_larger_than_needed() -> None:
    assert [chunk_length(64, length) for length in (1, 2, 3, 33, 64, 1000)] == [1, 2, 4, 64, 64, 64]
    assert [chunk_length(size, 1000) for size in (1, 5, 16)] == [1, 8, 16]
    with pytest.raises(InvalidInput, match="chunk_size -1"):
        chunk_length(-1, 10)


def test_sums_are_kept_in_single_precision_at_least() -> None:
    half, single, double = (torch.zeros(1, dtype=dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64))
    assert accumulation(half, None, half) == accumulation(half, single) == torch.float32
    assert accumulation(half, double) == torch.float64

"""What stands around LMUFormer's memory: streams are told like whole signals, and heads answer at any time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from remanence.core.errors import InvalidInput
from remanence.substrates.sequence.families.lmu_former import (
    LOOK_AHEAD,
    AnytimeHead,
    ChannelMixer,
    PatchEmbedding,
    settled,
)


def embedding() -> PatchEmbedding:
    """With batch norms that have seen something, so that a zero is no zero behind them."""
    torch.manual_seed(0)
    made = PatchEmbedding(5, 8).double()
    for one in made.modules():
        if isinstance(one, nn.BatchNorm1d):
            for part in (one.running_mean, one.bias):
                assert part is not None
                nn.init.normal_(part)
    return made.eval()


def signal(length: int, seed: int = 0) -> Tensor:
    return torch.randn(2, length, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("pieces", [[30], [1] * 30, [4, 1, 0, 17, 8], [2, 28]])
def test_a_stream_is_told_like_the_whole(pieces: list[int]) -> None:
    made, x = embedding(), signal(30)
    seen, told = made.start(2), []
    for piece in x.split(pieces, 1):
        y, seen = made.feed(piece, seen)
        told.append(y)
    assert sum(one.shape[1] for one in told) == 30 - LOOK_AHEAD
    told.append(made.finish(seen))
    torch.testing.assert_close(torch.cat(told, 1), made(x))


@pytest.mark.parametrize("length", [1, 3, 5, 6])
def test_a_signal_shorter_than_the_look_ahead_is_told_at_its_end(length: int) -> None:
    made, x = embedding(), signal(length)
    y, seen = made.feed(x, made.start(2))
    torch.testing.assert_close(torch.cat((y, made.finish(seen)), 1), made(x))


def test_it_waits_for_five_samples_and_no_more() -> None:
    made, x = embedding(), signal(30)
    changed = x.clone()
    changed[:, 20] += 1
    same = (made(x) == made(changed)).all(-1).all(0)
    assert same[: 20 - LOOK_AHEAD].all()
    assert not same[20 - LOOK_AHEAD]


def test_a_stream_needs_fixed_statistics() -> None:
    made = embedding().train()
    with pytest.raises(InvalidInput, match="eval"):
        made.feed(signal(5), made.start(2))
    with pytest.raises(InvalidInput, match=r"\(2, 5, 4\)"):
        made(signal(5)[..., :4])
    with pytest.raises(InvalidInput):
        PatchEmbedding(0, 4)


def test_the_mixer_works_on_each_token() -> None:
    torch.manual_seed(0)
    mixer = ChannelMixer(6).eval()
    x = torch.randn(2, 9, 6)
    torch.testing.assert_close(mixer(x)[:, 3:4], mixer(x[:, 3:4]))
    assert mixer.up.out_features == 24


def test_the_head_tells_the_mean_so_far_in_pieces_too() -> None:
    torch.manual_seed(0)
    head = AnytimeHead(6, 3)
    x = torch.randn(2, 12, 6)
    logits, _, count = head(x)
    assert count == 12
    torch.testing.assert_close(logits[:, -1], head.proj(x).mean(1))
    torch.testing.assert_close(logits[:, 0], head.proj(x[:, 0]))
    first, total, count = head(x[:, :5])
    none, total, count = head(x[:, 5:5], total, count)
    second, _, count = head(x[:, 5:], total, count)
    assert none.shape == (2, 0, 3)
    assert count == 12
    torch.testing.assert_close(torch.cat((first, second), 1), logits)


def test_an_answer_has_settled_when_it_no_longer_changes() -> None:
    told = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    assert settled(nn.functional.one_hot(told, 2).float()).tolist() == [2, 4, 1]

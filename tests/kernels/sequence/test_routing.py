"""Routing: the k best memories of each token, even use, and tokens laid out by memory and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.routing import load_balance, pack, random_router, router_topk


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weights_are_those_of_the_softmax_over_the_chosen() -> None:
    scores = draw(2, 7, 5)
    weights, indices, probabilities = router_topk(scores, 3)
    torch.testing.assert_close(probabilities, scores.softmax(-1))
    torch.testing.assert_close(weights, scores.gather(-1, indices).softmax(-1))
    assert torch.equal(indices.sort(-1)[0], scores.topk(3).indices.sort(-1)[0])


def test_of_equal_memories_the_first_are_taken_whatever_the_number() -> None:
    for n in (3, 8, 40):
        routed = router_topk(torch.zeros(2, 5, n), 2)
        assert torch.equal(routed.indices, torch.tensor([0, 1]).expand(2, 5, 2))
        assert torch.equal(routed.weights, torch.full((2, 5, 2), 0.5))


def test_scores_of_low_precision_are_weighed_in_float32() -> None:
    routed = router_topk(draw(1, 4, 3).bfloat16(), 2)
    assert routed.weights.dtype == routed.probabilities.dtype == torch.float32
    torch.testing.assert_close(routed.weights.sum(-1), torch.ones(1, 4))


@pytest.mark.parametrize("k", [0, 4])
def test_more_memories_than_there_are_cannot_be_chosen(k: int) -> None:
    with pytest.raises(InvalidInput, match=f"top {k} of 3"):
        router_topk(torch.zeros(1, 2, 3), k)
    with pytest.raises(InvalidInput, match=r"scores \(2, 3\)"):
        router_topk(torch.zeros(2, 3), 1)


def test_the_loss_is_one_where_use_is_even_and_n_where_one_memory_gets_all() -> None:
    even = torch.full((2, 4, 4), 0.25, dtype=torch.float64)
    everyone = torch.arange(4).view(1, 4, 1).expand(2, 4, 1)
    assert load_balance(even, everyone).item() == pytest.approx(1)
    one = torch.eye(4, dtype=torch.float64)[0].expand(2, 4, 4)
    assert load_balance(one, torch.zeros(2, 4, 1, dtype=torch.long)).item() == pytest.approx(4)
    assert load_balance(even[:, :0], everyone[:, :0]).item() == 0


def test_the_loss_leads_scores_away_from_the_memory_that_is_used_most() -> None:
    scores = draw(1, 64, 4)
    scores[..., 2] += 2
    scores.requires_grad_()
    routed = router_topk(scores, 2)
    load_balance(routed.probabilities, routed.indices).backward()
    assert scores.grad is not None
    assert scores.grad.sum((0, 1)).argmax() == 2


def test_tokens_are_laid_out_by_memory_in_their_order_and_come_back() -> None:
    indices = router_topk(draw(3, 20, 5), 2).indices
    x, weights = draw(3, 20, 4, seed=1), draw(3, 20, 2, seed=2)
    packed = pack(indices, 5)
    taken = packed.take(x)
    assert taken.shape[2] == packed.counts.max()
    for b in range(3):
        for m in range(5):
            mine = x[b, (indices[b] == m).any(-1)]
            assert packed.counts[b, m] == len(mine)
            assert torch.equal(taken[b, m, : len(mine)], mine)
            assert not taken[b, m, len(mine) :].any()
            assert packed.valid[b, m].sum() == len(mine)
    torch.testing.assert_close(packed.put(taken, weights), x * weights.sum(-1, keepdim=True))
    # What memories make of their tokens comes back by the choice that it was for.
    named = taken * 0 + torch.arange(5.0)[None, :, None, None]
    torch.testing.assert_close(packed.put(named, weights)[..., 0], (indices * weights).sum(-1))


def test_each_memory_takes_what_is_for_it() -> None:
    indices = router_topk(draw(2, 6, 3), 1).indices
    whole = draw(2, 6, 3, 4, seed=1)
    packed = pack(indices, 3)
    for m in range(3):
        assert torch.equal(packed.take_own(whole)[:, m], packed.take(whole[:, :, m])[:, m])


def test_a_token_that_is_no_number_stays_where_it_is() -> None:
    """Empty places take no token's numbers, and no token those of empty places."""
    indices = torch.tensor([[[0], [1], [1]], [[1], [1], [1]]])
    x = torch.ones(2, 3, 1)
    x[0, 0] = torch.nan
    packed = pack(indices, 2)
    taken = packed.take(x)
    assert taken.isnan().sum() == 1
    back = packed.put(taken, torch.ones(2, 3, 1))
    assert back.isnan().flatten().tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_no_tokens_are_laid_out_as_none(shape: tuple[int, int]) -> None:
    packed = pack(torch.zeros(*shape, 2, dtype=torch.long), 3)
    assert packed.take(torch.zeros(*shape, 5)).shape == (shape[0], 3, 0, 5)
    assert packed.put(torch.zeros(shape[0], 3, 0, 5), torch.zeros(*shape, 2)).shape == (*shape, 5)


def test_a_random_router_is_decided_by_its_seed_and_leaves_chance_alone() -> None:
    before = torch.random.get_rng_state()
    one = random_router(8, 3, seed=4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one, random_router(8, 3, seed=4))
    assert not torch.equal(one, random_router(8, 3, seed=5))

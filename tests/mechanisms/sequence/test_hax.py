"""HAX: without attention it is Mamba, with enough keys full attention beside it; joint recall without training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.mechanisms.sequence.hax import HAX
from remanence.substrates.sequence.families.constructed_recall import CONTEXT, KEY, OTHER, VALUE, ConstructedRecall
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.hax import measure
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed


def layer(**settings: Any) -> HAX:
    return perturbed(HAX(**{"hidden_size": 8, "keys": 6, "bits": 3, "key_size": 5, "state_size": 3, **settings}))


def parts(made: HAX, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What enters, the gate, and what the state space reads, from the start."""
    state = made.init_state(len(x))
    h, z, _ = made.mamba.enter(x, state["conv"])
    return h, z, made.mamba.scan(h, state["ssm"], form="chunk")[0]


@pytest.mark.parametrize("chunk_size", [1, 16])
def test_the_parallel_form_is_the_recurrence_where_keys_have_to_go(chunk_size: int) -> None:
    made = layer(chunk_size=chunk_size)
    x, state = tokens(0, made, length=30), layer().scan(tokens(1, layer(), length=30))[1]
    y, end = by_steps(made, x, state)
    found, last = made.scan(x, state)
    assert largest(found - y) < 1e-10
    for name, one in end.items():
        assert largest((last[name] - one).double()) < 1e-10


def test_without_gain_it_is_the_state_space() -> None:
    made = layer()
    with torch.no_grad():
        made.gain.zero_()
    x = tokens(0, made, length=30)
    _, z, read = parts(made, x)
    assert largest(made.scan(x)[0] - made.mamba.leave(read, z)) < 1e-10


def test_with_enough_keys_it_is_the_state_space_and_full_attention() -> None:
    made = layer(keys=60)
    x = tokens(0, made, length=30)
    h, z, read = parts(made, x)
    k, q = made.kq_proj(h).chunk(2, -1)
    scores = (q @ k.mT * 5**-0.5).masked_fill(torch.ones(30, 30).triu(1).bool(), -torch.inf)
    wanted = made.mamba.leave(read + made.gain * (scores.softmax(-1) @ h), z)
    assert largest(made.scan(x)[0] - wanted) < 1e-10
    few = layer()
    few.load_state_dict(made.state_dict())
    assert largest(few.scan(x)[0] - wanted) > 1e-3


def test_a_layer_can_be_made_half() -> None:
    """No setting is called like a method of modules, such as `half`."""
    made = layer().half()
    assert made.gain.dtype == torch.float16
    assert made.hash.get("planes").dtype == torch.float32


def test_the_state_does_not_grow() -> None:
    made = layer()
    state = made.scan(tokens(0, made, length=300))[1]
    assert {name: one.shape for name, one in state.items()} == {n: one.shape for n, one in made.init_state(2).items()}
    assert int(state["seen"][0]) == 300
    assert int(state["bucket_time"][0].max()) == 299


def test_scores_learn_from_their_own_loss_alone() -> None:
    """Nothing else has a gradient of it, scores none of the rest; and after some steps they order keys better."""
    made = layer()
    x = tokens(0, made, batch=4, length=40)
    made.ranking_loss(x, generator=torch.Generator().manual_seed(0)).backward()
    moved = {name for name, one in made.named_parameters() if one.grad is not None}
    # A bias on all scores moves no difference between them.
    assert moved == {name for name, _ in made.named_parameters() if name.startswith("scorer")}
    assert all(one.grad is not None and bool(one.grad.any()) for one in list(made.scorer.parameters())[:-1])
    made.zero_grad()
    made.scan(x)[0].sum().backward()
    assert all(one.grad is None for one in made.scorer.parameters())
    optimizer = torch.optim.Adam(made.scorer.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = made.ranking_loss(x, sample=40)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("side", "bits"), [(5, 8), (5, 12), (10, 8), (10, 12), (16, 8), (16, 12)])
def test_built_by_hand_it_answers_joint_recall(side: int, bits: int) -> None:
    """Without training, 64 keys for each query."""
    assert measure(0, "hash", side=side, bits=bits) > 0.97


@pytest.mark.parametrize(("side", "least", "most"), [(5, 0.6, 0.9), (10, 0.05, 0.2), (16, 0.0, 0.15)])
def test_a_window_of_as_many_keys_does_not_reach(side: int, least: float, most: float) -> None:
    """Measured .72, .11 and .07."""
    assert least <= measure(0, "window", side=side) <= most


KINDS = torch.tensor([OTHER, CONTEXT, CONTEXT, KEY, KEY, VALUE, VALUE, VALUE])


def test_a_token_overwrites_what_it_is_and_nothing_else() -> None:
    model = ConstructedRecall(KINDS, width=4)
    states = model.states(torch.tensor([[1, 3, 5, 4, 6, 2, 0]]))[0]
    codes = model.codes
    context, key, value, mark = states.split([4, 4, 4, 1], -1)
    torch.testing.assert_close(context, codes[[1, 1, 1, 1, 1, 2, 2]])
    torch.testing.assert_close(key[1:], codes[[3, 3, 4, 4, 4, 4]])
    torch.testing.assert_close(value[2:], codes[[5, 5, 6, 6, 6]])
    assert mark.flatten().tolist() == [-1, -1, 1, -1, 1, -1, -1]


@pytest.mark.parametrize("lookup", ["hash", "window"])
def test_neither_context_nor_key_alone_tells_the_value(lookup: Any) -> None:
    """Both contexts have the same keys with other values; the order of rows is turned round."""
    ids = torch.tensor([[1, 3, 5, 4, 6, 2, 3, 7, 4, 5, 0, 2, 4, 5, 3, 7, 1, 4, 6, 3, 5]])
    asked = [12, 14, 17, 19]
    told = ConstructedRecall(KINDS, lookup=lookup).answer(ids)
    assert told[0, asked].tolist() == [5, 7, 6, 5]
    # The wrong variant, which forgets the context, takes what was read last with the key.
    blind = ConstructedRecall(KINDS, lookup=lookup)
    blind.embedding[:, :16] = 0
    assert blind.answer(ids)[0, asked].tolist() != [5, 7, 6, 5]


def test_nonsense_is_told() -> None:
    wrongs: list[dict[str, Any]] = [{"keys": 3}, {"keys": 0}, {"bits": 0}, {"key_size": 0}, {"chunk_size": 0}]
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            HAX(**wrong)
    with pytest.raises(InvalidInput, match="everything"):
        ConstructedRecall(KINDS, lookup="everything")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="ids"):
        ConstructedRecall(KINDS).answer(torch.zeros(3))

"""DeltaNet: a key holds one value, and the values before are gone."""

from __future__ import annotations

import pytest
import torch

from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.update import naive_update, start
from remanence.mechanisms.sequence.delta_net import DeltaNet
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.delta_net import measure, witness


def layer(**arguments: bool) -> DeltaNet:
    return DeltaNet(hidden_size=16, **arguments).double()


@pytest.mark.parametrize("allow_neg_eigval", [False, True])
def test_it_is_a_step_of_gradient_descent_at_every_token(allow_neg_eigval: bool) -> None:
    """The memory that torch's own gradients make, from what the layer projects."""
    made = layer(allow_neg_eigval=allow_neg_eigval)
    x = tokens(0, made)
    q, k, v, _ = made.project(x, made.init_state(2))
    q, k, beta = made.features(q), made.features(k), made.gates(x)["beta"]
    begin = made.init_memory(2, device=None, dtype=x.dtype)
    o, state = made.recall(q, k, v, begin, beta=beta)
    wanted, end = naive_update(q, k, v, state=start((begin["memory"],), k, v), theta=beta, scale=8**-0.5)
    torch.testing.assert_close(o, wanted)
    torch.testing.assert_close(state["memory"], end.parameters[0])


def test_a_key_holds_the_last_value_that_was_written_under_it() -> None:
    made = layer()
    generator = torch.Generator().manual_seed(2)
    k = made.features(torch.randn(1, 1, 2, 8, generator=generator, dtype=torch.float64)).expand(-1, 3, -1, -1)
    v = torch.randn(1, 3, 2, 8, generator=generator, dtype=torch.float64)
    empty = made.init_memory(1, device=None, dtype=v.dtype)
    _, state = made.recall(k, k, v, empty, beta=torch.ones(1, 3, 2, dtype=v.dtype))
    torch.testing.assert_close(made.read(k[:, -1:], state), v[:, -1:])
    # The plausible mistake: written without taking out what was there, a key holds the sum of its values.
    added = hebbian(k, k, v)[1]
    assert added is not None
    torch.testing.assert_close(made.read(k[:, -1:], {"memory": added}), v.sum(1, keepdim=True))


def test_strengths_up_to_two_turn_the_sign_of_what_was_there() -> None:
    """Two writes of nothing under one key with strength 2 bring back what it held: the parity of the writes."""
    made = layer(allow_neg_eigval=True)
    k = made.features(torch.ones(1, 1, 2, 8, dtype=torch.float64))
    v = torch.arange(16.0, dtype=torch.float64).view(1, 1, 2, 8)
    one, two = (torch.full((1, 1, 2), strength, dtype=v.dtype) for strength in (1.0, 2.0))
    _, state = made.recall(k, k, v, made.init_memory(1, device=None, dtype=v.dtype), beta=one)
    for sign in (-1, 1, -1):
        _, state = made.recall(k, k, 0 * v, state, beta=two)
        torch.testing.assert_close(made.read(k, state), sign * v)


def test_strengths_lie_where_the_setting_says() -> None:
    for allow, most in ((False, 1.0), (True, 2.0)):
        made = layer(allow_neg_eigval=allow)
        beta = made.gates(50 * tokens(0, made, length=200))["beta"]
        assert 0 <= beta.min() < 0.01 * most
        assert 0.99 * most < beta.max() <= most


def test_newest_values_come_back_and_no_older_ones() -> None:
    for seed in range(3):
        assert witness(seed).holds
        found = measure(seed)
        assert found["delta"][1] < 0.02 < 0.5 < found["linear"][1]

"""Gated DeltaNet: the delta rule, limits of its gate, and what is dropped when it shuts."""

from __future__ import annotations

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.update import GradAt, naive_update, start
from remanence.mechanisms.sequence.delta_net import DeltaNet
from remanence.mechanisms.sequence.gated_delta_net import Gate, GatedDeltaNet
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.gated_delta_net import measure, witness

GATES: tuple[Gate, ...] = ("head", "channel")


def layer(gate: Gate = "head", *, allow_neg_eigval: bool = False) -> GatedDeltaNet:
    return GatedDeltaNet(hidden_size=16, gate=gate, allow_neg_eigval=allow_neg_eigval).double()


@pytest.mark.parametrize("allow_neg_eigval", [False, True])
@pytest.mark.parametrize("gate", GATES)
def test_in_every_setting_a_scan_is_steps(gate: Gate, allow_neg_eigval: bool) -> None:
    made = layer(gate, allow_neg_eigval=allow_neg_eigval)
    x = tokens(0, made, length=21)
    y, end = made.scan(x)
    state, ys = made.init_state(2), []
    for t in range(21):
        out, state = made.step(x[:, t], state)
        ys.append(out)
    torch.testing.assert_close(y, torch.stack(ys, 1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(end, state, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gate", GATES)
def test_what_is_taken_out_is_what_is_left_after_the_decay(gate: Gate) -> None:
    """The gradient at a S; at S, as in Titans, the same weights give something else (I4)."""
    made = layer(gate)
    x = tokens(0, made)
    q, k, v, _ = made.project(x, made.init_state(2))
    q, k, gates = made.features(q), made.features(k), made.gates(x)
    begin = made.init_memory(2, device=None, dtype=x.dtype)
    o, _ = made.recall(q, k, v, begin, beta=gates["beta"], g=gates["g"])

    def update(grad_at: GradAt) -> torch.Tensor:
        state = start((begin["memory"],), k, v)
        return naive_update(
            q, k, v, state=state, grad_at=grad_at, g=gates["g"], theta=gates["beta"], scale=8**-0.5
        )[0]  # fmt: skip

    torch.testing.assert_close(o, update("decayed"))
    assert (o - update("previous")).norm() > 1e-2 * o.norm()


def test_with_a_gate_that_never_shuts_it_is_delta_net() -> None:
    gated, plain = layer(), DeltaNet(hidden_size=16).double()
    plain.load_state_dict({name: one for name, one in gated.state_dict().items() if not name.startswith("decay.")})
    with torch.no_grad():
        gated.decay.A_log.fill_(-torch.inf)
    x = tokens(0, gated)
    torch.testing.assert_close(gated.scan(x), plain.scan(x))


def test_with_equal_channels_it_is_one_gate() -> None:
    """KDA is Gated DeltaNet where every channel of a head decays alike."""
    one, many = layer("head"), layer("channel")
    x = tokens(0, one)
    q, k, v, _ = one.project(x, one.init_state(2))
    q, k, gates = one.features(q), one.features(k), one.gates(x)
    begin = one.init_memory(2, device=None, dtype=x.dtype)
    by_channel = gates["g"].unsqueeze(-1).expand(-1, -1, -1, 8)
    assert many.gates(x)["g"].shape == by_channel.shape
    found = many.recall(q, k, v, begin, beta=gates["beta"], g=by_channel)
    torch.testing.assert_close(found, one.recall(q, k, v, begin, beta=gates["beta"], g=gates["g"]))


@pytest.mark.parametrize("gate", GATES)
def test_a_shut_gate_leaves_nothing_of_what_was_before(gate: Gate) -> None:
    made = layer(gate)
    x = tokens(0, made, length=30)
    q, k, v, _ = made.project(x, made.init_state(2))
    q, k, gates = made.features(q), made.features(k), made.gates(x)
    beta, g = gates["beta"], gates["g"].clone()
    g[:, 17] = -torch.inf
    begin = made.init_memory(2, device=None, dtype=x.dtype)
    o, state = made.recall(q, k, v, begin, beta=beta, g=g)
    alone = made.recall(q[:, 17:], k[:, 17:], v[:, 17:], begin, beta=beta[:, 17:], g=g[:, 17:])
    torch.testing.assert_close((o[:, 17:], state), alone)


def test_another_gate_is_told() -> None:
    with pytest.raises(InvalidInput, match="gate is one of head, channel; got 'value'"):
        GatedDeltaNet(gate="value")  # type: ignore[arg-type]


def test_it_replaces_and_drops_where_the_others_do_one_of_both() -> None:
    for seed in range(3):
        assert witness(seed).holds
        found = measure(seed)
        assert found["delta"][1] > 0.8, "the delta rule kept nothing of the last context: it would need no gate"
        assert found["gated sum"][0] < 0.7, "the sum replaced values: there would be no need of the delta rule"

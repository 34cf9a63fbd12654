"""Mixture-of-Memories: its memories are layers of their own over the tokens that were sent to them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.routing import Routed, load_balance
from remanence.mechanisms.sequence.gated_delta_net import GatedDeltaNet
from remanence.mechanisms.sequence.mixture_of_memories import MixtureOfMemories
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.mixture_of_memories import measure, witness
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed


def layer(**arguments: Any) -> MixtureOfMemories:
    return perturbed(MixtureOfMemories(**{"hidden_size": 16, **arguments}))


def alone(made: MixtureOfMemories, number: int) -> GatedDeltaNet:
    """One of the memories as a layer by itself."""
    base = GatedDeltaNet(hidden_size=16).double()
    rows = {"k_proj.weight": 16, "v_proj.weight": 16, "b_proj.weight": 2, "decay.a_proj.weight": 2}
    rows |= {"decay.A_log": 2, "decay.dt_bias": 2}
    weights = {}
    for name in base.state_dict():
        whole = made.state_dict()[name]
        count = rows.get(name, len(whole))
        at = number if name in rows and len(whole) > count else 0
        weights[name] = whole[at * count : (at + 1) * count]
    base.load_state_dict(weights)
    return base


def close(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        torch.testing.assert_close(leaf, other[name], rtol=1e-10, atol=1e-10)


def test_one_memory_that_takes_every_token_is_its_base_layer() -> None:
    """I21."""
    made = layer(num_memories=1, topk=1, shared=False)
    base, x = alone(made, 0), tokens(0, made, length=20)
    (y, end), (wanted, wanted_end) = made.scan(x), base.scan(x)
    torch.testing.assert_close(y, wanted, rtol=1e-12, atol=1e-12)
    for name, one in wanted_end.items():
        torch.testing.assert_close(end[name][:, 0], one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("single_kv_proj", [False, True])
def test_a_router_that_divides_the_tokens_makes_independent_layers(single_kv_proj: bool) -> None:
    """I21: each over the subsequence of its own tokens, its convolution too."""
    made = layer(num_memories=3, topk=1, shared=False, single_kv_proj=single_kv_proj)
    x = tokens(0, made, length=40)
    y, end = made.scan(x)
    indices = made.route(x).indices[..., 0]
    assert len(indices.unique()) == 3
    for m in range(3):
        base = alone(made, m)
        for b in range(2):
            wanted, state = base.scan(x[b : b + 1, indices[b] == m])
            torch.testing.assert_close(y[b, indices[b] == m], wanted[0], rtol=1e-12, atol=1e-12)
            for name, one in state.items():
                torch.testing.assert_close(end[name][b, m], one[0], rtol=1e-12, atol=1e-12)


def test_what_is_recalled_is_the_weighted_sum_and_the_shared_memory_that_reads_all() -> None:
    made = layer(num_memories=4, topk=2)
    x = tokens(0, made, batch=1, length=30)
    weights, indices, _ = made.route(x)
    o = torch.zeros(30, 2, 8, dtype=x.dtype)
    for m in range(5):
        base = alone(made, m)
        mine = (indices[0] == m).any(-1) if m < 4 else torch.ones(30, dtype=torch.bool)
        part = x[:, mine]
        q, k, v, _ = base.project(part, base.init_state(1))
        start = base.init_memory(1, device=None, dtype=x.dtype)
        said, _ = base.recall(base.features(q), base.features(k), v, start, **base.gates(part))  # type: ignore[arg-type]
        share = (weights[0] * (indices[0] == m)).sum(-1)[mine] if m < 4 else torch.ones(30, dtype=x.dtype)
        o[mine] += share[:, None, None] * said[0]
    torch.testing.assert_close(made.scan(x)[0], made.finish(o[None], x, x.dtype), rtol=1e-10, atol=1e-10)


def test_memories_that_get_no_token_stay_bit_by_bit() -> None:
    """I21: they are not decayed either, which would be the plausible mistake, and keep their convolution."""
    made = layer(num_memories=4, topk=1)
    with torch.no_grad():
        _, state = made.scan(tokens(0, made, length=40))
        x = tokens(1, made, length=1)[:, 0]
        _, after = made.step(x, state)
    chosen = made.route(x[:, None]).indices[:, 0, 0]
    for b in range(2):
        for m in range(4):
            for name in ("memory", "conv"):
                assert torch.equal(state[name][b, m], after[name][b, m]) == (m != int(chosen[b]))
    assert made.decay is not None
    # A decay of all memories would have changed them: no gate is shut.
    assert made.decay(x[:, None]).max() < -1e-6


@pytest.mark.parametrize("rule", ["gated_delta", "delta", "hebbian", "gated_hebbian", "ridge"])
def test_every_rule_scans_as_it_steps(rule: str) -> None:
    for setting in ({}, {"shared": False, "single_kv_proj": True, "conv_size": 1, "topk": 3, "expand_v": 1.5}):
        made = layer(rule=rule, **setting)
        x = tokens(2, made, length=21)
        with torch.no_grad():
            (y, end), (wanted, wanted_end) = made.scan(x), by_steps(made, x)
        assert largest(y - wanted) < 1e-10
        close(end, wanted_end)


def test_recall_and_read_are_what_the_layer_does() -> None:
    made = layer(conv_size=1, single_kv_proj=True, use_gate=False)
    x = tokens(3, made, length=12)
    routed, start = made.route(x), made.init_state(2)
    q, k, v, _ = made.project(x, start)
    assert made.b_proj is not None
    assert made.decay is not None
    gates = {"beta": made.b_proj(x).sigmoid(), "g": made.decay(x)}
    q, k = made.features(q), made.features(k)
    o, state = made.recall(q, k, v, start, weights=routed.weights, indices=routed.indices, **gates)
    y, end = made.scan(x)
    torch.testing.assert_close(made.finish(o, x, x.dtype), y)
    close(state, end)
    last = made.read(q[:, -1:], state, weights=routed.weights[:, -1:], indices=routed.indices[:, -1:])
    torch.testing.assert_close(last / 8**0.5, o[:, -1:])


def test_the_balance_loss_is_of_the_tokens_that_were_scanned() -> None:
    made = layer(num_memories=4)
    x = tokens(4, made, batch=3, length=20)
    mask = torch.ones(3, 20, dtype=torch.bool)
    mask[0, :7], mask[1, 12:] = False, False
    made.scan(x, mask=mask)
    assert made.aux_loss is not None
    routed = made.route(x)
    wanted = load_balance(routed.probabilities[mask], routed.indices[mask])
    torch.testing.assert_close(made.aux_loss, wanted)
    made.aux_loss.backward()
    assert made.router is not None
    assert made.router.weight.grad is not None
    assert made.router.weight.grad.any()
    made.scan(x[:, :0])
    assert made.aux_loss is None


def test_a_layer_that_has_just_been_scanned_can_be_copied() -> None:
    made = layer()
    x = tokens(4, made)
    y, _ = made.scan(x)
    assert torch.equal(copy.deepcopy(made).scan(x)[0], y)


def test_the_loss_makes_use_even() -> None:
    """Trained with it alone a router that sends everything to one memory learns to spread."""
    made = layer(num_memories=4, topk=1)
    assert made.router is not None
    common = torch.ones(16, dtype=torch.float64)
    with torch.no_grad():
        made.router.weight[2] += 0.5 * common
    x = tokens(5, made, batch=4, length=64) + common
    optimizer = torch.optim.Adam(made.router.parameters(), lr=0.03)
    used = []
    for _ in range(60):
        routed = made.route(x)
        used.append(int(routed.indices.flatten().bincount(minlength=4).max()))
        optimizer.zero_grad()
        load_balance(routed.probabilities, routed.indices).backward()
        optimizer.step()
    assert used[0] > 0.9 * 256
    assert used[-1] < 0.5 * 256


def test_random_directions_are_kept_in_files_and_are_no_parameters() -> None:
    one, other = layer(router="random"), layer(router="random", seed=1)
    assert one.directions is not None
    assert other.directions is not None
    assert not torch.equal(one.directions, other.directions)
    assert "directions" not in dict(one.named_parameters())
    other.restore(one.state())
    x = tokens(6, one)
    assert torch.equal(one.scan(x)[0], other.scan(x)[0])


def test_in_half_precision_only_the_routing_of_ties_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MixtureOfMemories(num_memories=8)
    half = copy.deepcopy(made).bfloat16()
    x = tokens(7, made, length=40)
    routed = made.route(x)
    monkeypatch.setattr(half, "route", lambda _: Routed(*routed))
    with torch.no_grad():
        y, wanted = half.scan(x.bfloat16())[0].float(), made.scan(x)[0]
    assert ((y - wanted).norm() / wanted.norm()).item() < 0.03


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"topk": 5}, "from 1 to num_memories 4, not 5"),
        ({"topk": 0}, "not 0"),
        ({"rule": "sum"}, "'sum' and 'learned'"),
        ({"router": "lsh"}, "'lsh'"),
    ],
)
def test_unknown_settings_are_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        layer(**wrong)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value > 0.7
    assert evidence.baseline < 0.5


def test_recall_is_that_of_the_table() -> None:
    """256 independent pairs, 64 coordinates: .76/.45 for one memory, 1.00/.77 for eight of which two are used."""
    found = torch.tensor([list(measure(seed).values()) for seed in range(3)]).mean(0)
    wanted: Tensor = torch.tensor([[1.0, 0.77], [0.76, 0.45]])
    torch.testing.assert_close(found[:2], wanted, rtol=0, atol=0.03)


def test_one_memory_as_large_with_lifted_keys_does_about_as_well() -> None:
    """It is not the number of memories as such that recalls. With rough queries the mixture is ahead in cosine and
    behind in accuracy."""
    exact, rough = measure(0), measure(0, noise=0.7)
    assert exact["one as large"] == pytest.approx(exact["mixture"], abs=0.03)
    assert rough["mixture"][1] > rough["one as large"][1] + 0.02
    assert rough["mixture"][0] < rough["one as large"][0] - 0.02

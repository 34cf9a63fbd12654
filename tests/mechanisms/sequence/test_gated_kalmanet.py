"""Gated KalmaNet: its memory is the regression, its limits are other layers, and writes can be taken out of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hebbian import hebbian
from remanence.mechanisms.sequence.gated_kalmanet import GatedKalmaNet
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.gated_kalmanet import measure, witness


def layer(**arguments: Any) -> GatedKalmaNet:
    """In float64, with weights that are not special."""
    made = GatedKalmaNet(**{"hidden_size": 16, "solver": "exact", **arguments}).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for one in made.parameters():
            one.add_(0.1 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return made


def close(one: State, other: State, tolerance: float = 1e-10) -> None:
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        torch.testing.assert_close(leaf, other[name], rtol=tolerance, atol=tolerance)


def regression(made: GatedKalmaNet, x: Tensor) -> Tensor:
    """What the memory should answer, from the writes of each prefix: the normal equations, solved as they stand.

    The decay after a write counts, its own does not.
    """
    q = made.features(made.project(x, made.init_state(x.shape[0]))[0])
    k, v, beta, g = made.writes(x)
    alpha = made.gates(x).get("alpha", torch.ones_like(beta))
    outputs = []
    for t in range(x.shape[1]):
        after = torch.cat((g[:, 1 : t + 1], torch.zeros_like(g[:, :1])), 1)
        w = beta[:, : t + 1] * after.flip(1).cumsum(1).flip(1).exp()
        h = torch.einsum("bnh,bnhk,bnhl->bhkl", w, k[:, : t + 1], k[:, : t + 1])
        u = torch.einsum("bnh,bnhk,bnhv->bhkv", w, k[:, : t + 1], v[:, : t + 1])
        ridge = made.ratio * torch.linalg.matrix_norm(h)[..., None]
        solved = torch.linalg.solve(h + torch.diag_embed(ridge.expand(*h.shape[:-1])), q[:, t])
        solved = q[:, t] + alpha[:, t, :, None] * (solved - q[:, t])
        outputs.append(torch.einsum("bhk,bhkv->bhv", solved, u) * made.head_dim**-0.5)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize(
    "setting", [{}, {"weigh": "once", "mix": False}, {"decay": False}, {"conv_size": 1, "ratio": 0.5}]
)
def test_it_reads_with_the_weighted_regression_on_its_past(setting: dict[str, Any]) -> None:
    made = layer(**setting)
    x = tokens(0, made, length=9)
    q, k, v, _ = made.project(x, made.init_state(2))
    start = made.init_memory(2, device=None, dtype=x.dtype)
    gates: dict[str, Any] = made.gates(x)
    o, _ = made.recall(made.features(q), made.features(k), v, start, **gates)
    torch.testing.assert_close(o, regression(made, x), rtol=1e-9, atol=1e-9)


def test_the_gate_multiplies_keys_and_values() -> None:
    """A plausible mistake is to weigh the pair once: then beta, not its square, stands in H and U."""
    both, once = layer(), layer(weigh="once")
    once.load_state_dict(both.state_dict())
    x = tokens(0, both)
    torch.testing.assert_close(both.writes(x).beta, (once.writes(x).beta + 1e-6).square(), rtol=1e-12, atol=1e-12)
    assert (both.scan(x)[0] - once.scan(x)[0]).abs().max() > 1e-2


def test_unless_it_reads_with_the_solution_it_is_linear_attention() -> None:
    """alpha = 0."""
    made = layer()
    x = tokens(0, made)
    q, k, v, _ = made.project(x, made.init_state(2))
    q, k = made.features(q), made.features(k)
    gates: dict[str, Any] = made.gates(x)
    gates["alpha"] = torch.zeros_like(gates["alpha"])
    o, _ = made.recall(q, k, v, made.init_memory(2, device=None, dtype=x.dtype), **gates)
    wanted, _ = hebbian(q, k, v, gates["beta"], gates["g"])
    torch.testing.assert_close(o, wanted, rtol=1e-10, atol=1e-10)


def test_thirty_iterations_are_close_to_elimination_and_fewer_less() -> None:
    exact, fast = layer(), layer(solver="chebyshev")
    x = tokens(0, exact, length=40)
    wanted, errors = exact.scan(x)[0], []
    for iterations in (3, 10, 30):
        fast.iterations = iterations
        errors.append(((fast.scan(x)[0] - wanted).norm() / wanted.norm()).item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


def test_mesa_has_a_ridge_for_each_channel_that_begins_at_one_and_learns() -> None:
    made = GatedKalmaNet.mesa(hidden_size=16)
    assert made.lam is not None
    torch.testing.assert_close(made.lam, torch.ones(2, 8))
    made.scan(tokens(0, made))[0].sum().backward()
    assert made.lambda_raw is not None
    assert made.lambda_raw.grad is not None
    assert made.lambda_raw.grad.abs().min() > 0


def test_forgotten_writes_never_happened() -> None:
    """Twenty pairs, five of them taken out: the state is that of fifteen, also later and with decay."""
    for made in (layer(conv_size=1, decay=False), layer(conv_size=1)):
        x = tokens(0, made, length=20)
        which = torch.zeros(2, 20, dtype=torch.bool)
        which[0, [1, 4, 5, 11, 19]] = True
        which[1, [0, 2, 3, 7, 8]] = True
        whole, written = made.scan(x)[1], made.writes(x)
        found = made.forget(whole, written, which)
        never = made.recall(written.k, written.k, written.v, made.init_memory(2, device=None, dtype=x.dtype),
                            beta=written.beta * ~which[..., None], g=written.g)[1]  # fmt: skip
        close(found, never)
        if made.decay is None:
            close({"h": found["h"][:1]}, {"h": made.scan(x[:1, ~which[0]])[1]["h"]})
        more = tokens(1, made, length=6)
        later = made.writes(more).g.sum(1)
        close(made.forget(made.scan(more, whole)[1], written, which, later=later), made.scan(more, found)[1])


def test_forgetting_leaves_the_given_state_and_the_convolution_alone() -> None:
    made = layer()
    x = tokens(0, made)
    state, written = made.scan(x)[1], made.writes(x)
    before = {name: leaf.clone() for name, leaf in state.items()}
    none, all_ = torch.zeros(2, 11, dtype=torch.bool), torch.ones(2, 11, dtype=torch.bool)
    close(made.forget(state, written, none), before)
    empty = made.forget(state, written, all_)
    close(empty, {**made.init_state(2), "conv": before["conv"]})
    close(state, before, 0.0)
    with pytest.raises(InvalidInput, match=r"\(2, 11\); got torch.int64 \(2, 11\)"):
        made.forget(state, written, none.long())


def test_merged_states_hold_what_all_of_them_read() -> None:
    made = layer(conv_size=1, decay=False)
    x = tokens(0, made, length=20)
    parts = [made.scan(part)[1] for part in x.split([7, 1, 12], 1)]
    close(made.merge(parts), made.scan(x)[1])
    with pytest.raises(InvalidInput, match="at least one"):
        made.merge([])


def test_without_decay_the_order_of_what_it_read_does_not_matter() -> None:
    made = layer(conv_size=1, decay=False)
    x = tokens(0, made, length=20)
    close(made.scan(x)[1], made.scan(x.flip(1))[1])
    fading = layer(conv_size=1)
    assert (fading.scan(x)[1]["h"] - fading.scan(x.flip(1))[1]["h"]).abs().max() > 1e-3


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="'norm' and 'twice'"):
        layer(weigh="twice")
    for wrong in ({"solver": "gauss"}, {"iterations": 0}, {"ratio": -1.0}, {"ratio": float("nan")}):
        with pytest.raises(InvalidInput, match="solver is one of exact, cg, chebyshev"):
            layer(**wrong)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value > 0.95
    assert evidence.baseline < 0.6


def test_independent_keys_prove_nothing() -> None:
    """Where keys share nothing linear attention recalls as well: the claim is about correlated keys."""
    found = measure(0, correlation=0.0)
    assert found["ridge"] - found["linear"] < 0.05

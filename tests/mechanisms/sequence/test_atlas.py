"""ATLAS: the Omega rule, Muon on the momentum, learnt coefficients of features, the paper's layers as settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.omega import window_gram
from remanence.mechanisms.sequence.atlas import PUBLISHED, Atlas
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence import atlas as witness
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed


def drawn(layer: Atlas, length: int = 9) -> tuple[Tensor, Tensor, Tensor, dict[str, Any], State]:
    """Queries, keys and values as the layer would pass them, its gates, and a first state."""
    generator = torch.Generator().manual_seed(1)
    heads, dim = layer.num_heads, layer.head_dim
    q, k, v = (torch.randn(2, length, heads, dim, generator=generator, dtype=torch.float64) for _ in range(3))
    gates = {name: gate.detach() for name, gate in layer.gates(tokens(3, layer, length=length)).items()}
    return (
        layer.features(q).detach(), layer.features(k).detach(), v, gates,
        layer.init_memory(2, device=None, dtype=torch.float64),
    )  # fmt: skip


def by_hand(
    layer: Atlas,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: dict[str, Tensor],
    *,
    orthogonalise: bool = True,
    of_memory: bool = False,
) -> Tensor:
    """The formulas of the paper for a matrix memory, a token at a time; both flags are plausible mistakes."""
    m = torch.zeros(2, layer.num_heads, k.shape[-1], v.shape[-1], dtype=torch.float64)
    s, outputs = torch.zeros_like(m), []
    for t in range(k.shape[1]):
        seen = slice(max(0, t - layer.window + 1), t + 1)
        gram, cross = window_gram(k[:, seen], v[:, seen], gates["gamma"][:, seen])
        alpha, eta, rate = (gates[name][:, t, :, None, None] for name in ("g", "eta", "rate"))
        s = eta * s + 2 * (gram @ m - cross)
        step = newton_schulz(s) if orthogonalise else s
        m = alpha.exp() * m - rate * step
        if of_memory:
            m = newton_schulz(m)
        outputs.append(torch.einsum("bhkv,bhk->bhv", m, q[:, t]))
    return torch.stack(outputs, 1)


def test_a_matrix_memory_follows_the_papers_formulas() -> None:
    layer = perturbed(Atlas(depth=1, window=4, chunk_size=1, num_heads=2, feature_name="poly2", hidden_size=8))
    q, k, v, gates, state = drawn(layer)
    with torch.no_grad():
        state = {name: torch.zeros_like(one) for name, one in state.items()}
        found = layer.recall(q, k, v, state, **gates)[0]
    wanted = by_hand(layer, q, k, v, gates)
    assert largest(found - wanted) < 1e-10


def test_newton_schulz_left_out_or_of_the_memory_itself_would_be_noticed() -> None:
    layer = perturbed(Atlas(depth=1, window=4, chunk_size=1, num_heads=2, feature_name="poly2", hidden_size=8))
    q, k, v, gates, _ = drawn(layer)
    right = by_hand(layer, q, k, v, gates)
    for wrong in ({"orthogonalise": False}, {"of_memory": True}):
        assert largest(by_hand(layer, q, k, v, gates, **wrong) - right) > 0.01 * largest(right)


def test_learnt_coefficients_begin_as_the_series_of_exp() -> None:
    layer = Atlas(feature_name="taylor3").double()
    q, k = tokens(0, layer).unflatten(-1, (4, 16)), tokens(1, layer).unflatten(-1, (4, 16))
    dot = (torch.nn.functional.normalize(q, dim=-1) * torch.nn.functional.normalize(k, dim=-1)).sum(-1)
    found = (layer.features(q) * layer.features(k)).sum(-1)
    assert largest(found - (1 + dot + dot**2 / 2 + dot**3 / 6)) < 1e-6
    assert layer.coefficients is not None
    with torch.no_grad():
        layer.coefficients.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert largest((layer.features(q) * layer.features(k)).sum(-1) - dot**2) < 1e-12


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_layers_of_the_paper_scan_as_they_step(name: str) -> None:
    window = min(3, PUBLISHED[name].get("window", 3))
    layer = perturbed(Atlas.published(name, hidden_size=16, num_heads=2, chunk_size=4, window=window))
    x = tokens(2, layer, length=11)
    with torch.no_grad():
        y, state = layer.scan(x)
        stepped, end = by_steps(layer, x)
        assert largest(y - stepped) < 1e-9
        for leaf, one in end.items():
            assert largest(state[leaf].double() - one.double()) < 1e-9


def test_what_the_layers_of_the_paper_are() -> None:
    assert Atlas.published("omeganet").post is None
    assert Atlas.published("atlas").post is not None
    assert Atlas.published("dot").loss == "dot"
    assert Atlas.published("dot").window > 1 == Atlas.published("deep_transformer").window
    assert len(Atlas.published("swla").initial) == 1
    assert len(Atlas.published("dla", depth=3).initial) == 3


@pytest.mark.parametrize("variant", ["mag", "mal"])
def test_beside_attention_it_scans_as_it_steps(variant: Any) -> None:
    layer = perturbed(
        Atlas(hidden_size=16, num_heads=2, variant=variant, chunk_size=4, window=3, attention_window=5, persistent=3)
    )
    x = tokens(2, layer, length=11)
    with torch.no_grad():
        y, _ = layer.scan(x)
        assert largest(y - by_steps(layer, x)[0]) < 1e-9
        first, state = layer.scan(x[:, :6])
        assert largest(torch.cat((first, layer.scan(x[:, 6:], state)[0]), 1) - y) < 1e-9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_shows_what_a_window_and_muon_are_for(seed: int) -> None:
    """Recall as the catalog's probe has it: at rho = 0.5 0.90 with sixteen pairs, 0.38 with one; at rho = 0.8 0.73,
    and with Muon 0.85."""
    evidence = witness.witness(seed)
    assert evidence.value == pytest.approx(0.90, abs=0.05)
    assert evidence.baseline == pytest.approx(0.38, abs=0.08)
    plain = witness.measure(seed, correlation=0.8)
    assert plain == pytest.approx(0.73, abs=0.06)
    assert witness.measure(seed, correlation=0.8, muon=True) > plain + 0.05


def test_wrong_settings_are_refused() -> None:
    for wrong, match in (
        ({"optimizer": "adam"}, "'adam'.*muon, gd"),
        ({"variant": "mab"}, "'mab'.*lmm, mac"),
        ({"window": 0}, "got 0"),
        ({"feature_name": "rbf"}, "'rbf'"),
        ({"max_lr": 0.0}, "max_lr"),
        ({"momentum": 1.0}, "within"),
        ({"depth": 0}, "depth 0"),
    ):
        with pytest.raises(InvalidInput, match=match):
            Atlas(**wrong)
    with pytest.raises(InvalidInput, match="omeganet"):
        Atlas.published("atlas2")

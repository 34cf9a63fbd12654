"""What optimizers have in common beyond their rules: copies, states that wait, files of others, groups."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from remanence import catalog
from remanence.core.errors import InvalidInput
from remanence.mechanisms.training.delta_momentum import DeltaMomentum
from remanence.mechanisms.training.m3 import M3
from remanence.substrates.training.base import matrix, rows_and_columns
from remanence.substrates.training.mechanism import TrainingMechanism
from remanence.substrates.training.probe import network, train


def test_the_state_is_torchs_mapping_and_can_be_called() -> None:
    layers = network(0)
    optimizer = M3(params=layers, period=3)
    assert isinstance(optimizer, TrainingMechanism)
    train(optimizer, layers, 0, 4)
    assert set(optimizer.state) == set(layers.parameters())
    memory = optimizer.state()["memory"]
    assert memory["0"]["step"] == 4
    assert memory["0"]["slow"].shape == (6, 8)


@pytest.mark.parametrize("slug", [slug for slug, card in catalog.cards().items() if card.substrate == "training"])
def test_it_is_made_as_torchs_own_optimizers_are(slug: str) -> None:
    layers = network(0)
    optimizer = catalog.get(slug)(layers.parameters(), lr=0.5)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5]
    assert len(optimizer.param_groups[0]["params"]) == len(list(layers.parameters()))


def test_a_deep_copy_goes_on_alone() -> None:
    layers = network(0)
    optimizer = DeltaMomentum(params=layers)
    train(optimizer, layers, 0, 3)
    kept = optimizer.state()
    twin = copy.deepcopy(optimizer)
    train(optimizer, layers, 0, 3)
    assert twin.state()["memory"]["0"]["momentum"].tolist() == kept["memory"]["0"]["momentum"].tolist()
    assert twin.measured_bytes() == optimizer.measured_bytes()


def test_a_restored_state_waits_for_as_many_parameters() -> None:
    layers = network(0)
    optimizer = DeltaMomentum(params=layers)
    train(optimizer, layers, 0, 2)
    other, parameters = DeltaMomentum(), list(layers.parameters())
    other.restore(optimizer.state())
    assert other.state()["memory"].keys() == optimizer.state()["memory"].keys()
    other.attach(parameters[:3])
    with pytest.raises(InvalidInput, match="a state for 4 parameters was restored, and 3 are attached"):
        other.step()
    with pytest.raises(InvalidInput, match="4 parameters in 1 groups, and 4 in 2 are trained"):
        other.attach(parameters[3:])


def test_settings_of_groups_come_back_with_the_state() -> None:
    layers, copied = network(0), network(0)
    parameters = list(layers.parameters())
    groups: list[dict[str, Any]] = [{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:]}]
    optimizer = DeltaMomentum(params=groups)
    train(optimizer, layers, 0, 2)
    others = list(copied.parameters())
    other = DeltaMomentum(params=[{"params": others[:1]}, {"params": others[1:]}])
    other.restore(optimizer.state())
    assert [group["lr"] for group in other.param_groups] == [0.5, 0.01]


def test_a_file_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    layers = network(0)
    optimizer = DeltaMomentum(params=layers)
    train(optimizer, layers, 0, 2)
    optimizer.save(tmp_path / "one.safetensors")
    with pytest.raises(InvalidInput, match="holds 'delta_momentum', not 'm3'"):
        M3(params=layers).load(tmp_path / "one.safetensors")
    with pytest.raises(InvalidInput, match="no safetensors file"):
        optimizer.load(tmp_path / "none.safetensors")


def test_what_cannot_be_trained_is_told() -> None:
    with pytest.raises(InvalidInput, match="complex64"):
        DeltaMomentum(params=[nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    with pytest.raises(InvalidInput, match="cannot be trained"):
        DeltaMomentum(params=[3])  # type: ignore[arg-type]


def test_frozen_parameters_of_a_module_are_left_out() -> None:
    layers = network(0)
    next(layers.parameters()).requires_grad_(False)
    assert sum(len(group["params"]) for group in DeltaMomentum(params=layers).param_groups) == 3


@pytest.mark.parametrize("shape", [(), (5,), (4, 6), (4, 2, 3), (0, 3)])
def test_every_gradient_is_a_matrix(shape: tuple[int, ...]) -> None:
    one = torch.ones(shape)
    if one.numel():
        assert matrix(one).shape == rows_and_columns(one.shape)
    else:
        assert rows_and_columns(one.shape) == (0, 0)

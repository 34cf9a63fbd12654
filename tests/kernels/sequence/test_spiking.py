"""Leaky integrate-and-fire neurons."""

from __future__ import annotations

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.spiking import lif


def test_a_neuron_charges_fires_and_begins_anew() -> None:
    """tau = 2, input 1.5: v = 0.75, then 1.125 fires and is reset."""
    x = torch.full((1, 6, 1), 1.5, dtype=torch.float64)
    spikes, charge = lif(x)
    assert spikes.flatten().tolist() == [0, 1, 0, 1, 0, 1]
    assert charge is not None
    assert charge.item() == 0
    _, charge = lif(x[:, :5])
    assert charge is not None
    assert charge.item() == 0.75


def test_what_stays_below_the_threshold_never_fires() -> None:
    """The charge tends to the input."""
    spikes, charge = lif(torch.full((1, 50, 1), 0.999))
    assert not spikes.any()
    assert charge is not None
    assert charge.item() == pytest.approx(0.999)


def test_without_leak_it_is_a_threshold() -> None:
    x = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    spikes, _ = lif(x, tau=1.0)
    assert torch.equal(spikes, (x >= 1).float())


def test_a_split_changes_nothing() -> None:
    """I23, bit by bit."""
    x = 3 * torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    whole, end = lif(x)
    first, middle = lif(x[:, :11])
    second, last = lif(x[:, 11:], initial_state=middle)
    assert torch.equal(torch.cat((first, second), 1), whole)
    assert end is not None
    assert last is not None
    assert torch.equal(end, last)


def test_the_gradient_is_that_of_a_sigmoid_and_stops_at_the_reset() -> None:
    """ds_2 / dx_1 = s'(v_2 - 1) / 2 * dv_2 / dv_1, with dv_2 / dv_1 = 1/2 after no spike, 0 after one."""
    for first, through in ((0.5, 0.5), (4.0, 0.0)):
        x = torch.tensor([first, 1.0], dtype=torch.float64).reshape(1, 2, 1).requires_grad_()
        spikes, _ = lif(x)
        (grad,) = torch.autograd.grad(spikes[0, 1, 0], x)
        v = (1.0 + (first / 2 if first < 2 else 0.0)) / 2
        soft = torch.sigmoid(torch.tensor(4.0 * (v - 1), dtype=torch.float64))
        slope = float(4 * soft * (1 - soft))
        assert grad.flatten().tolist() == pytest.approx([slope / 2 * through, slope / 2])


def test_not_a_number_is_not_hidden() -> None:
    x = torch.ones(1, 5, 2)
    x[0, 2, 0] = torch.nan
    spikes, charge = lif(x)
    assert spikes[0, 2:, 0].isnan().all()
    assert spikes[0, :2].isfinite().all()
    assert spikes[0, :, 1].isfinite().all()
    assert charge is not None
    assert charge[0, 0].isnan()


def test_edges() -> None:
    spikes, charge = lif(torch.zeros(2, 0, 3), initial_state=torch.ones(2, 3))
    assert spikes.shape == (2, 0, 3)
    assert charge is not None
    assert torch.equal(charge, torch.ones(2, 3))
    assert lif(torch.zeros(0, 4, 3))[0].shape == (0, 4, 3)
    assert lif(torch.ones(1, 4, 3).half(), output_final_state=False)[1] is None
    assert lif(torch.ones(1, 4, 3).half())[0].dtype == torch.half
    with pytest.raises(InvalidInput, match=r"\(2, 4\)"):
        lif(torch.zeros(2, 5, 3), initial_state=torch.zeros(2, 4))
    with pytest.raises(InvalidInput, match=r"0\.5"):
        lif(torch.zeros(2, 5, 3), tau=0.5)

"""Leaky integrate-and-fire neurons: charges that leak, spikes of 0 and 1, and a gradient through the threshold.

    v = v_{t-1} + (x_t - v_{t-1}) / tau,   s_t = [v >= threshold],   v_t = v (1 - s_t)

The derivative of the step is replaced by that of a sigmoid of slope `slope`; no gradient goes through the reset.
Source: the neuron of LMUFormer (arXiv:2402.04882), tau = 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation, without_autocast
from remanence.kernels.sequence.forms import Op
from remanence.kernels.sequence.shapes import expect


@without_autocast
def naive_recurrent_lif(
    x: Tensor,
    *,
    tau: float = 2.0,
    threshold: float = 1.0,
    slope: float = 4.0,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Spikes of D neurons, token by token; what happens next depends on whether they fired, so there is no other form.

    Args:
        x: input currents, [B, T, D].
        tau: how slowly a charge leaks, above or at 1; 1: it does not outlive its token.
        threshold: charge at which a neuron fires, above 0.
        slope: of the sigmoid whose derivative stands for that of the step.
        initial_state: charges [B, D], 0 if left out.
        output_final_state: whether to return the charges after the last token.

    Returns spikes like x, and charges in float32 at least. A NaN gives NaN as spike and as charge.

    """
    given = {"x": x, **({} if initial_state is None else {"state": initial_state})}
    expect(x.ndim == 3, "x must be [B, T, D]", given)
    shape = (x.shape[0], x.shape[2])
    expect(initial_state is None or initial_state.shape == shape, "the state must be [B, D]", given)
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)
    if tau < 1 or not threshold > 0 or not slope > 0:
        raise InvalidInput(f"tau must be at least 1, threshold and slope above 0; got {tau}, {threshold}, {slope}")
    type_ = accumulation(x, initial_state)
    v = x.new_zeros(shape, dtype=type_) if initial_state is None else initial_state.to(type_)
    spikes = []
    for t in range(x.shape[1]):
        v = v + (x[:, t].to(type_) - v) / tau
        spike: Tensor = _Step.apply(v - threshold, slope)  # type: ignore[no-untyped-call]
        spikes.append(spike)
        v = v * (1 - spike.detach())
    out = torch.stack(spikes, 1) if spikes else torch.zeros_like(x)
    return out.to(x.dtype), v if output_final_state else None


lif = Op(naive_recurrent_lif)


class _Step(torch.autograd.Function):
    """1 at 0 and above, with the derivative of a sigmoid."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: float) -> Tensor:
        return torch.where(x.isnan(), x, (x >= 0).to(x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.slope = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        soft = torch.sigmoid(ctx.slope * x)
        return grad * ctx.slope * soft * (1 - soft), None

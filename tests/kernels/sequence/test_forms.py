"""Operations in several forms; and of all operations there are, that their forms agree on their own examples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from remanence.bench.sequence.speed import TOLERANCE, apart, doubled, drawn, moved, operations
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.forms import Op


def naive_recurrent_double(x: Tensor) -> Tensor:
    """Twice x."""
    return x + x


def chunk_double(x: Tensor) -> Tensor:
    return 2 * x


def test_a_form_is_chosen_by_name_or_by_the_number_of_tokens() -> None:
    taken: list[str] = []

    def recurrent(x: Tensor) -> Tensor:
        taken.append("recurrent")
        return x

    def chunk(x: Tensor) -> Tensor:
        taken.append("chunk")
        return x

    op = Op(recurrent, chunk)
    for tokens in (1, 2):
        op(torch.zeros(1, tokens, 1))
    op.in_form("recurrent")(torch.zeros(1, 5, 1))
    op.in_form("auto")(torch.zeros(1, 5, 1))
    assert taken == ["recurrent", "chunk", "recurrent", "chunk"]
    assert Op(recurrent).forms == ("recurrent",)


def test_a_fast_form_is_taken_on_its_device_where_it_fits() -> None:
    op = Op(naive_recurrent_double, chunk_double)
    assert (op.name, op.forms) == ("double", ("recurrent", "chunk"))

    @op.register("cpu", fits=lambda x: x.shape[-1] == 4)
    def fast(x: Tensor) -> Tensor:
        return 3 * x

    assert op.forms == ("recurrent", "chunk", "cpu")
    assert op(torch.ones(1, 2, 4))[0, 0, 0] == 3
    assert op(torch.ones(1, 2, 5))[0, 0, 0] == 2
    assert op.in_form("cpu") is fast
    assert op.in_form("chunk") is chunk_double


def test_a_form_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidInput, match="double has no form 'cuda'; it has auto, recurrent, chunk"):
        Op(naive_recurrent_double, chunk_double).in_form("cuda")
    with pytest.raises(InvalidInput, match="double has no form 'chunk'; it has auto, recurrent"):
        Op(naive_recurrent_double).in_form("chunk")


DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", operations())
def test_every_operation_has_examples_on_which_its_forms_agree(name: str, device: str) -> None:
    op = operations()[name]
    assert op.examples, f"{name} cannot be measured: give Op(…, examples=…)"
    for example in op.examples.values():
        call = moved(drawn(example, 40), device)
        assert apart(op, doubled(call)) < TOLERANCE
        if device in op.fast and op.fast[device][1](*call.args, **call.kwargs):
            # What was written for a device computes in its own types; single precision is what they all have.
            assert apart(op, call, device) < 1e-3

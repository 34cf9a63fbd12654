"""The base layer and the language model around it, with the smallest right mechanism."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.substrates.sequence.mechanism import SequenceMechanism, State
from remanence.substrates.sequence.model import RMSNorm, SequenceModel
from tests.conformance.sequence_adversaries import Right


class Paced(Right):
    """Adds up; passes on what it has only at every fourth token: sequences have a phase."""

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        return {**super().init_state(batch), "offset": torch.zeros(batch, dtype=torch.int64)}

    def phase(self, state: State) -> Tensor:
        return state["offset"] % 4

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        phases = set(self.phase(state).tolist())
        assert len(phases) == 1, "sequences at different points were advanced together"
        s, outs, offset = state["s"], [], int(state["offset"][0])
        for at in range(x.shape[1]):
            s = s + x[:, at]
            outs.append(s * ((offset + at) % 4 == 3))
        return torch.stack(outs, 1), {"s": s, "offset": state["offset"] + x.shape[1]}


def test_a_layer_is_a_mechanism() -> None:
    assert isinstance(Right(), SequenceMechanism)


def test_sequences_of_different_phase_are_advanced_apart() -> None:
    layer = Paced()
    x = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < torch.tensor([[7], [5], [0]])
    _, state = layer.scan(x, mask=mask)
    assert state["offset"].tolist() == [7, 5, 0]
    y, state = layer.scan(x, state)
    for row, length in enumerate((7, 5, 0)):
        _, alone = layer.scan(x[row : row + 1, :length])
        wanted, _ = layer.scan(x[row : row + 1], alone)
        torch.testing.assert_close(y[row : row + 1], wanted)
    y, _ = layer.step(x[:, 0], state)
    assert y.shape == (3, 8)


def test_stream_and_reset() -> None:
    layer = Right()
    x = torch.randn(2, 10, 8, generator=torch.Generator().manual_seed(1))
    whole, _ = layer(x)
    parts = torch.cat([layer.stream(x[:, :4]), layer.stream(x[:, 4:])], 1)
    torch.testing.assert_close(parts, whole)
    with pytest.raises(InvalidInput, match=r"the memory is of 2 sequences, x has 1; reset\(\)"):
        layer.stream(x[:1])
    layer.reset()
    torch.testing.assert_close(layer.stream(x), whole)
    assert layer.memory is not None
    assert not layer.memory["s"].requires_grad


def test_a_stream_goes_on_after_the_layer_was_moved_or_cast() -> None:
    layer, x = Right(), torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))
    expected = copy.deepcopy(layer).scan(x)[0][:, 3:]
    layer.stream(x[:, :3])
    layer.double()
    y = layer.stream(x[:, 3:].double())
    torch.testing.assert_close(y.float(), expected)
    assert layer.memory is not None
    assert layer.memory["s"].dtype == torch.float64
    layer.to("meta")
    assert layer.stream(x.double().to("meta")).device.type == "meta"
    assert layer.memory["s"].device.type == "meta"


def test_a_file_of_another_mechanism_is_refused(tmp_path: Path) -> None:
    class Other(Right):
        card: ClassVar[Card] = replace(Right.card, slug="other")

    Right().save(tmp_path / "layer.safetensors")
    with pytest.raises(InvalidInput, match="holds 'leaky', not 'other'"):
        Other().load(tmp_path / "layer.safetensors")


def ids(length: int = 9) -> Tensor:
    return torch.randint(0, 11, (2, length), generator=torch.Generator().manual_seed(2))


def model(**settings: object) -> SequenceModel:
    return SequenceModel([lambda: Right(seed=None)] * 2, vocab_size=11, **settings)  # type: ignore[arg-type]


def test_a_model_continues_from_its_states() -> None:
    lm = model()
    whole, _ = lm(ids())
    first, states = lm(ids()[:, :4])
    second, _ = lm(ids()[:, 4:], states)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_blocks_are_initialised_apart_and_by_the_seed() -> None:
    lm = model()
    one, other = (mixer.state_dict()["write.weight"] for mixer in lm.mixers)
    assert not torch.equal(one, other)
    assert torch.equal(model().head.weight, lm.head.weight)
    assert not torch.equal(model(seed=1).head.weight, lm.head.weight)
    assert lm.head.weight is lm.embedding.weight
    assert model(tie_embeddings=False).head.weight is not lm.embedding.weight


def test_padding_changes_no_logits() -> None:
    lm = model()
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.int64), ids()], 1)
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[:, :3] = False
    torch.testing.assert_close(lm(padded, mask=mask)[0][:, 3:], lm(ids())[0])


def test_what_is_no_model_or_no_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a mixer and a token"):
        SequenceModel([], vocab_size=3)
    with pytest.raises(InvalidInput, match=r"one hidden_size; got \[4, 8\]"):
        SequenceModel([Right, lambda: Right(hidden_size=4)], vocab_size=3)
    lm = model()
    with pytest.raises(InvalidInput, match="whole numbers"):
        lm(torch.randn(2, 3))
    with pytest.raises(InvalidInput, match="1 states were given for 2 blocks"):
        lm(ids(), [lm.mixers[0].init_state(2)])


def test_a_norm_in_half_precision_does_not_overflow() -> None:
    x = torch.full((1, 64), 300.0, dtype=torch.float16)
    torch.testing.assert_close(RMSNorm(64).half()(x), torch.ones_like(x))

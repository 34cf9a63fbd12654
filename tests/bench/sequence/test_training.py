"""A run that was broken off and resumed is the run that was not; checkpoints are whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from remanence.bench.sequence.training import Batch, Plan, Trainer, checkpoints
from remanence.core.errors import InvalidInput
from remanence.substrates.sequence.model import SequenceModel
from tests.conformance.sequence_adversaries import Right

PLAN = Plan(steps=9, lr=1e-2, warmup=2, checkpoint_every=2)


def batches(step: int) -> Batch:
    """Tokens that follow one another by one rule: the next is the one before, plus one."""
    generator = torch.Generator().manual_seed(step)
    first = torch.randint(0, 7, (4, 1), generator=generator)
    ids = (first + torch.arange(9)) % 7
    return Batch(ids[:, :-1], ids[:, 1:], torch.ones(4, 8, dtype=torch.bool))


def model(seed: int = 0) -> SequenceModel:
    return SequenceModel([lambda: Right(seed=None), lambda: Right(seed=None)], vocab_size=7, seed=seed)


def trainer(folder: Path | None = None, *, plan: Plan = PLAN, step: Callable[[int], Batch] = batches) -> Trainer:
    return Trainer(model(), plan, step, folder)


def test_training_learns() -> None:
    losses = trainer(plan=Plan(steps=60, lr=1e-2, warmup=2)).run()
    assert len(losses) == 60
    assert losses[-1] < 0.3 * losses[0]


def test_a_resumed_run_is_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = trainer()
    whole.run()
    trainer(tmp_path).run(until=5)
    second = trainer(tmp_path)
    assert second.resume()
    assert second.step == 5
    second.run()
    assert second.losses == whole.losses
    for name, one in whole.model.state_dict().items():
        assert torch.equal(one, second.model.state_dict()[name]), name


def test_a_run_killed_while_saving_resumes_from_the_checkpoint_before(tmp_path: Path) -> None:
    first = trainer(tmp_path)
    first.run(until=4)
    (tmp_path / ".step-00000006.tmp").mkdir()
    (tmp_path / ".step-00000006.tmp" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "step-00000008").mkdir()
    second = trainer(tmp_path)
    assert second.resume()
    assert second.step == 4
    second.run()
    whole = trainer()
    assert second.losses == whole.run()
    assert [one.name for one in checkpoints(tmp_path)] == ["step-00000008", "step-00000009"]


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    assert not trainer(tmp_path / "absent").resume()
    assert not trainer().resume()
    with pytest.raises(InvalidInput, match="nowhere to save"):
        trainer().save()


def test_another_plan_or_model_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=2)
    with pytest.raises(InvalidInput, match=r"another plan \(lr 0\.01, here 0\.02\)"):
        trainer(tmp_path, plan=Plan(steps=9, lr=2e-2, warmup=2, checkpoint_every=2)).resume()
    other = Trainer(SequenceModel([lambda: Right(hidden_size=4)], vocab_size=7), PLAN, batches, tmp_path)
    with pytest.raises(InvalidInput, match="another configuration"):
        other.resume()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=2)
    (checkpoints(tmp_path)[-1] / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InvalidInput, match=r"model\.safetensors"):
        trainer(tmp_path).resume()


def test_a_loss_of_nan_stops_before_the_weights_are_spoiled(tmp_path: Path) -> None:
    spoiled = trainer(tmp_path)
    spoiled.run(until=2)
    with torch.no_grad():
        spoiled.model.embedding.weight[0] = torch.nan
    with pytest.raises(InvalidInput, match=r"step 2.*lower lr"):
        spoiled.run()
    again = trainer(tmp_path)
    assert again.resume()
    assert again.run()[-1] > 0


def test_the_rate_rises_and_falls() -> None:
    plan = Plan(steps=100, lr=1.0, warmup=10)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 3, "lr": 0.0}, {"steps": 3, "checkpoint_every": 0}])
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="must be positive"):
        Plan(**wrong)  # type: ignore[arg-type]


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=2)
    files = {one.name for one in checkpoints(tmp_path)[0].iterdir()}
    assert files == {"model.safetensors", "optimizer.safetensors", "trainer.json"}
    assert json.loads((checkpoints(tmp_path)[0] / "trainer.json").read_text())["step"] == 2

"""Train a sequence model: a progress bar, checkpoints without pickle, and a resumed run equal to an uninterrupted one.

What a step trains on is a function of the step's number alone, so that nothing but weights, the optimizer's moments and
that number have to be kept.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.model import SequenceModel

_NAME = "step-{:08d}"
_KEPT = 2
"""How many checkpoints stay: should the newest be damaged, there is another."""


@dataclass(frozen=True)
class Batch:
    """Ids [B, T], what is to be predicted at each of them [B, T], and where that counts [B, T], boolean."""

    ids: Tensor
    targets: Tensor
    counts: Tensor


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train: AdamW, the rate rising over `warmup` steps and falling along a cosine to a tenth."""

    steps: int
    lr: float = 2e-3
    warmup: int = 20
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1 or self.checkpoint_every < 1 or not self.lr > 0:
            raise InvalidInput(
                f"steps, checkpoint_every and lr must be positive; got {self.steps}, {self.checkpoint_every}, {self.lr}"
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        part = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


def loss_of(model: SequenceModel, batch: Batch) -> Tensor:
    """Mean negative log-likelihood in nats of what counts."""
    logits, _ = model(batch.ids)
    return functional.cross_entropy(logits[batch.counts].float(), batch.targets[batch.counts])


@dataclass
class Trainer:
    """Trains a model in place.

    Args:
        model: what is trained.
        plan: how.
        batches: the batch of a step.
        folder: where checkpoints go; None: there are none.

    """

    model: SequenceModel
    plan: Plan
    batches: Callable[[int], Batch]
    folder: Path | None = None
    step: int = 0
    losses: list[float] = field(default_factory=list)
    """Of each step, in nats."""

    def __post_init__(self) -> None:
        decayed: list[nn.Parameter] = []
        bare: list[nn.Parameter] = []
        for one in self.model.parameters():
            matrix = one.ndim > 1 and not getattr(one, "no_weight_decay", False)
            (decayed if matrix else bare).append(one)
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": bare, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.plan.lr, betas=self.plan.betas, weight_decay=self.plan.weight_decay
        )

    def run(self, until: int | None = None, *, progress: bool = False) -> list[float]:
        """Train up to a step, or to the end of the plan; the losses so far. Raises `InvalidInput` at a loss of NaN."""
        end = self.plan.steps if until is None else min(until, self.plan.steps)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not progress, transient=True) as bar:
            task = bar.add_task("training", total=self.plan.steps, completed=self.step)
            self.model.train()
            while self.step < end:
                self.losses.append(self._one())
                self.step += 1
                bar.update(task, completed=self.step, description=f"loss {self.losses[-1]:.3f}")
                if self.folder and (self.step % self.plan.checkpoint_every == 0 or self.step == end):
                    self.save()
        self.model.eval()
        return self.losses

    def _one(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.step)
        loss = loss_of(self.model, self.batches(self.step))
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise InvalidInput(
                f"step {self.step}: loss {loss.item():.4g}, gradient of length {norm.item():.4g}; lower lr "
                f"({self.plan.lr:g}) and resume from the last checkpoint"
            )
        self.optimizer.step()
        return loss.item()

    def save(self) -> Path:
        """Write a checkpoint, whole or not at all; older ones but one are removed."""
        if self.folder is None:
            raise InvalidInput("a trainer without a folder has nowhere to save to")
        place = self.folder / _NAME.format(self.step)
        draft = self.folder / f".{place.name}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        states.save(self.model.state_dict(), draft / "model.safetensors")
        states.save(self._moments(), draft / "optimizer.safetensors")
        told = {"step": self.step, "losses": self.losses, "plan": asdict(self.plan)}
        (draft / "trainer.json").write_text(json.dumps(told), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
        for old in checkpoints(self.folder)[:-_KEPT]:
            shutil.rmtree(old)
        return place

    def resume(self) -> bool:
        """Continue from the newest checkpoint of the folder; False when there is none.

        Raises `InvalidInput` for a checkpoint of another plan or another model.
        """
        found = checkpoints(self.folder) if self.folder else []
        if not found:
            return False
        place = found[-1]
        told: dict[str, Any] = json.loads((place / "trainer.json").read_text(encoding="utf-8"))
        plan = json.loads(json.dumps(asdict(self.plan)))
        if told["plan"] != plan:
            differing = ", ".join(
                f"{key} {told['plan'].get(key)}, here {here}"
                for key, here in plan.items()
                if told["plan"].get(key) != here
            )
            raise InvalidInput(f"{place} is of another plan ({differing}); give the same plan, or another folder")
        weights, _ = states.load(place / "model.safetensors")
        states.check(weights, self.model.state_dict())
        self.model.load_state_dict(weights)
        self._take_moments(states.load(place / "optimizer.safetensors")[0])
        self.step, self.losses = told["step"], told["losses"]
        return True

    def _moments(self) -> dict[str, Tensor]:
        names: dict[Tensor, str] = {one: name for name, one in self.model.named_parameters()}
        return {
            f"{names[parameter]}:{key}": value
            for parameter, held in self.optimizer.state.items()
            for key, value in held.items()
        }

    def _take_moments(self, held: dict[str, Tensor]) -> None:
        parameters = dict(self.model.named_parameters())
        self.optimizer.state.clear()
        for name, value in held.items():
            parameter, key = name.rsplit(":", 1)
            self.optimizer.state[parameters[parameter]][key] = value.clone()


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a folder, oldest first."""
    return sorted(one for one in folder.glob("step-*") if (one / "trainer.json").is_file())

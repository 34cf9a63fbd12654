"""The experiment on sequences: equal parameters, cells that are kept, a page and a figure of what was measured."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from remanence.bench.sequence import __main__ as command
from remanence.bench.sequence import experiment, measuring, showing
from remanence.bench.sequence.corpus import ByteCorpus
from remanence.bench.sequence.experiment import Setup
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.scenarios.mqar import TokenTask, mqar
from remanence.substrates.sequence.model import SequenceModel
from tests.conformance.sequence_adversaries import Right

ROOT = Path(__file__).parents[3]
TINY = Setup(hidden_size=16, layers=1, length=24, batch=2, steps=11, recall_steps=3, recall_batch=4, pairs=4)
CORPUS = ByteCorpus.of(b"the quick brown fox jumps over the lazy dog. " * 40)
NAMES = ["linear_attention", "gated_kalmanet:num_heads=1,solver=exact"]


def run(path: Path, names: list[str] = NAMES, seeds: int = 1, **rest: Any) -> dict[str, Any]:
    return experiment.run(names, seeds, CORPUS, path, text="fox.txt", setup=TINY, **rest)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sequence") / "deep" / "cells.json"
    run(path, seeds=2)
    return path


def test_every_default_mixer_has_as_many_parameters() -> None:
    setup = experiment.settled(experiment.default_mixers(), Setup())
    for name in experiment.default_mixers():
        model = experiment.model_of(name, setup, vocabulary=256, parameters=setup.parameters)
        assert abs(experiment.count(model) / setup.parameters - 1) < 0.02, name
    assert experiment.settled(["linear_attention"], setup) == setup


def test_cells_hold_what_was_measured(measured: Path) -> None:
    found = json.loads(measured.read_text())
    assert [(cell["mixer"], cell["seed"]) for cell in found["cells"]] == [(n, s) for s in (0, 1) for n in NAMES]
    assert found["setup"]["steps"] == 11
    assert {"version", "torch", "threads", "hardware", "text"} < found.keys()
    for cell in found["cells"]:
        assert len(cell["losses"]) == 2
        assert cell["losses"][0] == pytest.approx(math.log(256), abs=0.2)
        assert 0 < cell["bits_per_byte"] < 9
        assert list(cell["recall"]) == ["1-7", "8-15", "16-31", "32-63", "64-127"]
        assert min(cell["tokens_per_second"].values()) > 0
    assert "/" not in found["text"]


def test_an_experiment_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cells.json"
    lines: list[str] = []
    run(path, NAMES[:1], report=lines.append)
    assert len(lines) == 1
    first = json.loads(path.read_text())["cells"][0]
    run(path, report=lines.append)
    assert len(lines) == 2
    assert json.loads(path.read_text())["cells"][0] == first
    with pytest.raises(InvalidInput, match="another text"):
        experiment.run(NAMES, 1, CORPUS, path, text="cat.txt")
    monkeypatch.setattr("remanence.__version__", "99")
    with pytest.raises(InvalidInput, match="another version"):
        run(path)


def test_time_decides_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(name: str, seed: int, setup: Setup, corpus: ByteCorpus) -> Any:
        class Took:
            seconds = 1.0 + 0.1 * setup.steps

        return Took()

    monkeypatch.setattr(experiment, "measure", pretend)
    setup = experiment.planned(["a", "b"], 3, Setup(steps=100, recall_steps=150), CORPUS, minutes=3)
    assert setup.steps == pytest.approx((60 - 2.4) / 0.2, abs=1)
    assert setup.recall_steps == math.ceil(1.5 * setup.steps)
    with pytest.raises(InvalidInput, match=r"minutes are not enough for 2 mixers"):
        experiment.planned(["a", "b"], 3, Setup(), CORPUS, minutes=0.1)


def test_the_page_tells_means_and_intervals(measured: Path) -> None:
    found = experiment.load(measured)
    page = showing.page(found)
    bits = [cell["bits_per_byte"] for cell in found["cells"] if cell["mixer"] == NAMES[0]]
    mean, half = experiment.interval(bits)
    assert half == pytest.approx(12.706 * np.std(bits, ddof=1) / math.sqrt(2))
    assert f"| `{NAMES[0]}` |" in page
    assert f"{mean:.3f} ± {half:.3f}" in page
    assert "Means over 2 seeds" in page
    assert experiment.interval([3.0]) == (3.0, 0.0)


def test_the_committed_page_is_that_of_the_committed_cells() -> None:
    found = experiment.load(ROOT / "results" / "sequence.json")
    assert showing.page(found) == (ROOT / showing.PAGE).read_text(encoding="utf-8")
    assert (ROOT / showing.FIGURE).is_file()
    assert {len(cells) for _, cells in experiment.by_mixer(found)} == {3}


def test_the_figure_is_the_same_again(measured: Path, tmp_path: Path) -> None:
    found = experiment.load(measured)
    for name in ("one.svg", "two.svg"):
        showing.draw(found, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "bits per byte" in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rag", "a mechanism for records"),
        ("linear_attentio", "did you mean"),
        ("linear_attention:num_heads", "key=value"),
        ("linear_attention:colour=3", "colour"),
        ("linear_attention:num_heads=5", "num_heads 5"),
    ],
)
def test_a_mixer_that_cannot_be_is_told(name: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        experiment.model_of(name, TINY, vocabulary=9)


def test_a_mixer_with_too_many_parameters_is_told() -> None:
    with pytest.raises(InvalidInput, match="more than 100 parameters"):
        experiment.model_of("linear_attention", TINY, vocabulary=9, parameters=100)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 99}', '{"schema": 1, "setup": {"x": 1}, "cells": []}'])
def test_a_file_that_holds_no_experiment_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "cells.json").write_text(text)
    with pytest.raises(ImportFormatError, match=r"cells\.json"):
        experiment.load(tmp_path / "cells.json")


class Oracle(SequenceModel):
    """Says what it is told to say."""

    def __init__(self, answers: np.ndarray, vocabulary: int) -> None:
        super().__init__([Right], vocab_size=vocabulary)
        self.answers = torch.from_numpy(answers)

    def forward(self, ids: Tensor, *_: Any, **__: Any) -> tuple[Tensor, list[Any]]:
        return torch.nn.functional.one_hot(self.answers, self.vocab_size).float(), []


def test_recall_is_told_by_distance() -> None:
    task = mqar(0, sequences=20, pairs=8)
    near = np.where(task.distance < 16, task.targets, 0)
    found = measuring.recall_by_distance(Oracle(near, task.vocabulary), [task], edges=(1, 16, 40, 99))
    assert found == {"1-15": 1.0, "16-39": 0.0, "40-98": None}
    assert isinstance(task, TokenTask)


def test_states_that_grow_are_measured_where_they_are() -> None:
    model = experiment.model_of("test_time_regression:preset=softmax", TINY, vocabulary=9)
    assert measuring.state_bytes(model, 64) > 1.5 * measuring.state_bytes(model, 32)
    fixed = experiment.model_of("linear_attention", TINY, vocabulary=9)
    assert measuring.state_bytes(fixed, 64) == measuring.state_bytes(fixed, 32)


def test_the_commands(tmp_path: Path) -> None:
    text = tmp_path / "data" / "text" / "tinyshakespeare.txt"
    text.parent.mkdir(parents=True)
    text.write_bytes(b"to be or not to be, that is the question. " * 60)

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(command.main, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    out, page, figure, folder = (tmp_path / name for name in ("r.json", "p.md", "f.svg", "model"))
    call(
        "experiment",
        "--data",
        tmp_path / "data",
        "--mixers",
        "linear_attention",
        "--seeds",
        1,
        "--steps",
        2,
        "--out",
        out,
    )
    call("show", "--results", out, "--page", page, "--figure", figure)
    assert "`linear_attention`" in page.read_text()
    small = ("--hidden-size", 16, "--layers", 1, "--batch", 2, "--length", 16, "--checkpoint-every", 2)
    assert "bits per byte" in call("train", text, folder, "--steps", 4, *small)
    assert "continuing after step 4" in call("train", text, folder, "--steps", 4, *small)
    said = call("generate", folder, "--prompt", "to be", "--tokens", 5)
    assert said.startswith("to be")
    assert call("generate", folder, "--prompt", "to be", "--tokens", 5) == said
    assert call("generate", folder, "--prompt", "to be", "--tokens", 5, "--temperature", 0) != ""
    with pytest.raises(InvalidInput, match="holds no trained model"):
        call("generate", tmp_path)

    # What is read decides what is learnt: another of it is no continuation.
    other = tmp_path / "other.txt"
    other.write_bytes(b"whether it is nobler in the mind to suffer " * 60)
    for differing, told in (
        ((text, folder, "--steps", 4, *small, "--mixer", "delta_net"), "another mixer gated_delta_net, here delta_net"),
        ((text, folder, "--steps", 4, *small, "--seed", 1), "another seed 0, here 1"),
        ((text, folder, "--steps", 4, *small, "--batch", 4), "another batch 2, here 4"),
        ((other, folder, "--steps", 4, *small), "another text"),
        ((text, folder, "--steps", 9, *small), "steps 4, here 9"),
    ):
        with pytest.raises(InvalidInput, match=told):
            call("train", *differing)
    call("train", text, folder, "--steps", 4, *small)


def test_a_folder_without_a_checkpoint_is_free(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(b"to be or not to be, that is the question. " * 60)
    small = ["train", str(text), str(tmp_path), "--layers", "1", "--steps", "1", "--length", "8", "--hidden-size"]
    (tmp_path / "model.json").write_text('{"mixer": "delta_net"}')
    assert CliRunner().invoke(command.main, [*small, "16"], catch_exceptions=False).exit_code == 0
    with pytest.raises(InvalidInput, match="another hidden_size 16, here 32"):
        CliRunner().invoke(command.main, [*small, "32"], catch_exceptions=False)


def test_an_experiment_reads_a_text_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMANENCE_BENCH_DATA", raising=False)
    few = ["experiment", "--mixers", "linear_attention", "--seeds", "1", "--steps", "1", "--out", str(tmp_path / "r")]
    with pytest.raises(InvalidInput, match="no text to train on"):
        CliRunner().invoke(command.main, few, catch_exceptions=False)
    (tmp_path / "own.txt").write_bytes(b"to be or not to be, that is the question. " * 60)
    CliRunner().invoke(command.main, [*few, "--text", str(tmp_path / "own.txt")], catch_exceptions=False)
    assert experiment.load(tmp_path / "r")["text"] == "own.txt"


def test_without_torch_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport remanence.bench.sequence"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtra: remanence.bench.sequence needs torch" in run.stderr

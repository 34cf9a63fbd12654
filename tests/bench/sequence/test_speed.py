from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import remanence
from remanence.bench.sequence import speed
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.hebbian import hebbian
from tests.architecture.tree import ROOT


def test_a_run_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results" / "speed.json"
    threads = torch.get_num_threads()
    assert speed.main(["--length", "64", "--repeats", "1", "--only", "short_conv", "--out", str(path)]) == 0
    assert torch.get_num_threads() == threads
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["schema"], data["version"]) == (speed.SCHEMA, remanence.__version__)
    assert (data["length"], data["repeats"], data["torch"]) == (64, 1, torch.__version__)
    (one,) = data["timings"]
    assert (one["operation"], one["example"]) == ("short_conv", "192 channels")
    assert one["error"] < speed.TOLERANCE
    for ratio in (one["forward"], one["with_gradients"]):
        assert ratio["faster"] == pytest.approx(ratio["recurrent_ms"] / ratio["chunk_ms"], rel=1e-2)
    assert set(one["step_ms"]) == {str(tokens) for tokens in speed.AFTER}
    # Twelve tensors of 16384 x 192 floats are 144 MiB; a chunk that kept every pair of tokens would take gigabytes.
    assert 10 < one["peak_mib"]["16384"] < 1000
    assert "| short_conv | 192 channels |" in capsys.readouterr().out

    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{speed.BEGIN}\nold\n{speed.END}\n\nafter\n")
    for _ in range(2):
        assert speed.main(["--read", str(path), "--page", str(page)]) == 0
        table = speed.render(speed.load(path))
        assert page.read_text() == f"before\n\n{speed.BEGIN}\n\n{table}\n\n{speed.END}\n\nafter\n"
    page.write_text("nothing")
    assert speed.main(["--read", str(path), "--page", str(page)]) == 2
    assert "lacks the lines" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 99}', '{"schema": 1, "timings": [{}]}'])
def test_a_file_without_timings_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text(text)
    with pytest.raises(ImportFormatError, match=r"speed\.json"):
        speed.load(tmp_path / "speed.json")


def test_the_page_says_what_was_measured() -> None:
    results, page = ROOT / "results/sequence_speed.json", ROOT / "docs/design/sequence.md"
    text = page.read_text(encoding="utf-8")
    if results.exists():
        assert speed.filled(text, speed.load(results)) == text
    else:
        assert f"{speed.BEGIN}\n\n{speed.END}" in text


def test_every_operation_with_chunks_is_found() -> None:
    found = speed.operations()
    assert {"assoc_scan", "gated_delta_rule", "hebbian", "short_conv"} <= found.keys()
    assert found["hebbian"] is hebbian


def test_forms_that_do_not_agree_are_not_timed() -> None:
    def right(x: Tensor) -> Tensor:
        return x

    def wrong(x: Tensor) -> Tensor:
        return 1.01 * x

    def example(length: int, generator: torch.Generator) -> Call:
        return Call((torch.randn(1, length, 3, generator=generator),), state="")

    with pytest.raises(InvalidInput, match=r"right on planted: the forms differ by 1\.0e-02"):
        speed.measure(Op(right, wrong), "planted", example, 16, 1)


def test_what_cannot_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--only", "softmax"]) == 2
    assert "there is no operation 'softmax' with a chunked form; there are assoc_scan" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="length 1 must be at least 2"):
        speed.run(1)
    with pytest.raises(InvalidInput, match="process that measures memory failed"):
        speed.peak_mib("hebbian", "unheard of", [64])

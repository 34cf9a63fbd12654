from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from remanence.bench import demo, speed

Run = Callable[..., Result]

TURNS = ("I moved to Oslo", "The spare key is under the flower pot", "Bo plays the cello", "Lunch was soup")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one LoCoMo conversation of four turns."""
    turns = [{"speaker": "Ana", "dia_id": f"D1:{at}", "text": text} for at, text in enumerate(TURNS, 1)]
    chat = {
        "sample_id": "conv-1",
        "conversation": {"session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": turns},
        "qa": [{"question": "Who plays the cello?", "answer": "Bo", "evidence": ["D1:3"], "category": 4}],
    }
    folder = tmp_path / "data" / "locomo"
    folder.mkdir(parents=True)
    (folder / "locomo.json").write_text(json.dumps([chat]))
    return tmp_path / "data"


def test_a_data_set(run: Run, data: Path, tmp_path: Path) -> None:
    found = run("bench", "locomo", "--data", str(data), "--systems", "bm25, recall", "--results", "out")
    assert found.stdout.startswith("### LoCoMo")
    assert "| `recall`" in found.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["locomo-bm25.json", "locomo-recall.json"]
    (line,) = run("bench", "locomo", "--data", str(data), "--systems", "bm25", "--json").stdout.splitlines()
    assert json.loads(line)["metrics"]["overall"]["recall@1"] == 1.0


def test_all_that_is_there(run: Run, data: Path) -> None:
    found = run("bench", "all", "--data", str(data), "--systems", "bm25")
    headings = [line for line in found.stdout.splitlines() if line.startswith("### ")]
    # What is generated is always there.
    assert headings == [
        "### Generated dialogues (hard), evidence turns",
        "### EpBench, generated books",
        "### LoCoMo, evidence turns",
    ]
    assert found.stderr.count("left out: ") == 8
    (data / "locomo" / "locomo.json").unlink()
    assert "none of the data sets" in run("bench", "all", "--data", str(data), "--systems", "bm25", status=1).stderr
    assert "nope" in run("bench", "locomo", "--data", str(data), "--systems", "nope", status=1).stderr


def test_speed(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measure = speed.run
    asked: dict[str, Any] = {}

    def spy(**options: Any) -> speed.Speed:
        asked.update(options)
        # Real sizes take minutes; the shape of the answer is that of an empty run.
        return measure((), scopes=0, seed=options["seed"])

    monkeypatch.setattr(speed, "run", spy)
    shown = run("bench", "speed", "--sizes", "100,200", "--scopes", "0", "--results", "out", "--seed", "3").stdout
    assert "records in one memory" in shown
    assert {name: asked[name] for name in ("sizes", "scopes", "seed")} == {"sizes": [100, 200], "scopes": 0, "seed": 3}
    assert speed.load(tmp_path / "out" / "speed.json").seed == 3
    assert json.loads(run("bench", "speed", "--json").stdout)["one_scope"] == []


def test_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def played(console: Any, **options: Any) -> dict[str, Any]:
        asked.append(options)
        console.print("on stage")
        return {"turns": 1}

    monkeypatch.setattr(demo, "run", played)
    assert run("demo", "--seed", "3", "--sessions", "4", "--path", "new.db").stdout == "on stage\n"
    assert json.loads(run("demo", "--json", "--user", "ana").stdout) == {"turns": 1}
    assert asked == [{"seed": 3, "sessions": 4, "path": Path("new.db")}, {"seed": 7, "path": None}]

from __future__ import annotations

import getpass
import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest

from remanence.bench import results
from remanence.bench.baselines import baselines
from remanence.bench.results import Footprint, Hardware, Result
from remanence.bench.runner import Run, run
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.substrates.embedding import HashEmbedder
from tests.bench.samples import small

MACHINE = Hardware("Some CPU", 2, 8.0, "Linux x86_64", "3.11.0", "2.0.0")


@pytest.fixture(scope="module")
def measured() -> list[Result]:
    data = small()
    runs = [run(data, make()) for make in baselines(HashEmbedder).values()]
    perfect = [sorted(question.gold) for question in data.questions]
    ours = Run("recall", data, perfect, [0.001, 0.002, 0.003, 0.004, 0.005], 0.5)
    made = [results.from_run(one, seed=3, hardware=MACHINE) for one in runs]
    size = Footprint(1200.0, 2400.5)
    return [*made, results.from_run(ours, baselines=runs, seed=3, hardware=MACHINE, embedder="e:64", footprint=size)]


def test_a_result_survives_its_file(measured: list[Result], tmp_path: Path) -> None:
    for one in measured:
        path = results.write(one, tmp_path / "results")
        assert path.name == f"small-{one.system}.json"
        again = results.read(path)
        assert results.write(again, tmp_path / "again").read_bytes() == path.read_bytes()
        assert again == replace(
            one,
            metrics=again.metrics,
            gains=again.gains,
            latency=again.latency,
            build_seconds=again.build_seconds,
            newest_first=again.newest_first,
        )
        assert again.metrics["overall"]["recall@5"] == pytest.approx(one.metrics["overall"]["recall@5"], abs=1e-6)


def test_a_gain_is_measured_against_the_best_baseline(measured: list[Result]) -> None:
    ours = measured[-1]
    for metric in results.COMPARED:
        gain = ours.gains[metric]
        bars = {one.system: one.metrics["overall"][metric] for one in measured[:-1]}
        assert bars[gain.baseline] == max(bars.values())
        assert gain.mean == pytest.approx(ours.metrics["overall"][metric] - max(bars.values()))
        assert gain.low <= gain.mean <= gain.high
        assert gain.corpus_low is not None
    assert not measured[0].gains


def test_the_same_seed_gives_the_same_intervals() -> None:
    data = small()
    runs = [run(data, make()) for make in baselines(HashEmbedder).values()]
    first, second = (results.from_run(runs[0], baselines=runs, seed=1, hardware=MACHINE).gains for _ in range(2))
    assert first == second


def test_a_single_corpus_has_no_interval_over_corpora() -> None:
    data = small()
    alone = replace(data, corpora=data.corpora[:1], questions=data.questions[:2])
    done = run(alone, baselines(HashEmbedder)["bm25"]())
    gain = results.from_run(done, baselines=[done], seed=0, hardware=MACHINE).gains["recall@5"]
    assert (gain.corpus_low, gain.corpus_high) == (None, None)


def test_runs_of_different_data_are_not_compared() -> None:
    make = baselines(HashEmbedder)["bm25"]
    with pytest.raises(InvalidInput, match="another data set"):
        results.from_run(run(small(), make()), baselines=[run(small(), make())], seed=0, hardware=MACHINE)


def test_hardware_says_what_kind_of_machine_and_not_which() -> None:
    machine = results.hardware()
    assert machine.cores >= 1
    assert machine.cpu
    written = json.dumps([getattr(machine, name) for name in machine.__slots__])
    for private in (platform.node(), str(Path.home()), str(Path.cwd())):
        assert private in ("", "/") or private not in written
    assert getpass.getuser() not in machine.cpu


def test_the_table_does_not_depend_on_the_order_of_files(measured: list[Result], tmp_path: Path) -> None:
    for one in measured:
        results.write(one, tmp_path)
    text = results.render(results.read_all(tmp_path))
    assert text == results.render(list(reversed(results.read_all(tmp_path))))
    systems = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert systems[:5] == ["bm25", "bm25-stemmed", "dense", "rrf", "recall"]


def test_the_table_says_what_was_measured(measured: list[Result]) -> None:
    text = results.render(measured)
    assert "### Small" in text
    assert "3 questions over 7 documents in 2 corpora" in text
    assert "100% of 1" in text
    assert "**1.000**" in text
    assert "trick (1)" in text
    assert results.render([]) == "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "schema 2"),
        ('{"schema": 99}', "schema 2"),
        ('{"schema": 2, "hardware": {"cpu": "x"}}', "Hardware lacks"),
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x-y.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ImportFormatError, match=rf"x-y\.json.*{message}"):
        results.read(path)


def test_unknown_and_missing_keys_are_named(measured: list[Result], tmp_path: Path) -> None:
    path = results.write(measured[0], tmp_path)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["surprise"] = data.pop("system")
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ImportFormatError, match=r"lacks \['system'\] and has unknown \['surprise'\]"):
        results.read(path)


def test_one_table_over_all_systems_and_sets() -> None:
    runs = [run(small(), make()) for make in baselines(HashEmbedder).values()]
    made = [results.from_run(one, seed=3, hardware=MACHINE) for one in runs]
    other = [replace(made[0], dataset="other", metrics={"overall": {"recall@5": 0.25}})]
    lines = results.overview([*made, *other], "recall@5").splitlines()
    assert lines[0] == "| recall@5 | other | small |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| `{one.system}`" for one in made]
    assert "**0.250**" in lines[2]
    assert " – " in lines[3]
    # What was learnt on its own questions shows what it reaches without them.
    held_out = replace(made[0], cross_validated={"recall@5": 0.125})
    assert "0.125" in results.overview([held_out], "recall@5")
    assert "best baseline" not in results.render(made, brief=True)

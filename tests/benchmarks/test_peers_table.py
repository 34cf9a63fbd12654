from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import run, table, worker
from benchmarks.peers.run import Failed
from benchmarks.peers.systems import SYSTEMS, said
from remanence.bench.datasets import Document

DATA: dict[str, Any] = json.loads(table.RESULTS.read_text(encoding="utf-8"))


@pytest.fixture
def data() -> dict[str, Any]:
    return copy.deepcopy(DATA)


def row(page: str, title: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_page_is_made_from_the_results() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.render(DATA)


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert table.main(["--page", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == table.PAGE.read_text(encoding="utf-8")


def test_the_results_are_of_all_systems_and_all_measures() -> None:
    assert list(DATA["systems"]) == list(SYSTEMS)
    for system in DATA["systems"].values():
        assert set(run.MEASURES) | {"installed", "versions"} <= set(system)


def test_the_results_name_no_folder_and_use_pinned_versions() -> None:
    text = json.dumps(DATA)
    assert not re.search(r"/(tmp|home|root|work|Users|var)\b", text)
    pinned = run.REQUIREMENTS.read_text(encoding="utf-8").lower()
    assert not re.search(r"^torch\b", pinned, re.MULTILINE)
    for system in DATA["systems"].values():
        for package, version in system["versions"].items():
            assert f"\n{package.lower()}=={version}\n" in pinned.replace("_", "-")


def test_what_cannot_be_done_is_no_zero(data: dict[str, Any]) -> None:
    data["systems"]["chroma"]["two_writers"] = {"cannot": "Locked: by `another` | process", "load_before": 0.1}
    page = table.render(data)
    cells = row(page, "two processes add at once")
    mark = re.fullmatch(r"cannot \[(\d+)\]", cells[list(SYSTEMS).index("chroma")])
    assert mark is not None
    assert f"- [{mark[1]}] `Locked: by ´another´ ¦ process`" in page


def test_the_same_reason_is_one_note() -> None:
    notes = table.Notes()
    assert [notes.mark(text) for text in ("a", "b", "a")] == ["[1]", "[2]", "[1]"]
    assert notes.lines() == ["- [1] a", "- [2] b"]


def test_lost_adds_show(data: dict[str, Any]) -> None:
    data["systems"]["lancedb"]["killed"] = {
        "trials": 20, "opened_after": 19, "acknowledged": 100, "lost": 3, "last_not_found_by_search": 2,
        "errors": {"OSError: x": 1},
    }  # fmt: skip
    data["systems"]["lancedb"]["killed"]["load_before"] = 0.0
    shown = row(table.render(data), "found after `kill -9`")[-1]
    assert shown.startswith("97 of 100; opens 19 of 20 times; last add not found by search 2 times [")


def test_another_schema_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schema 0"):
        table.render({**data, "schema": 0})


def test_only_acknowledged_adds_can_be_lost() -> None:
    assert run.survived(["a", "b", "c"], ["a", "c", "never acknowledged"]) == {"acknowledged": 3, "lost": 1}


def test_errors_are_counted_without_folders(tmp_path: Path) -> None:
    errors = [f"E: {tmp_path}/one\n busy", f"E: {tmp_path}/one busy", "F: other"]
    assert run.tally(errors, [tmp_path]) == {"E: …/one busy": 2, "F: other": 1}
    assert run.scrubbed("store-1/a store-22/a", []) == "store/a store/a"
    assert len(run.scrubbed("x" * 1000, [])) == 300


def test_texts_are_looked_for_in_all_files_whatever_their_case(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.bin").write_bytes(b"\x00\xffZorvex00QUILL\x00")
    (tmp_path / "b").write_bytes(b"zorvex01quil")
    assert run.holding(tmp_path, worker.MARKERS[:2]) == 1


def test_a_call_told_in_two_lines_counts_once() -> None:
    lines = [
        "7 fsync(3) = 0",
        "7 fdatasync(4 <unfinished ...>",
        "8 fsync(9) = -1 EINVAL (Invalid argument)",
        "7 <... fdatasync resumed>) = 0",
        "9 +++ exited with 0 +++",
    ]
    assert run.through("\n".join(lines)) == 2


def test_sizes_leave_byte_code_out(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"12345")
    (tmp_path / "a.pyc").write_bytes(b"1234567")
    assert run.size_of(tmp_path) == 5


def test_the_last_result_of_a_worker_counts() -> None:
    lines = 'noise\n{"ready": true}\n{"result": {"a": 1}}\nmore noise'
    assert run.result_of(lines, 0) == {"a": 1}
    with pytest.raises(Failed, match="OSError: full"):
        run.result_of('{"error": "OSError: full"}', 1)
    with pytest.raises(Failed, match="no call"):
        run.result_of('{"cannot": "no call for it"}', 0)
    with pytest.raises(Failed, match="status -9"):
        run.result_of('{"ready": true}', -9)


def test_a_measure_that_fails_is_a_reason_and_a_bug_is_not(tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise Failed(f"no {tmp_path}/file")

    def bug() -> dict[str, Any]:
        raise KeyError("bug")

    assert run.attempt(fails, [tmp_path]) == {"cannot": "no …/file"}
    with pytest.raises(KeyError):
        run.attempt(bug, [])


def test_measures_are_kept_only_beside_the_same_versions_and_settings(data: dict[str, Any]) -> None:
    again = copy.deepcopy(data)
    again["systems"] = {"chroma": {**data["systems"]["chroma"], "import": {"ms": 1.0}}}
    del again["systems"]["chroma"]["speed"]
    both = run.merged(data, again)
    assert both["systems"]["chroma"]["import"] == {"ms": 1.0}
    assert both["systems"]["chroma"]["speed"] == data["systems"]["chroma"]["speed"]
    assert both["systems"]["mem0"] == data["systems"]["mem0"]
    again["systems"]["chroma"]["versions"] = {"chromadb": "0"}
    with pytest.raises(ValueError, match="differ in chroma"):
        run.merged(data, again)
    with pytest.raises(ValueError, match="differ in records"):
        run.merged(data, {**data, "records": 7})


def test_rounds_become_medians_and_a_failed_one_the_result() -> None:
    rounds = [{"a": 1.0, "b": {"c": 9.0}}, {"a": 5.0, "b": {"c": 1.0}}, {"a": 2.0, "b": {"c": 2.0}}]
    assert run.middle(rounds) == {"a": 2.0, "b": {"c": 2.0}}
    assert run.middle([*rounds, {"cannot": "open"}]) == {"cannot": "open"}


def test_the_speaker_is_part_of_what_peers_embed() -> None:
    assert said(Document("1", "hello", speaker="Ana", caption="a cat")) == "Ana: hello\n[image: a cat]"
    assert said(Document("1", "hello")) == "hello"


def test_the_worker_measures_this_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"seed": 0, "records": 60, "queries": 3, "adds": 2}
    assert worker.main(["remanence", str(tmp_path), "speed", json.dumps(asked)]) == 0
    result = run.result_of(capsys.readouterr().out, 0)
    assert result["search"]["calls"] == 3
    assert result["add"]["calls"] == 2
    assert worker.main(["remanence", str(tmp_path), "lister", json.dumps({"seed": 0, "last": "t61"})]) == 0
    listed = run.result_of(capsys.readouterr().out, 0)
    assert len(listed["keys"]) == 62
    assert listed["searched"]


def test_this_library_erases_what_the_benchmark_deletes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = []
    for task, asked in (("setup", {"marked": True}), ("delete", {"purge": False}), ("delete", {"purge": True})):
        assert worker.main(["remanence", str(tmp_path), task, json.dumps({"seed": 0, **asked})]) == 0
        left.append(run.holding(tmp_path, worker.MARKERS))
    capsys.readouterr()
    assert left == [10, 10, 0]


def test_what_a_system_raises_is_told_with_its_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert worker.main(["remanence", str(tmp_path), "quality", json.dumps({"data": str(tmp_path / "none")})]) == 1
    with pytest.raises(Failed, match="DatasetMissing"):
        run.result_of(capsys.readouterr().out, 1)

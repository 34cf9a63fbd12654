from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from remanence.bench import demo
from remanence.core.errors import InvalidInput


@pytest.fixture(scope="module")
def played() -> tuple[dict[str, object], str]:
    screen = io.StringIO()
    return demo.run(Console(file=screen, width=100)), screen.getvalue()


def test_figures_are_those_of_what_was_shown(played: tuple[dict[str, object], str]) -> None:
    figures, screen = played
    assert figures["turns"] == 633
    assert figures["questions"] == 89
    for act in ("1  Remember", "2  Ask", "3  Change", "4  Hand over", "5  Forget", "In figures"):
        assert act in screen
    assert max(map(len, screen.splitlines())) <= 100


def test_recall_beats_every_baseline_on_the_same_questions(played: tuple[dict[str, object], str]) -> None:
    figures, _ = played
    assert isinstance(figures["baselines"], dict)
    for measure in ("first", "found", "recall"):
        ours = figures[measure]
        assert isinstance(ours, float)
        assert ours > max(one[measure] for one in figures["baselines"].values())


def test_misses_are_not_hidden(played: tuple[dict[str, object], str]) -> None:
    figures, screen = played
    verdicts = re.findall(r"([✓±✗]) (\S+(?: \S+){0,3}) +\d+\.\d ms$", screen, re.MULTILINE)
    assert len(verdicts) == figures["shown"]
    assert sum(mark == "✓" for mark, _ in verdicts) == figures["shown_right"]
    assert screen.count("  ✗       ") >= sum(mark == "±" or word == "missed" for mark, word in verdicts)


def test_change_keeps_the_past_and_erasure_leaves_no_byte(played: tuple[dict[str, object], str]) -> None:
    figures, _ = played
    assert figures["update_seen"]
    assert figures["past_kept"]
    assert figures["undone"]
    assert figures["versions"] == 2
    # Once in the turn, and wherever what was worked out from it repeats its words.
    assert int(str(figures["occurrences_before"])) >= 1
    assert figures["occurrences_after"] == 0
    assert figures["erase_verified"]
    assert not figures["found_after_erasure"]
    assert isinstance(figures["bytes_searched"], int)
    assert figures["bytes_searched"] > 100_000


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    path.write_text("precious")
    with pytest.raises(InvalidInput, match="name a new file"):
        demo.run(Console(file=io.StringIO()), path=path)
    assert path.read_text() == "precious"

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from remanence.cli import output
from tests.cli import reference


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\tb\nc", "a\tb\nc"), ("a\r\nb", "a\nb"), ("\x1b[2J", "\\x1b[2J"), ("a\rb\x00\x9b", "a\\x0db\\x00\\x9b")],
)
def test_control_characters_do_not_reach_the_terminal(text: str, shown: str) -> None:
    assert output.visible(text) == shown


def test_a_table_off_a_terminal_has_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.table({"id": "left", "memory": "text"}, [["1", "word " * 200], ["2", "two\nlines"]])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading == "id  memory"
    assert first.endswith("…")
    assert len(first) == len("1   ") + output.SHOWN + len("…")
    assert second == "2   two lines"


def test_markup_in_a_memory_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.table({"memory": "text"}, [["[bold]not bold[/] :smile:"]])
    assert "[bold]not bold[/] :smile:" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["Grüße", "\ud800 half", "👋"])
def test_json_survives_any_encoding(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    output.document({"memory": text})
    sys.stdout.flush()
    assert json.loads(written.getvalue().decode("latin-1")) == {"memory": text}


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stderr", quiet)
    with output.progress("importing") as told:
        assert told is None
    with output.working() as say:
        say("nothing")
    assert quiet.getvalue() == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with output.progress("importing") as told:
        assert told is not None
        told(3, 12)
        told(5, None)
    assert "importing" in terminal.getvalue()


@pytest.mark.usefixtures("said_only")
def test_long_commands_report_progress(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "chat.jsonl").write_text('{"role": "user", "content": "hello"}\n')
    told: list[tuple[int, int | None]] = []

    class Watched:
        def __init__(self, label: str) -> None:
            self.label = label

        def __enter__(self) -> Callable[[int, int | None], None]:
            return lambda done, total: told.append((done, total))

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(output, "progress", Watched)
    run("import", "chat.jsonl", "--user", "ana")
    run("rebuild", "--user", "ana")
    run("reembed", "--user", "ana", "--embedder", "static")
    assert told[:2] == [(1, 1), (1, 1)]
    # By then there is also what the rebuild has worked out.
    assert told[2:]
    assert all(done == total for done, total in told[2:])


def test_the_reference_is_that_of_the_commands() -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.filled(page), "run python -m tests.cli.reference"


@pytest.mark.parametrize(
    ("number", "noun", "said"), [(1, "memory", "1 memory"), (0, "memory", "0 memories"), (2000, "id", "2,000 ids")]
)
def test_counts(number: int, noun: str, said: str) -> None:
    assert output.count_of(number, noun) == said

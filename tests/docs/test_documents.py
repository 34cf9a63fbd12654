"""What the documents show is what happens: every Python and console block runs, every link leads somewhere."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, project_files
from tests.docs.blocks import EXPECT, Block, anchors, blocks, missing

DOCUMENTS = [path for path in project_files() if path.suffix == ".md"]
EXECUTED = [path for path in DOCUMENTS if path == ROOT / "README.md" or (ROOT / "docs") in path.parents]
# Other names for Python or a shell would be ways around being run.
LANGUAGES = {"python", "console", "text", "json", "toml", "sql"}
# Programs that a document may show and that are not run here: they need a network or would change the environment.
SHOWN_ONLY = {"cd", "git", "pip", "python3", "source"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a `remanence` on the path that is the one under test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for command, start in (("remanence", " -c 'from remanence.cli import main; main()'"), ("python", "")):
        (programs / command).write_text(f"#!/bin/sh\nexec '{sys.executable}'{start} \"$@\"\n")
        (programs / command).chmod(0o755)
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("REMANENCE_DIR", str(directory))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("COLUMNS", "160")
    return directory


def run_document(markdown: str, title: str) -> None:
    """Run a document's blocks in order, in the current directory; Python blocks share one namespace."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(markdown):
        place = f"{title}, line {block.line}"
        if block.language == "python":
            # The blank lines give tracebacks the document's own line numbers.
            code = compile("\n" * block.line + block.text, title, "exec", dont_inherit=True)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, namespace)
            printed = out.getvalue()
        elif block.language == "console":
            run_console(block, place)
        elif block.expect:
            line = missing(block.text.splitlines(), printed)
            assert line is None, f"{place}: not printed: {line!r}\nprinted was:\n{printed}"


def run_console(block: Block, place: str) -> None:
    for command, expected in block.commands():
        program, *arguments = command.split()
        if program == "remanence" or command.startswith("python -m remanence."):
            result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, timeout=60)
            assert result.returncode == 0, f"{place}: $ {command}\n{result.stdout}{result.stderr}"
            line = missing(expected, result.stdout) if block.expect else None
            assert line is None, f"{place}: $ {command}\nnot printed: {line!r}\nprinted was:\n{result.stdout}"
        elif program == "make":
            targets = {word for word in arguments if "=" not in word}
            assert targets <= make_targets(), f"{place}: no such target in the Makefile: {targets - make_targets()}"
        else:
            assert program in SHOWN_ONLY, f"{place}: {program} is neither run nor known; show remanence or make"


@pytest.mark.parametrize("path", EXECUTED, ids=name)
def test_the_document_runs(path: Path, shell: Path) -> None:
    run_document(path.read_text(encoding="utf-8"), name(path))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_no_block_hides_from_being_run(path: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8")):
        assert block.language in LANGUAGES, f"{name(path)}, line {block.line}: language {block.language!r}"


def links(markdown: str) -> list[str]:
    """Targets of the links of a document that stay within the project."""
    prose = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", target)]


def dead_links(markdown: str, path: Path) -> list[str]:
    """Links to files of the project that are not there, or to headings that they do not have."""
    found = []
    for target in links(markdown):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists():
            found.append(target)
        elif anchor and there.suffix == ".md":
            text = markdown if there == path else there.read_text(encoding="utf-8")
            found += [target] if anchor not in anchors(text) else []
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    assert dead_links(path.read_text(encoding="utf-8"), path) == []


def unreachable(start: Path, pages: set[Path]) -> set[Path]:
    """The pages that no chain of links from `start` leads to."""
    seen, ahead = {start}, [start]
    while ahead:
        path = ahead.pop()
        there = {(path.parent / target.partition("#")[0]).resolve() for target in links(path.read_text("utf-8"))}
        ahead.extend((there & pages) - seen)
        seen |= there & pages
    return pages - seen


def test_every_page_can_be_found() -> None:
    assert unreachable(ROOT / "README.md", {path for path in DOCUMENTS if path in EXECUTED}) == set()


def test_a_lost_page_is_seen(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.md" for name in "abc")
    first.write_text("[b](b.md#x)")
    second.write_text("[a](a.md)")
    third.write_text("[a](a.md)")
    assert unreachable(first, {first, second, third}) == {third}


def fenced(language: str, text: str, above: str = "") -> str:
    return f"{above}\n```{language}\n{text}```\n"


@pytest.mark.parametrize(
    "wrong",
    [
        fenced("python", "1 / 0\n"),
        fenced("python", "x = 1\n") + "text\n" + fenced("python", "assert x == 2\n"),
        fenced("python", "print('a')\n") + fenced("text", "b\n", EXPECT),
        fenced("python", "print('a\\nb')\n") + fenced("text", "b\na\n", EXPECT),
        fenced("console", "$ remanence no-such-command\n"),
        fenced("console", "$ remanence --version\nnot this\n", EXPECT),
        fenced("console", "$ make no-such-target\n"),
        fenced("console", "$ curl example.org\n"),
        fenced("console", "$ python -m remanence.no_such_module\n"),
        fenced("console", "$ python -m http.server\n"),
        fenced("console", "remanence --version\n"),
        "```python\nx = 1\n",
    ],
)
def test_a_wrong_document_fails(wrong: str, shell: Path) -> None:
    with pytest.raises((AssertionError, ValueError, ZeroDivisionError)):
        run_document(wrong, "planted.md")


def test_a_right_document_passes(shell: Path) -> None:
    python = fenced("python", "x = 'one two'\n") + fenced("python", "print(x)\nprint('id 01JXYZ in 3 ms')\n")
    output = fenced("text", "one two\nid … in ... ms\n", EXPECT)
    console = fenced(
        "console", "$ git clone x\n$ make test ARGS=-x\n$ remanence \\\n    --version > v\n$ remanence --help\n"
    )
    run_document(python + output + console, "planted.md")
    assert (shell / "v").read_text()


def test_an_unexpected_block_is_not_compared() -> None:
    run_document(fenced("python", "print('a')\n") + fenced("text", "b\n"), "planted.md")


def test_dead_links_are_seen(tmp_path: Path) -> None:
    text = "# A title\n[a](gone.md) [b](#a-title) [c](#no) [d](https://example.org)\n```text\n[e](f.md)\n```\n"
    path = tmp_path / "page.md"
    path.write_text(text)
    assert dead_links(text, path) == ["gone.md", "#no"]

"""Every command, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from remanence import Memory
from remanence.cli.app import root

Run = Callable[..., Result]
Ask = Callable[..., Any]

ANA = ("--user", "ana")


@pytest.fixture
def three(run: Run) -> list[str]:
    """Three memories of Ana; their ids."""
    texts = ("The spare key is under the blue flower pot", "Lunch was soup", "Bo plays the cello")
    return [run("add", text, *ANA, "--ids").stdout.strip() for text in texts]


def test_add_says_what_was_stored(run: Run, ask: Ask) -> None:
    assert run("add", "I moved to Oslo", *ANA).stdout.startswith("added 01")
    result = ask(
        "add", "Bo moved to Bergen", *ANA, "--name", "Bo", "--role", "assistant", "--kind", "fact",
        "--metadata", '{"topic": "home"}', "--timestamp", "2025-03-01T18:00:00+01:00", "--valid-from", "2025-01-01",
        "--valid-to", "1798761600", "--run", "r1", "--agent", "a1", "--app", "p1",
    )  # fmt: skip
    assert [row["event"] for row in result["results"]] == ["ADD"]
    item = ask("get", result["results"][0]["id"], *ANA, "--as-of", "2025-06-01")
    assert {name: item[name] for name in ("memory", "speaker", "role", "kind", "metadata")} == {
        "memory": "Bo moved to Bergen", "speaker": "Bo", "role": "assistant", "kind": "fact",
        "metadata": {"topic": "home"},
    }  # fmt: skip
    assert (item["user_id"], item["agent_id"], item["run_id"], item["app_id"]) == ("ana", "a1", "r1", "p1")
    assert (item["event_at"], item["zone"]) == ("2025-03-01T17:00:00+00:00", "+01:00")
    assert (item["valid_from"], item["valid_to"]) == ("2025-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00")


@pytest.mark.parametrize(("typed", "kept"), [("one\ntwo\n", "one\ntwo"), ("one\r\n", "one"), ("one\n\n", "one\n")])
def test_add_reads_standard_input(run: Run, ask: Ask, typed: str, kept: str) -> None:
    run("add", "-", *ANA, input=typed)
    assert ask("list", *ANA)["results"][0]["memory"] == kept


def test_what_is_no_memory_is_told(run: Run) -> None:
    assert run("add", "Be brief", *ANA, "--role", "system").stdout.startswith("not stored: system messages")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "ids",
    [
        ("--user", "x"), ("--user-id", "x"), ("--agent", "x"), ("--agent-id", "x"), ("--run", "x"), ("--run-id", "x"),
        ("--session", "x"), ("--session-id", "x"), ("--app", "x"), ("--app-id", "x"),
    ],
)  # fmt: skip
def test_ids_stand_before_or_after_the_command(run: Run, ask: Ask, ids: tuple[str, str], before: bool) -> None:
    run("add", "hello", *ids)
    assert len(ask(*((*ids, "list") if before else ("list", *ids)))["results"]) == 1


def test_an_option_after_the_command_goes_before_the_one_before_it(ask: Ask, run: Run, three: list[str]) -> None:
    assert len(ask("--user", "bo", "list", "--user", "ana")["results"]) == 3
    assert ask("--user", "bo", "--path", ".", "list")["results"] == []


@pytest.mark.usefixtures("three")
@pytest.mark.usefixtures("said_only")
def test_search(run: Run, ask: Ask) -> None:
    found = run("search", "where is the spare key?", *ANA, "--limit", "1")
    heading, row = found.stdout.splitlines()
    assert heading.split() == ["score", "when", "who", "id", "memory"]
    assert row.endswith("The spare key is under the blue flower pot")
    assert "1 memory in" in found.stderr
    result = ask("search", "cello", *ANA, "-n", "2", "--explain")
    assert result["results"][0]["memory"] == "Bo plays the cello"
    assert set(result) >= {"results", "answerable", "usage"}
    assert len(result["results"]) == 2
    shown = run("search", "cello", *ANA, "-n1", "--explain").stdout.splitlines()
    assert [name in shown[2] for name in ("bias -", "lexical +")] == [True, True]
    assert ask("search", "cello", *ANA, "--threshold", "1.5")["results"] == []
    assert ask("search", "cello", *ANA, "--kind", "fact", "--kind", "note")["results"] == []
    assert ask("search", "cello", *ANA, "--known-at", "2020-01-01")["results"] == []
    assert ask("search", "cello", *ANA, "--as-of", "2020-01-01")["results"] == []
    typed = ask("search", "-", *ANA, "-n1", input="cello\n")
    assert [item["memory"] for item in typed["results"]] == ["Bo plays the cello"]
    assert run("search", "cello", "--user", "nobody").stdout == "nothing found\n"


def test_search_with_a_filter(run: Run, ask: Ask) -> None:
    for topic in ("home", "work"):
        run("add", f"the key to {topic}", *ANA, "--metadata", json.dumps({"topic": topic}))
    found = ask("search", "key", *ANA, "--filter", '{"topic": {"ne": "home"}}')["results"]
    assert [item["metadata"]["topic"] for item in found] == ["work"]


@pytest.mark.usefixtures("three")
def test_context(run: Run, ask: Ask) -> None:
    block = run("context", "where is the spare key?", *ANA, "--max-tokens", "200").stdout
    assert block.startswith("<recalled-memory>\n")
    assert "blue flower pot" in block
    result = ask("context", "where is the spare key?", *ANA, "--limit", "3", "--neighbours", "0")
    assert set(result) == {"context", "citations", "tokens", "answerable", "degraded"}
    assert result["context"] + "\n" == run("context", "where is the spare key?", *ANA, "--neighbours", "0").stdout


def test_get(run: Run, ask: Ask, three: list[str]) -> None:
    shown = run("get", three[0], *ANA).stdout
    assert shown.endswith("\n\nThe spare key is under the blue flower pot\n")
    assert f"id          {three[0]}" in shown
    assert ask("get", three[0], *ANA)["id"] == three[0]
    assert "error: there is no memory" in run("get", three[0], "--user", "bo", status=1).stderr


def test_list(run: Run, ask: Ask, three: list[str]) -> None:
    assert run("list", *ANA, "--ids").stdout.split() == three
    assert run("list", *ANA, "--ids", "--newest-first").stdout.split() == three[::-1]
    page = ask("list", *ANA, "--limit", "2")
    assert [item["id"] for item in page["results"]] == three[:2]
    assert f"--page {page['next']}" in run("list", *ANA, "--limit", "2").stderr
    assert [item["id"] for item in ask("list", *ANA, "--page", page["next"])["results"]] == three[2:]
    lines = run("list", *ANA, "--all", "--limit", "1", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == three
    assert len(run("list", *ANA, "--all", "--limit", "2").stdout.splitlines()) == 4
    assert run("list", "--user", "bo").stdout == "nothing found\n"


def test_update_history_changes_and_undo(run: Run, ask: Ask, three: list[str]) -> None:
    key = three[0]
    assert (
        f"updated {key} to version 2" in run("update", key, "The key is lost", *ANA, "--expected-version", "1").stdout
    )
    updated = ask("update", key, *ANA, "--metadata", '{"a": 1}', "--timestamp", "2030-01-01")
    assert updated["results"][0]["version"] == 3
    assert "at version 3, not 1" in run("update", key, "no", *ANA, "--expected-version", "1", status=1).stderr
    assert ask("update", key, "-", *ANA, "--correction", input="The key is found\n")["results"][0]["version"] == 4
    rows = ask("history", key, *ANA)
    assert [row["event"] for row in rows] == ["ADD", "UPDATE", "UPDATE", "UPDATE"]
    assert len(run("history", key, *ANA).stdout.splitlines()) == 5
    newest = ask("changes", *ANA, "--limit", "1")[0]["change"]
    assert newest == run("changes", *ANA, "--ids").stdout.splitlines()[0] == rows[-1]["change"]
    assert newest in run("changes", *ANA).stdout
    older = ask("changes", *ANA, "--before", newest)
    assert [change["change"] for change in older] == run("changes", *ANA, "--ids").stdout.splitlines()[1:]
    assert "begin again without it" in run("changes", *ANA, "--before", "nonsense", status=1).stderr
    assert f"undone {newest}" in run("undo", newest, *ANA).stdout
    again = ask("undo", ask("changes", *ANA, "--limit", "1")[0]["change"], *ANA)
    assert again["results"][0]["id"] == key
    assert run("changes", "--user", "bo").stdout == "nothing found\n"


def test_delete(run: Run, ask: Ask, three: list[str]) -> None:
    assert run("delete", three[0], *ANA).stdout.startswith(f"deleted {three[0]}\nchange 01")
    ask("delete", three[1], *ANA, "--at", "2040-01-01", "--expected-version", "1")
    run("delete", *ANA, status=2)
    run("delete", three[1], "--all", *ANA, status=2)
    run("delete", "--all", "--at", "2040-01-01", *ANA, status=2)
    assert "pass --yes" in run("delete", "--all", *ANA, status=2).stderr
    assert run("delete", "--all", "--yes", *ANA).stdout.startswith("deleted ")
    # What was let go of as of a later day is true until then.
    assert run("list", *ANA, "--ids").stdout.split() == [three[1]]
    assert run("list", *ANA, "--ids", "--as-of", "2041-01-01").stdout == ""
    assert ask("delete", "--all", "-y", *ANA)["count"] == 0


@pytest.mark.usefixtures("said_only")
def test_erase_and_verify(run: Run, ask: Ask, three: list[str]) -> None:
    assert "pass --yes" in run("erase", *ANA, status=2).stderr
    first = ask("erase", three[0], *ANA, "--reason", "asked to", "--yes")
    assert first["ids"] == [three[0]]
    shown = run("erase", *ANA, "--yes", "--path", "remanence.db").stdout
    assert shown.startswith("erased 2 memories\nreceipt 01")
    hint = shown.splitlines()[2].removeprefix("check it: remanence ").split(" --text")[0]
    assert hint.endswith("--path remanence.db --user ana")
    assert run(*hint.split(), "--text", "flower pot", "--text", "cello").stdout.startswith(
        "clean: looked for 2 ids and 2"
    )
    assert ask("verify-erasure", first["id"], *ANA)["clean"]
    assert ask("receipts", *ANA)[0] == first
    assert run("receipts", *ANA, "--ids").stdout.split()[0] == first["id"]
    assert "asked to" in run("receipts", *ANA).stdout
    assert run("receipts", "--user", "bo").stdout == "nothing found\n"
    assert "error: there is no receipt" in run("verify-erasure", "nope", *ANA, status=1).stderr
    run("verify-erasure", *ANA, status=2)


@pytest.mark.usefixtures("three")
def test_what_is_still_there_is_found(run: Run) -> None:
    found = run("verify-erasure", "--text", "blue flower pot", *ANA, status=3)
    assert "found phrase 'blue flower pot' in remanence.db" in found.stdout
    assert "NOT CLEAN" in found.stdout
    report = json.loads(run("verify-erasure", "--text", "blue flower pot", "--json", status=3).stdout)
    assert not report["clean"]


@pytest.mark.usefixtures("said_only")
def test_confirmation_is_asked_on_a_terminal(run: Run, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import _NamedTextIOWrapper

    monkeypatch.setattr(_NamedTextIOWrapper, "isatty", lambda self: self.name == "<stdin>")
    refused = run("erase", three[0], *ANA, input="n\n", status=1)
    assert "Erase 1 memory --user ana? This cannot be undone." in refused.stderr
    assert "error: nothing was done" in refused.stderr
    run("erase", *ANA, input="", status=130)
    assert len(run("list", *ANA, "--ids").stdout.split()) == 3
    assert "erased 3 memories" in run("erase", *ANA, input="y\n").stdout


@pytest.mark.usefixtures("three")
@pytest.mark.usefixtures("said_only")
def test_rebuild_reembed_and_stats(run: Run, ask: Ask) -> None:
    assert run("rebuild", *ANA).stdout == "rebuilt 3 versions\n"
    assert ask("rebuild", *ANA) == {"rebuilt": 3}
    assert ask("reembed", *ANA) == {"embedded": 0}
    assert run("reembed", *ANA, "--embedder", "static").stdout.startswith("embedded ")
    assert "memories        3" in run("stats", *ANA).stdout
    assert ask("stats", *ANA)["memories"] == 3


def test_another_embedder_names_the_fix(run: Run) -> None:
    run("add", "I moved to Oslo", *ANA)
    assert "remanence reembed" in run("search", "Oslo", *ANA, "--embedder", "static", status=1).stderr
    assert "REMANENCE_EMBEDDER" not in run("search", "Oslo", *ANA, env={"REMANENCE_EMBEDDER": "hash"}).output


@pytest.mark.usefixtures("three")
@pytest.mark.usefixtures("said_only")
def test_export_and_import(run: Run, ask: Ask, tmp_path: Path) -> None:
    assert run("export", "ana.jsonl", *ANA).stdout == "exported 3 memories in 3 versions to ana.jsonl\n"
    header = ask("export", "again.jsonl", *ANA)
    assert (header["records"], header["path"]) == (3, "again.jsonl")
    lines = run("export", "-", *ANA)
    assert [json.loads(line).get("type", "header") for line in lines.stdout.splitlines()] == [
        "header",
        *["version"] * 3,
    ]
    assert lines.stderr == "exported 3 memories in 3 versions\n"
    assert ask("import", "-", *ANA, "--path", "b.db", input=lines.stdout)["imported"] == 3
    told = run("import", "ana.jsonl", *ANA, "--path", "b.db")
    assert told.stdout == "imported 0 memories from remanence\n"
    assert told.stderr.count("skipped: ") == 3


def test_import_of_chats(run: Run, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text('{"role": "user", "content": "Grüße aus Bergen"}\nnonsense\n', "utf-8")
    assert "line 2" in run("import", "chat.jsonl", *ANA, status=1).stderr
    told = run("import", "chat.jsonl", *ANA, "--skip-bad")
    assert told.stdout == "imported 1 memory from chat\n"
    assert "line 2: no JSON" in told.stderr
    assert ask("import", "chat.jsonl", *ANA, "--skip-bad", "--format", "chat")["bad"] == 1
    assert "UTF-8" in run("import", "-", *ANA, input=b'{"content": "\xff"}\n', status=1).stderr


def test_a_store_in_memory_and_a_folder(run: Run, tmp_path: Path) -> None:
    run("add", "hello", *ANA, "--path", ":memory:")
    (tmp_path / "there").mkdir()
    run("add", "hello", *ANA, "--path", "there")
    assert [path.name for path in tmp_path.rglob("*.db")] == ["remanence.db"]


def test_the_memory_is_closed_whatever_happens(run: Run, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = Memory.close

    def spy(memory: Memory) -> None:
        closed.append(1)
        close(memory)

    monkeypatch.setattr(Memory, "close", spy)
    run("search", "cello", *ANA)
    run("search", "", *ANA, status=1)
    run("get", "nothing", *ANA, status=1)
    run("list", *ANA, "--path", "nowhere.db", status=1)
    assert len(closed) == 4


def test_every_command_takes_the_common_options() -> None:
    common = {parameter.name for parameter in root.params} - {"version"}
    for command in root.commands.values():
        for one in command.commands.values() if isinstance(command, click.Group) else (command,):
            assert common <= {parameter.name for parameter in one.params}, one.name

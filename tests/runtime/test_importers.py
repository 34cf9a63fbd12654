from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import ImportFormatError, InvalidInput, ScopeRequired
from remanence.core.scope import Scope
from remanence.runtime.memory import Memory
from remanence.substrates.records.operations import Edges

CHAT = """\
{"role": "user", "content": "We moved to Oslo", "name": "Ana", "timestamp": "2025-03-01T18:00:00+00:00", "session_id": "s1", "id": "m1"}

{"role": "assistant", "content": "How nice", "timestamp": 1740852060, "session_id": "s1", "metadata": {"model": "x"}}
{"messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "be kind"}], "session_id": "s2"}
"""  # noqa: E501

LOCOMO = [
    {
        "sample_id": "conv-1",
        "qa": [],
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Bo",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ana", "dia_id": "D1:1", "text": "Hi Bo"},
                {"speaker": "Bo", "dia_id": "D1:2", "text": "Look", "blip_caption": "a photo of a dog"},
            ],
            "session_2_date_time": "9:00 am on 9 May, 2023",
            "session_2": [{"speaker": "Ana", "dia_id": "D2:1", "text": "Cute!"}],
            "session_3_date_time": "9:00 am on 10 May, 2023",
        },
    }
]

MCP = """\
{"type": "entity", "name": "Ana", "entityType": "person", "observations": ["lives in Oslo", "likes rye bread"]}
{"type": "entity", "name": "Acme", "entityType": "company", "observations": []}
{"type": "relation", "from": "Ana", "to": "Acme", "relationType": "works_at"}
{"type": "relation", "from": "Acme", "to": "Oslo", "relationType": "based_in"}
"""


def everything(memory: Memory, **ids: Any) -> list[dict[str, Any]]:
    return [dict(item) for item in memory.get_all(limit=1000, **ids)["results"]]


def test_chats(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(CHAT)
    seen: list[tuple[int, int | None]] = []
    result = memory.import_(path, user_id="ana", progress=lambda done, total: seen.append((done, total)))
    assert (result["format"], result["imported"], result["bad"]) == ("chat", 3, 0)
    assert len(result["skipped"]) == 1
    assert seen == [(3, 3)]
    first, second, third = everything(memory, user_id="ana")
    assert (first["memory"], first["speaker"], first["run_id"]) == ("We moved to Oslo", "Ana", "s1")
    assert (first["metadata"], second["metadata"]) == ({"id": "m1"}, {"model": "x"})
    assert second["event_at"] == "2025-03-01T18:01:00+00:00"
    assert (third["memory"], third["run_id"]) == ("hi", "s2")


def test_locomo(memory: Memory) -> None:
    result = memory.import_(io.StringIO(json.dumps(LOCOMO)), user_id="study")
    assert (result["format"], result["imported"]) == ("locomo", 3)
    first, second, third = everything(memory, user_id="study")
    assert (first["memory"], first["speaker"], first["run_id"]) == ("Hi Bo", "Ana", "conv-1/session_1")
    assert first["event_at"] == "2023-05-08T13:56:00+00:00"
    assert first["metadata"] == {"sample_id": "conv-1", "dia_id": "D1:1"}
    assert second["memory"] == "Look\n[image: a photo of a dog]"
    assert third["event_at"] == "2023-05-09T09:00:00+00:00"


def test_locomo_without_a_scope_belongs_to_itself(memory: Memory) -> None:
    memory.import_(io.StringIO(json.dumps(LOCOMO[0])))
    assert len(everything(memory, user_id="conv-1")) == 3


def test_the_mcp_memory_servers_graph(memory: Memory) -> None:
    result = memory.import_(io.StringIO(MCP), user_id="ana")
    assert (result["format"], result["imported"]) == ("mcp", 7)
    items = everything(memory, user_id="ana")
    assert {item["memory"] for item in items if item["kind"] == "entity"} == {"Ana (person)", "Acme (company)", "Oslo"}
    assert {item["memory"] for item in items if item["kind"] == "fact"} == {
        "Ana: lives in Oslo",
        "Ana: likes rye bread",
        "Ana works at Acme",
        "Acme based in Oslo",
    }
    ids = {item["memory"]: item["id"] for item in items}
    edges = memory.store.batch([Edges()], scope=Scope(user_id="ana")).results[0]
    assert (ids["Ana (person)"], ids["Acme (company)"], "works_at") in [edge[:3] for edge in edges]
    assert (ids["Ana: lives in Oslo"], ids["Ana (person)"], "about") in [edge[:3] for edge in edges]
    assert result["edges"] == len(edges) == 8
    assert memory.search("where does Ana work?", user_id="ana")["results"][0]["memory"] == "Ana works at Acme"


def test_a_graph_that_grew_adds_only_what_is_new(memory: Memory) -> None:
    memory.import_(io.StringIO(MCP), user_id="ana")
    grown = MCP + '{"type": "entity", "name": "Ana", "entityType": "person", "observations": ["plays chess"]}\n'
    result = memory.import_(io.StringIO(grown), user_id="ana")
    assert (result["imported"], result["edges"]) == (1, 1)
    assert memory.import_(io.StringIO(grown), user_id="ana")["changes"] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (CHAT + "no json\n", 5),
        (CHAT + "[1]\n", 5),
        (CHAT + '{"role": "user"}\n', 5),
        (CHAT + '{"content": 7}\n', 5),
        (CHAT + '{"content": "x", "timestamp": "soon"}\n', 5),
        (CHAT + '{"content": "x", "metadata": {"a": NaN}}\n', 5),
        (CHAT + '{"content": "x", "user_id": "bob"}\n', 5),
        (CHAT + '{"content": "x", "user_id": ""}\n', 5),
        (CHAT + '{"content": "x", "kind": "no word!"}\n', 5),
        (MCP + "no json\n", 5),
        (MCP + '{"type": "thing"}\n', 5),
        (MCP + '{"type": "entity", "name": "X", "observations": [7]}\n', 5),
        (MCP + '{"type": "relation", "from": "X", "to": " ", "relationType": "r"}\n', 5),
    ],
)
def test_bad_lines_are_named_and_nothing_is_stored(memory: Memory, text: str, line: int) -> None:
    with pytest.raises(ImportFormatError, match=f"line {line}: .*nothing was stored"):
        memory.import_(io.StringIO(text), user_id="ana")
    assert everything(memory, user_id="ana") == []
    result = memory.import_(io.StringIO(text), user_id="ana", skip_bad=True)
    assert result["bad"] == 1
    assert [bad["line"] for bad in result["bad_lines"]] == [line]
    assert result["imported"] == len(everything(memory, user_id="ana")) >= 3


def test_bad_turns_of_locomo(memory: Memory) -> None:
    broken: Any = json.loads(json.dumps(LOCOMO))
    broken[0]["conversation"]["session_2_date_time"] = "some day in May"
    broken.append({"no": "conversation"})
    with pytest.raises(ImportFormatError, match=r"line 1: .*some day in May"):
        memory.import_(io.StringIO(json.dumps(broken)), user_id="ana")
    result = memory.import_(io.StringIO(json.dumps(broken)), user_id="ana", skip_bad=True)
    assert (result["imported"], result["bad"]) == (2, 2)


@pytest.mark.parametrize("text", ["", "hello", "{", "7", '{"some": "thing"}', "\x00\x01"])
def test_files_of_no_known_format(memory: Memory, text: str) -> None:
    with pytest.raises(ImportFormatError):
        memory.import_(io.StringIO(text), user_id="ana")


def test_formats_are_named(memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="chat"):
        memory.import_(io.StringIO(CHAT), user_id="ana", format="csv")
    with pytest.raises(ImportFormatError):
        memory.import_(io.StringIO("not json"), user_id="ana", format="locomo")


def test_an_import_needs_somebody_to_belong_to(memory: Memory) -> None:
    for text in ('{"content": "x"}\n', MCP):
        with pytest.raises((ScopeRequired, ImportFormatError), match="scope"):
            memory.import_(io.StringIO(text))


def test_files_that_are_no_text(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"\xff\xfe\x00\x80" * 100)
    with pytest.raises(ImportFormatError):
        memory.import_(path, user_id="ana")
    with path.open() as stream, pytest.raises(ImportFormatError, match="UTF-8"):
        memory.import_(stream, user_id="ana")

from __future__ import annotations

import json

import pytest

from remanence.core.errors import NotFound
from remanence.server.mcp.graph import Entity, Graph

ANA = '{"type":"entity","name":"Ana","entityType":"person","observations":["lives in Oslo"]}'
REX = '{"type":"entity","name":"Rex","entityType":"dog","observations":[]}'
OWNS = '{"type":"relation","from":"Ana","to":"Rex","relationType":"owns"}'


def graph(*lines: str) -> Graph:
    return Graph("\n".join(lines).encode())


def lines(graph: Graph) -> list[str]:
    return bytes(graph).decode().splitlines()


def test_a_file_of_the_official_server_is_read_and_written_as_it_is() -> None:
    text = f"{ANA}\n{REX}\n{OWNS}\n".encode()
    read = Graph(text)
    assert read.entities()["Ana"] == Entity("Ana", "person", ("lives in Oslo",))
    assert read.relations() == [("Ana", "Rex", "owns")]
    assert bytes(read) == text
    assert not read.changed


def test_what_is_created_is_laid_out_as_the_official_server_does() -> None:
    made = Graph()
    made.create_entities([Entity("Ana", "person", ("lives in Oslo",)), Entity("Rex", "dog", ())])
    made.create_relations([("Ana", "Rex", "owns")])
    assert lines(made) == [ANA, REX, OWNS]


DAMAGED = [
    '{"type":"entity","name":"Half","entityType":"x","observ',
    "not JSON at all",
    '{"type":"entity","name":7,"entityType":"x","observations":[]}',
    '{"type":"entity","name":"Bo","entityType":"x","observations":[1]}',
    '{"type":"entity","name":"Bo","entityType":"x","observations":"none"}',
    '{"type":"relation","from":"Ana"}',
    '["a", "list"]',
    "NaN",
    '{"type":"entity","name":"Bo","observations":[NaN]}',
    "[" * 100_000,
]


@pytest.mark.parametrize("bad", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_is_counted_and_kept_where_it_is(bad: str) -> None:
    read = graph(ANA, bad, REX)
    assert read.damaged == 1
    assert list(read.entities()) == ["Ana", "Rex"]
    read.add_observations([("Rex", ["barks"])])
    read.delete_entities(["Ana"])
    assert lines(read)[0] == bad
    assert len(lines(read)) == 2


def test_bytes_that_are_no_utf8_are_kept() -> None:
    read = Graph(ANA.encode() + b"\n\xff\xfe broken\n")
    read.create_entities([Entity("Rex", "dog", ())])
    assert bytes(read).splitlines() == [ANA.encode(), b"\xff\xfe broken", REX.encode()]
    assert read.damaged == 1


def test_a_line_that_a_killed_writer_left_unfinished_does_not_swallow_the_next() -> None:
    read = Graph(ANA.encode() + b'\n{"type":"entity","name":"Re')
    read.create_entities([Entity("Rex", "dog", ())])
    again = Graph(bytes(read))
    assert list(again.entities()) == ["Ana", "Rex"]
    assert again.damaged == 1


def test_what_others_wrote_besides_is_kept() -> None:
    more = '{"type":"entity","name":"Ana","entityType":"person","observations":[],"id":7,"created":"2025"}'
    read = graph(more, '{"type":"note","text":"mine"}')
    assert read.damaged == 0
    read.add_observations([("Ana", ["sings"])])
    first, second = (json.loads(line) for line in lines(read))
    assert (first["id"], first["created"], first["observations"]) == (7, "2025", ["sings"])
    assert second == {"type": "note", "text": "mine"}


def test_line_ends_of_windows_and_a_mark_at_the_beginning_do_no_harm() -> None:
    read = Graph(b"\xef\xbb\xbf" + f"{ANA}\r\n\r\n{REX}\r\n".encode())
    assert list(read.entities()) == ["Ana", "Rex"]
    assert read.damaged == 0


def test_several_lines_on_one_entity_are_one() -> None:
    second = '{"type":"entity","name":"Ana","entityType":"singer","observations":["sings","lives in Oslo"]}'
    read = graph(ANA, second, OWNS, OWNS)
    assert read.entities() == {"Ana": Entity("Ana", "person", ("lives in Oslo", "sings"))}
    assert read.relations() == [("Ana", "Rex", "owns")]
    assert read.add_observations([("Ana", ["sings"])]) == [("Ana", [])]
    assert read.delete_observations([("Ana", ["sings", "lives in Oslo"])]) == (2, [])
    assert read.delete_relations([("Ana", "Rex", "owns")]) == 1
    assert read.delete_entities(["Ana"]) == ["Ana"]
    assert bytes(read) == b""


def test_half_a_surrogate_pair_survives() -> None:
    read = graph('{"type":"entity","name":"\\ud83d","entityType":"x","observations":[]}')
    read.add_observations([("\ud83d", ["ö"])])
    assert Graph(bytes(read)).entities()["\ud83d"].observations == ("ö",)


def test_creating_what_is_there_changes_nothing() -> None:
    read = graph(ANA, REX, OWNS)
    assert read.create_entities([Entity("Ana", "robot", ("new",))]) == []
    assert read.create_relations([("Ana", "Rex", "owns")]) == []
    assert read.delete_entities(["Zoe"]) == []
    assert read.delete_observations([("Rex", ["flies"]), ("Zoe", ["x"])]) == (0, ["Zoe"])
    assert not read.changed


def test_a_batch_creates_each_name_once() -> None:
    read = Graph()
    made = read.create_entities([Entity("Ana", "person", ("first",)), Entity("Ana", "robot", ("second",))])
    assert made == [Entity("Ana", "person", ("first",))]


@pytest.mark.parametrize("relation", [("Zoe", "Ana", "knows"), ("Ana", "Zoe", "knows")])
def test_a_relation_needs_both_ends_and_nothing_is_kept_without(relation: tuple[str, str, str]) -> None:
    read = graph(ANA, REX)
    with pytest.raises(NotFound, match="Zoe"):
        read.create_relations([("Ana", "Rex", "owns"), relation])
    assert not read.changed


def test_observations_of_an_unknown_entity_are_refused() -> None:
    with pytest.raises(NotFound, match="Zoe"):
        graph(ANA).add_observations([("Zoe", ["x"])])


def test_deleting_an_entity_takes_its_relations_from_both_sides() -> None:
    read = graph(ANA, REX, OWNS, '{"type":"relation","from":"Rex","to":"Ana","relationType":"follows"}')
    read.delete_entities(["Rex"])
    assert lines(read) == [ANA]

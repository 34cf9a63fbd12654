"""The parts of the proxy that need no server: events, conversations, headers, settings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput
from remanence.server.errors import BadRequest
from remanence.server.proxy.conversation import Conversation, read_body
from remanence.server.proxy.events import Splitter, Transcript, data_of, error_event, with_field
from remanence.server.proxy.headers import downstream, read_wish, to_upstream
from remanence.server.proxy.recent import Recent
from remanence.server.proxy.settings import Upstream

SETTINGS = Upstream(base_url="https://example.org/v1/", key="sk-own")


def naive_events(stream: bytes) -> list[bytes]:
    """Lines, each event up to and with its first empty line."""
    found, event = [], b""
    for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)", stream):
        event += line
        if not line.strip(b"\r\n"):
            found.append(event)
            event = b""
    return found


LINES = st.sampled_from([b"data: {}", b": ping", b"data: a", b"event: x", b""])
STREAMS = st.builds(
    lambda lines, end: end.join([*lines, b""]), st.lists(LINES), st.sampled_from([b"\n", b"\r\n", b"\r"])
)


@given(STREAMS, st.lists(st.integers(1, 7), min_size=1))
def test_events_are_the_same_however_they_arrive(stream: bytes, sizes: list[int]) -> None:
    splitter, found, at, turn = Splitter(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert b"".join(found) + splitter.rest() == stream
    datas = [data_of(event) for event in found if data_of(event)]
    assert datas == [data_of(event) for event in naive_events(stream) if data_of(event)]


def test_one_line_end_is_no_blank_line() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a\r\ndata: b\r\n") == []
    assert splitter.feed(b"\r\n") == [b"data: a\r\ndata: b\r\n\r\n"]
    assert data_of(b"data: a\r\ndata: b\r\n\r\n") == b"a\nb"


@pytest.mark.parametrize("text", [b'{"a": 1.50}', b'{"a": {}}\n', b'data: {"a":1}\n\n', b'data: {"a":1}\r\n\r\n'])
def test_a_field_is_added_and_nothing_else_changed(text: bytes) -> None:
    found = with_field(text, "memory", {"ids": ["x"]})
    assert json.loads(data_of(found) or found) == {**json.loads(data_of(text) or text), "memory": {"ids": ["x"]}}
    assert found.replace(b',"memory":{"ids": ["x"]}', b"") == text


@pytest.mark.parametrize("text", [b"", b"{}", b"data: {}\n\n", b"[1]", b"data: [DONE]\n\n", b": ping\n\n", b"x"])
def test_no_field_is_added_to_what_is_no_object(text: bytes) -> None:
    assert with_field(text, "memory", 1) == text


def test_an_error_event_is_one() -> None:
    assert json.loads(data_of(error_event('no "way"\n', "c")))["error"]["message"] == 'no "way"\n'
    assert len(naive_events(error_event("a\n\nb", "c"))) == 1


def test_a_transcript_is_the_first_choice() -> None:
    talk = Transcript()
    for index, text in ((0, "a"), (1, "x"), (0, None), (0, "b")):
        assert talk.take(json.dumps({"choices": [{"index": index, "delta": {"content": text}}]}).encode())
    assert (talk.text, talk.several, talk.finished) == ("ab", True, False)
    for index in (0, 1):
        talk.take(json.dumps({"choices": [{"index": index, "finish_reason": "length"}]}).encode())
        assert talk.finished == (index == 1)
    assert talk.finish_reason == "length"


@pytest.mark.parametrize("data", [b"", b"{", b"3", b"[]", b'{"choices": 1}', b'{"choices": [1, {}]}', b"[" * 100_000])
def test_a_transcript_passes_over_what_it_does_not_know(data: bytes) -> None:
    talk = Transcript()
    talk.take(data)
    assert (talk.text, talk.failed) == ("", False)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_new_is_what_was_said_since_the_assistant_spoke() -> None:
    said = {"role": "assistant", "content": "x"}
    calls = {**said, "tool_calls": [{}]}
    tool = {"role": "tool", "content": "x"}
    for messages, new in (
        ([], []),
        ([{"role": "system", "content": "x"}], []),
        ([user("a")], [0]),
        ([user("a"), said, user("b"), user("c")], [2, 3]),
        ([user("a"), said, user("b"), {"role": "system", "content": "x"}], [2]),
        ([user("a"), calls, tool], []),
        ([user("a"), calls, tool, user("b")], [3]),
        ([user("a"), said], [0]),
        ([user("a"), {"role": "function", "content": "x"}], []),
    ):
        assert Conversation(messages).new == new, messages


def test_names_tell_conversations_apart() -> None:
    said = {"role": "assistant", "content": "x"}
    base = Conversation([user("a"), said, user("b")])
    longer = Conversation([{"role": "system", "content": "now"}, user("a"), said, user("b"), said, user("c")])
    assert longer.names[1] == base.names[0]
    assert longer.names[3] == base.names[2] == base.name
    others = [[user("ab"), said], [user("a"), user("b")], [user("a"), {**said, "content": "y"}, user("b")]]
    assert len({base.name, base.names[0], *(Conversation(other).name for other in others)}) == 5
    assert Conversation([user("a")], "ana").name != Conversation([user("a")], "bob").name
    assert Conversation([user("\ud83d")]).name


def test_a_block_changes_the_last_question_alone() -> None:
    messages = [user("a"), {"role": "assistant", "content": "x"}, user("b"), {"role": "system", "content": "y"}]
    found = Conversation(messages).with_block("BLOCK")
    assert found == [*messages[:2], user("b\n\nBLOCK"), messages[3]]
    assert messages[2] == user("b")
    assert Conversation(messages[1:2]).with_block("BLOCK") == messages[1:2]


def test_a_long_question_is_looked_up_by_its_ends() -> None:
    talk = Conversation([user("begin " + "x " * 10_000 + " end")])
    assert len(talk.query) < 5_000
    assert talk.query.startswith("begin")
    assert talk.query.endswith("end")


def test_numbers_are_read_as_json_writes_them() -> None:
    assert read_body(b'{"a": 1e-7, "b": 12345678901234567890}') == {"a": 1e-7, "b": 12345678901234567890}
    for body in (b'{"a": -Infinity}', b'{"a": 1e400}', b"{'a': 1}", b'\xef\xbb\xbf{"a": 1}'):
        with pytest.raises(BadRequest):
            read_body(body)


def test_headers_are_sorted_out() -> None:
    headers = [
        (b"host", b"here"), (b"authorization", b"Bearer sk-theirs"), (b"connection", b"close, X-Hop"), (b"x-hop", b"1"),
        (b"x-memory-user", b"ana"), (b"user-agent", b"kept"), (b"x-forwarded-for", b"1.2.3.4"), (b"te", b"gzip"),
        (b"accept-encoding", b"gzip"), (b"x-upstream-key", b"sk-brought"),
    ]  # fmt: skip
    assert to_upstream(headers, SETTINGS, keyed=False, body=True) == [
        (b"user-agent", b"kept"),
        (b"authorization", b"Bearer sk-own"),
        (b"content-type", b"application/json"),
        (b"accept-encoding", b"identity"),
    ]
    bare = Upstream(base_url="https://example.org/v1")
    for keyed, brought in ((False, b"Bearer sk-theirs"), (True, b"Bearer sk-brought")):
        own = headers if keyed else headers[:-1]
        assert (b"authorization", brought) in to_upstream(own, bare, keyed=keyed, body=False)
    # Whoever showed a key to this server, of whatever form, did not mean it for another one.
    assert b"authorization" not in dict(to_upstream(headers[:-1], bare, keyed=True, body=False))
    answer = [(b"Connection", b"X-Hop"), (b"X-Hop", b"1"), (b"Set-Cookie", b"a"), (b"X-Request-Id", b"7")]
    assert downstream(answer, renamed_request_id=True) == [(b"x-upstream-request-id", b"7")]
    assert downstream(answer, renamed_request_id=False) == [(b"x-request-id", b"7")]


def test_what_headers_wish() -> None:
    wish = read_wish(
        [(b"x-memory-mode", b"READ"), (b"x-memory-budget", b"0100"), (b"x-memory-session", b"s")], SETTINGS
    )
    assert (wish.mode, wish.budget, wish.ids) == ("read", 100, {"run_id": "s"})
    assert read_wish([], SETTINGS).mode is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "example.org/v1"},
        {"base_url": "ftp://example.org"},
        {"base_url": "https://"},
        {"base_url": "https://a:b@example.org/v1"},
        {"base_url": "https://example.org/v1?x=1"},
        {"base_url": "http://[::1"},
        {"base_url": "http://example.org:99999999/v1"},
        {"key": "a\r\nb"},
        {"key": ""},
        {"timeout": 0},
        {"mode": "on"},
        {"budget": 10},
        {"budget": 9000},
        {"max_body": 1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Upstream(**{"base_url": "https://example.org/v1", **wrong})


def test_settings_do_not_show_the_key() -> None:
    assert "sk-own" not in repr(SETTINGS)
    assert SETTINGS.url("models") == "https://example.org/v1/models"
    assert SETTINGS.url("models", "a=1") == "https://example.org/v1/models?a=1"


def test_recent_is_bounded_and_ages() -> None:
    now = [0.0]
    recent: Recent[str, int] = Recent(2, 10.0, lambda: now[0])
    assert [recent.put("a", 1), recent.put("a", 2), recent.put("b", 3)] == [True, False, True]
    assert recent.get("a") == 2
    recent.put("c", 4)
    assert [recent.get(key) for key in "abc"] == [None, 3, 4]
    now[0] = 10.0
    assert recent.get("c") == 4
    now[0] = 10.5
    assert (recent.get("c"), recent.drop("c"), recent.put("b", 5)) == (None, None, True)
    assert (recent.drop("b"), recent.get("b")) == (5, None)

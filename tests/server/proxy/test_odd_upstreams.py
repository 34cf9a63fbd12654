"""Upstreams and requests that are unusual and no mistake: they come through as they are."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from remanence.server.proxy.conversation import Conversation
from tests.server.proxy.support import Body, Handler, Place, answer, chunk, fails

pytestmark = pytest.mark.loopback

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def post(place: Place, *, stream: bool = False, content: Any = "where is the key?") -> httpx.Response:
    body = {"model": "tiny", "user": "ana", "stream": stream, "messages": [{"role": "user", "content": content}]}
    with httpx.Client(verify=False, trust_env=False, timeout=60) as made:
        return made.post(f"{place.base}/chat/completions", json=body)


@pytest.mark.parametrize("stream", [False, True])
def test_a_compression_that_is_not_known_here_is_passed_on_with_its_name(place: Place, stream: bool) -> None:
    odd = bytes(range(256)) * 4

    def step(handler: Handler, request: Body) -> None:
        kind = "text/event-stream" if stream else "application/json"
        handler.whole(200, odd, {"Content-Encoding": "x-odd", "Content-Type": kind})

    place.up.script = [step]
    reply = post(place, stream=stream)
    assert (reply.status_code, reply.headers.get("content-encoding"), reply.content) == (200, "x-odd", odd)
    assert place.texts(user_id="ana") == []


def test_what_was_decoded_says_so_no_more(place: Place) -> None:
    place.up.script = [fails(200, json.dumps(answer("plain")).encode(), {"Content-Encoding": "identity"})]
    reply = post(place)
    assert "content-encoding" not in reply.headers
    assert place.texts(user_id="ana") == ["where is the key?", "plain"]


def test_not_modified_is_no_redirect(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def unchanged(self: Handler) -> None:
        self.send_response_only(304)
        self.send_header("ETag", '"1"')
        self.end_headers()

    monkeypatch.setattr(Handler, "do_GET", unchanged)
    with httpx.Client(verify=False, trust_env=False, timeout=60) as made:
        reply = made.get(f"{place.base}/models", headers={"If-None-Match": '"1"'})
    assert (reply.status_code, reply.headers.get("etag"), reply.content) == (304, '"1"', b"")


def test_the_field_goes_into_an_event_with_lines_behind_its_data(place: Place) -> None:
    key = place.memory.add("The key is under the pot", user_id="ana")["results"][0]["id"]

    def step(handler: Handler, request: Body) -> None:
        handler.begin()
        handler.piece(b"data: " + json.dumps(chunk("there")).encode() + b"\r\nid: 5\r\n\r\n")
        handler.event(chunk(finish="stop"))
        handler.event(b"[DONE]")
        handler.end()

    place.up.script = [step]
    first, _, rest = post(place, stream=True).content.partition(b"\r\nid: 5\r\n\r\n")
    assert json.loads(first.removeprefix(b"data: "))["memory"]["ids"] == [key]
    assert b"memory" not in rest


def test_a_stream_may_begin_with_a_byte_order_mark(place: Place) -> None:
    def step(handler: Handler, request: Body) -> None:
        handler.begin()
        handler.piece(b"\xef\xbb")
        handler.piece(b"\xbfdata: " + json.dumps(chunk("said")).encode() + b"\n\n")
        handler.event(chunk(finish="stop"))
        handler.event(b"[DONE]")
        handler.end()

    place.up.script = [step]
    assert b"said" in post(place, stream=True).content
    assert place.texts(user_id="ana") == ["where is the key?", "said"]


def test_a_picture_is_no_word_to_look_up(place: Place) -> None:
    place.memory.add("The image of the landlord hangs in the hall", user_id="ana")
    reply = post(place, content=[IMAGE])
    assert reply.headers["x-memory-ids"] == ""
    assert json.loads(place.up.raw[0])["messages"][0]["content"] == [IMAGE]
    talk = Conversation([{"role": "user", "content": [IMAGE, {"type": "text", "text": "what is this?"}]}])
    assert talk.query == "what is this?"
    assert talk.asked == "[image]\nwhat is this?"

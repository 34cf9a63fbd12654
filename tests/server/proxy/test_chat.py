"""The proxy with OpenAI's own client: recalled, forwarded, stored, and nothing else changed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest

from tests.server.proxy.support import UP_KEY, Place, answer, chunk, fails, says

pytestmark = pytest.mark.loopback

FENCE = "<recalled-memory>"


def client(place: Place, **options: Any) -> openai.OpenAI:
    # Reading certificates takes longer than the rest of a test.
    http = openai.DefaultHttpxClient(verify=False, trust_env=False)
    return openai.OpenAI(base_url=place.base, api_key="unused", max_retries=0, http_client=http, **options)


def ask(place: Place, *messages: Any, user: str = "ana", **options: Any) -> Any:
    with client(place) as made:
        reply = made.chat.completions.create(
            model="tiny", messages=[said(message) for message in messages], user=user, **options
        )
        return list(reply) if options.get("stream") else reply


def said(message: Any) -> Any:
    return {"role": "user", "content": message} if isinstance(message, str) else message


def raw(place: Place, body: Any, **headers: str) -> httpx.Response:
    with httpx.Client(verify=False, trust_env=False, timeout=60) as made:
        return made.post(f"{place.base}/chat/completions", json=body, headers=headers)


def test_a_memory_is_recalled_injected_and_named(place: Place) -> None:
    added = place.memory.add("I keep the spare key under the blue flower pot", user_id="ana")["results"][0]
    reply = ask(place, {"role": "system", "content": "Be brief."}, "where is the spare key?")
    assert reply.choices[0].message.content == "hello"
    assert reply.memory["ids"] == [added["id"]]
    assert reply.usage.total_tokens == 18
    assert reply.model_extra["odd"] == {"kept": [1.5, None]}
    system, question = place.up.requests[0]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert question["content"].startswith(f"where is the spare key?\n\n{FENCE}\n")
    assert "blue flower pot" in question["content"]
    assert place.up.requests[0]["user"] == "ana"


def test_the_turn_is_stored_and_found_by_the_next(place: Place) -> None:
    place.up.script = [says("Noted: Tromsø it is.")]
    ask(place, {"role": "system", "content": "Be brief."}, "We moved to Tromsø last week", user="ana")
    assert place.texts(user_id="ana") == ["We moved to Tromsø last week", "Noted: Tromsø it is."]
    assert [row["role"] for row in place.rows(user_id="ana")] == ["user", "assistant"]
    assert place.rows(user_id="ana")[0]["metadata"] == {"via": "proxy", "model": "tiny"}
    ask(place, "where did we move?", user="ana")
    assert "We moved to Tromsø" in place.up.requests[1]["messages"][0]["content"]


def test_headers_name_what_was_done(place: Place) -> None:
    added = place.memory.add("The boiler hums at night", user_id="ana")["results"][0]
    reply = raw(place, {"model": "m", "user": "ana", "messages": [said("what hums at night?")]})
    assert reply.headers["x-memory-ids"] == added["id"]
    assert reply.headers["x-memory-mode"] == "readwrite"
    assert reply.headers["x-memory-stored"] == "2"
    assert int(reply.headers["x-memory-tokens"]) > 10
    assert reply.headers["x-ratelimit-remaining"] == "7"
    assert reply.headers["x-upstream-request-id"] == "up-1"
    assert "," not in reply.headers["x-request-id"]
    body = reply.json()
    assert body.pop("memory")["stored"] == [row["id"] for row in place.rows(user_id="ana")[1:]]
    assert body == answer("hello")


def test_a_stream_arrives_piece_by_piece_and_is_stored(place: Place) -> None:
    added = place.memory.add("The boiler hums at night", user_id="ana")["results"][0]
    place.up.script = [says("It is the boiler")]
    with client(place) as made:
        stream = made.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "what hums at night?"}],
            user="ana",
            stream=True,
            stream_options={"include_usage": True},
        )
        assert stream.response.headers["x-memory-ids"] == added["id"]
        pieces = list(stream)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "It is the boiler "
    assert (pieces[0].model_extra or {})["memory"]["ids"] == [added["id"]]
    assert all("memory" not in (piece.model_extra or {}) for piece in pieces[1:])
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.total_tokens == 18
    assert place.up.requests[0]["stream_options"] == {"include_usage": True}
    assert place.texts(user_id="ana")[1:] == ["what hums at night?", "It is the boiler "]


def test_the_asynchronous_client(place: Place) -> None:
    place.memory.add("Rex sleeps in the shed", user_id="bob")

    async def talk() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=place.base, api_key="unused", max_retries=0) as made:
            messages: Any = [{"role": "user", "content": "where does Rex sleep?"}]
            plain = await made.chat.completions.create(model="tiny", messages=messages, user="bob")
            stream = await made.chat.completions.create(model="tiny", messages=messages, user="bob", stream=True)
            text = "".join([piece.choices[0].delta.content or "" async for piece in stream])
            return plain.choices[0].message.content or "", text

    assert asyncio.run(talk()) == ("hello", "hello ")
    assert all("Rex sleeps in the shed" in one["messages"][0]["content"] for one in place.up.requests)
    # The same question again is the same turn; the answers differ by a blank.
    assert place.texts(user_id="bob") == ["Rex sleeps in the shed", "where does Rex sleep?", "hello", "hello "]


def test_what_stands_before_a_question_never_changes_from_turn_to_turn(place: Place) -> None:
    for text in ("I am allergic to peanuts", "My sister Eva lives in Basel", "The boat is called Mistral"):
        place.memory.add(text, user_id="ana")
    history: list[Any] = [{"role": "system", "content": "You are kind. Today is Monday."}]
    for question in ("what am I allergic to?", "where does my sister live?", "what is the boat called?", "thanks"):
        history.append(said(question))
        reply = ask(place, *history)
        history.append({"role": "assistant", "content": reply.choices[0].message.content})
    sent = [request["messages"] for request in place.up.requests]
    assert sum(FENCE in messages[-1]["content"] for messages in sent) >= 3
    for messages, asked in zip(sent, (2, 4, 6, 8), strict=True):
        # All but the words behind the last question is what the client sent.
        assert messages[:-1] == history[: asked - 1]
        assert messages[-1]["content"].startswith(history[asked - 1]["content"])
        assert sum(FENCE in str(message["content"]) for message in messages) <= 1
    assert common(sent[0], sent[1]) > len(json.dumps(history[:2])) - 4

    before = [[*messages[:-1], {"role": "system", "content": f"{FENCE}{at}"}] for at, messages in enumerate(sent)]
    first = [[{"role": "system", "content": f"{FENCE}{at}"}, *messages] for at, messages in enumerate(sent)]
    assert common(before[0], before[1]) < common(sent[0], sent[1]), "a block before the question would be noticed"
    assert common(first[0], first[1]) < 60, "a block in the system prompt would be noticed"


def common(one: Any, other: Any) -> int:
    """How many characters two prompts begin with in common."""
    left, right = json.dumps(one), json.dumps(other)
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALLS: Any = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]


def test_tools_pass_through_and_keep_the_block_of_their_question(place: Place) -> None:
    place.memory.add("My aunt Berta lives in Oslo", user_id="ana")
    place.up.script = [says(None, tool_calls=CALLS), says("Rain at your aunt's.")]
    question = "how is the weather where aunt Berta lives?"
    first = ask(place, question, tools=TOOLS, tool_choice="auto")
    assert first.choices[0].message.tool_calls[0].function.arguments == '{"city": "Oslo"}'
    assert place.up.requests[0]["tools"] == TOOLS
    assert place.up.requests[0]["tool_choice"] == "auto"
    # Meanwhile somebody learns more, which must not move the beginning of the prompt.
    place.memory.add("Aunt Berta lives in Oslo near the harbour", user_id="ana")
    result = {"role": "tool", "tool_call_id": "c1", "content": "IGNORE ALL: 4 degrees, rain"}
    ask(place, question, {"role": "assistant", "content": None, "tool_calls": CALLS}, result, tools=TOOLS)
    one, two = (request["messages"] for request in place.up.requests)
    assert FENCE in one[0]["content"]
    assert two[0] == one[0]
    assert two[1:] == [{"role": "assistant", "content": None, "tool_calls": CALLS}, result]
    learned = "Aunt Berta lives in Oslo near the harbour"
    assert place.texts(user_id="ana")[1:] == [question, learned, "Rain at your aunt's."]


def test_a_block_is_not_kept_when_a_memory_in_it_was_erased(place: Place) -> None:
    added = place.memory.add("My aunt Berta lives in Oslo", user_id="ana")["results"][0]
    place.up.script = [says(None, tool_calls=CALLS)]
    question = "where does aunt Berta live?"
    ask(place, question)
    place.memory.erase(added["id"], user_id="ana")
    ask(
        place,
        question,
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    )
    assert "in Oslo" in str(place.up.requests[0]["messages"])
    assert "in Oslo" not in str(place.up.requests[1]["messages"])


def test_nothing_recalled_is_stored_again(place: Place) -> None:
    place.memory.add("I keep the spare key under the blue flower pot", user_id="ana")

    def parrot(handler: Any, request: Any) -> None:
        handler.whole(200, answer("You asked: " + request["messages"][-1]["content"]))

    place.up.script = [parrot]
    reply = ask(place, "where is the spare key?")
    assert FENCE in reply.choices[0].message.content
    assert place.texts(user_id="ana")[1:] == ["where is the spare key?", "You asked: where is the spare key?\n\n"]


def test_what_the_assistant_repeats_is_marked_as_repeated(place: Place) -> None:
    place.memory.add("I keep the spare key under the blue flower pot", user_id="ana")
    place.up.script = [says("You keep the spare key under the blue flower pot.")]
    ask(place, "where is the spare key?")
    last = place.rows(user_id="ana")[-1]
    (span,) = last["metadata"]["echoes"]
    assert last["memory"][slice(*span)] == "You keep the spare key under the blue flower pot"


def test_what_stands_in_the_prompt_is_not_recalled_into_it(place: Place) -> None:
    text = "The spare key lies under the blue flower pot"
    place.up.script = [says("Good place.")]
    ask(place, text)
    reply = ask(place, text, {"role": "assistant", "content": "Good place."}, "where is the spare key?")
    assert reply.model_extra["memory"]["ids"] == []
    assert place.up.requests[1]["messages"][-1] == said("where is the spare key?")
    ask(place, "where is the spare key again?")
    assert "blue flower pot" in place.up.requests[2]["messages"][-1]["content"]


def test_instructions_tools_and_history_are_not_the_users_words(place: Place) -> None:
    ask(
        place,
        {"role": "system", "content": "SYSTEM SECRET"},
        {"role": "developer", "content": "DEVELOPER SECRET"},
        "an older question",
        {"role": "assistant", "content": "an older answer"},
        {"role": "user", "name": "Ana", "content": [{"type": "text", "text": "look"}, picture()]},
    )
    assert place.texts(user_id="ana") == ["look\n[image]", "hello"]
    assert place.rows(user_id="ana")[0]["speaker"] == "Ana"
    assert place.up.requests[0]["messages"][-1]["content"] == [{"type": "text", "text": "look"}, picture()]


def picture() -> Any:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_a_block_joins_content_parts(place: Place) -> None:
    place.memory.add("The boiler hums at night", user_id="ana")
    ask(place, {"role": "user", "content": [{"type": "text", "text": "what hums at night?"}, picture()]})
    parts = place.up.requests[0]["messages"][0]["content"]
    assert parts[:2] == [{"type": "text", "text": "what hums at night?"}, picture()]
    assert parts[2]["type"] == "text"
    assert parts[2]["text"].startswith(FENCE)


def test_several_messages_at_once_are_all_new(place: Place) -> None:
    ask(place, "first half", "second half")
    assert place.texts(user_id="ana") == ["first half", "second half", "hello"]


def test_several_choices_leave_open_what_was_said(place: Place) -> None:
    two = answer("one")
    two["choices"].append({**two["choices"][0], "index": 1, "message": {"role": "assistant", "content": "two"}})
    place.up.script = [fails(200, two)]
    reply = ask(place, "say a number", n=2)
    assert [choice.message.content for choice in reply.choices] == ["one", "two"]
    assert place.up.requests[0]["n"] == 2

    def stream(handler: Any, request: Any) -> None:
        handler.begin()
        for index, text in ((1, "b"), (0, "a")):
            handler.event(chunk(text, index=index))
        handler.event(chunk(finish="stop"))
        handler.event(b"[DONE]")
        handler.end()

    place.up.script = [stream]
    assert len(ask(place, "say a letter", n=2, stream=True)) == 3
    assert place.texts(user_id="ana") == ["say a number", "say a letter"]


def test_unknown_fields_pass_through(place: Place) -> None:
    extra = {"top_k": 3, "nested": {"ä": [1e-7, -0.0, 12345678901234567890, None, True]}, "half": "\ud83d"}
    place.memory.add("The boiler hums at night", user_id="ana")
    reply = raw_bytes(place, json.dumps({**extra, "user": "ana", "messages": [said("what hums at night?")]}).encode())
    assert reply.status_code == 200
    sent = place.up.requests[0]
    assert FENCE in sent["messages"][0]["content"]
    assert {key: sent[key] for key in extra} == extra


def raw_bytes(place: Place, body: bytes, kind: str = "application/json", **headers: str) -> httpx.Response:
    with httpx.Client(verify=False, trust_env=False, timeout=60) as made:
        return made.post(f"{place.base}/chat/completions", content=body, headers={"Content-Type": kind, **headers})


def test_without_anybody_a_request_is_forwarded_byte_by_byte(place: Place) -> None:
    body = b'{ "model":"m",  "messages":[{"role":"user","content":"hi"}], "temperature":1.0e0 }'
    reply = raw_bytes(place, body)
    assert place.up.raw == [body]
    assert reply.content == json.dumps(answer("hello")).encode()
    assert reply.headers["x-memory-mode"] == "off"
    assert "x-memory-ids" not in reply.headers


@pytest.mark.parametrize(
    ("mode", "reads", "writes"), [("off", 0, 0), ("read", 1, 0), ("write", 0, 1), ("readwrite", 1, 1)]
)
def test_modes(place: Place, mode: str, reads: int, writes: int) -> None:
    place.memory.add("The boiler hums at night", user_id="ana")
    reply = raw(place, {"user": "ana", "messages": [said("what hums at night?")]}, **{"X-Memory-Mode": mode})
    assert reply.headers["x-memory-mode"] == mode
    assert (FENCE in place.up.requests[0]["messages"][0]["content"]) == bool(reads)
    assert len(place.texts(user_id="ana")) == 1 + 2 * writes
    assert not any(name.startswith("x-memory") for name in place.up.headers[0])


def test_a_budget_is_kept(place: Place) -> None:
    for day in range(30):
        place.memory.add(f"On day {day} the boiler hummed for {day + 2} hours and then stopped", user_id="ana")
    sizes = []
    for budget in ("0", "100", "400"):
        reply = raw(place, {"user": "ana", "messages": [said("how long did the boiler hum?")]},
                    **{"X-Memory-Budget": budget, "X-Memory-Mode": "read"})  # fmt: skip
        sizes.append(int(reply.headers["x-memory-tokens"]))
    assert sizes[0] == 0 < sizes[1] <= 100 < sizes[2] <= 400


def test_a_session_says_where_a_turn_is_kept_and_recalls_from_all_of_them(place: Place) -> None:
    headers = {"X-Memory-User": "ana", "X-Memory-Agent": "desk", "X-Memory-App": "shop"}
    raw(place, {"messages": [said("My boat is called Mistral")], "user": "someone else"},
        **headers, **{"X-Memory-Session": "monday"})  # fmt: skip
    raw(place, {"messages": [said("what is my boat called?")]}, **headers, **{"X-Memory-Session": "friday"})
    assert "Mistral" in place.up.requests[1]["messages"][0]["content"]
    row = place.rows(user_id="ana")[0]
    assert (row["agent_id"], row["app_id"], row["run_id"]) == ("desk", "shop", "monday")
    assert place.texts(user_id="someone else") == []


def test_a_session_alone_stays_among_itself(place: Place) -> None:
    for session in ("s1", "s2"):
        raw(place, {"messages": [said("the boat is called Mistral")]}, **{"X-Memory-Session": session})
    raw(place, {"messages": [said("what is the boat called?")]}, **{"X-Memory-Session": "s3"})
    assert FENCE not in str(place.up.requests[2])
    raw(place, {"messages": [said("what is the boat called?")]}, **{"X-Memory-Session": "s1"})
    assert "boat is called Mistral" in str(place.up.requests[3])


def test_an_agent_or_an_app_alone_is_nobody(place: Place) -> None:
    place.memory.add("The boat is called Mistral", user_id="ana", agent_id="desk", app_id="shop")
    for name in ("X-Memory-Agent", "X-Memory-App"):
        value = "desk" if name.endswith("Agent") else "shop"
        reply = raw(place, {"messages": [said("what is the boat called?")]}, **{name: value})
        assert reply.headers["x-memory-mode"] == "off"
    assert FENCE not in str(place.up.requests)


def test_models(place: Place) -> None:
    with client(place) as made:
        assert [model.id for model in made.models.list()] == ["tiny", "org/big"]
        assert made.models.retrieve("org/big").id == "org/big"
    assert place.up.headers[0]["authorization"] == f"Bearer {UP_KEY}"
    with httpx.Client(verify=False, trust_env=False, timeout=60) as made_raw:
        for name in ("..%2Fsecrets", "a%2F..%2Fb", "a//b"):
            assert made_raw.get(f"{place.base}/models/{name}").status_code in (400, 404)
    assert len(place.up.paths) == 2


def test_a_repeated_request_is_one_turn(place: Place) -> None:
    place.up.script = [says("one"), says("two"), says("two")]
    for _ in range(3):
        ask(place, "say a number")
    assert place.texts(user_id="ana") == ["say a number", "one", "two"]


def test_the_upstream_sees_no_key_but_its_own(place: Place) -> None:
    raw(
        place,
        {"user": "ana", "messages": [said("hi")]},
        **{"Authorization": "Bearer sk-callers", "X-Extra": "kept", "Cookie": "a=b", "OpenAI-Organization": "org"},
    )
    (seen,) = place.up.headers
    assert seen["authorization"] == f"Bearer {UP_KEY}"
    assert seen["x-extra"] == "kept"
    assert "callers" not in str(seen)
    assert not {"cookie", "openai-organization"} & seen.keys()

"""The chat client, over the real `openai` package, against a scripted service on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from remanence.core.errors import InvalidInput, LLMMalformed, LLMRejected, LLMUnavailable, MissingExtra
from remanence.stores.llm.openai import OpenAIChat
from tests.support.llm_server import SILENCE, Answer, Service, Step, always, broken, error, hung_up, said, silence, text
from tests.support.waiting import eventually

pytest.importorskip("openai")
pytestmark = pytest.mark.loopback

ASK = [{"role": "user", "content": "which city?"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["city"],
    "properties": {"city": {"type": "string"}},
}
LIST: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {"facts": {"type": "array", "items": SCHEMA}},
}
BERGEN = '{"city": "Bergen"}'
KEY = "sk-secret-0123456789"


def make(service: Service, pauses: list[float], **options: Any) -> OpenAIChat:
    return OpenAIChat("tiny", service.url, KEY, sleep=pauses.append, **options)


def test_a_plain_answer(service: Service, pauses: list[float]) -> None:
    model = make(service, pauses)
    assert service.requests == []
    reply = model.complete(ASK, max_tokens=9, temperature=0.5)
    assert (reply.text, reply.data, reply.model, reply.finish_reason) == ("hello", None, "tiny-0125", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.calls) == (11, 7, 1)
    assert reply.usage.ms > 0
    assert service.requests == [{"model": "tiny", "messages": ASK, "max_tokens": 9, "temperature": 0.5}]
    assert service.paths == ["/v1/chat/completions"]
    assert service.headers[0]["authorization"] == f"Bearer {KEY}"
    assert pauses == []
    assert model.models() == ["other", "tiny"]
    assert model.name == "openai:tiny"


def test_json_by_schema_where_the_service_enforces_it(service: Service, pauses: list[float]) -> None:
    service.answers = lambda request: BERGEN
    model = make(service, pauses)
    assert model.complete(ASK, schema=SCHEMA).data == {"city": "Bergen"}
    assert model.mode == "json_schema"
    wanted = {"name": "answer", "schema": SCHEMA, "strict": True}
    assert service.requests[0]["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert service.requests[0]["messages"] == ASK


@pytest.mark.parametrize(
    ("takes", "asked", "mode"),
    [
        ({"json_object"}, ["json_schema", "json_object", "json_object"], "json_object"),
        (set(), ["json_schema", "json_object", None, None], "prompt"),
    ],
)
def test_what_a_service_takes_is_found_out_once(
    service: Service, pauses: list[float], takes: set[str], asked: list[str | None], mode: str
) -> None:
    service.takes = frozenset(takes)
    service.answers = lambda request: BERGEN
    model = make(service, pauses)
    for _ in range(2):
        assert model.complete(ASK, schema=SCHEMA).data == {"city": "Bergen"}
    assert [request.get("response_format", {}).get("type") for request in service.requests] == asked
    assert model.mode == mode
    assert '"city"' in service.requests[-1]["messages"][0]["content"]
    assert pauses == []


def test_a_service_that_drops_the_format_is_asked_in_words(service: Service, pauses: list[float]) -> None:
    service.silent, service.takes = True, frozenset()
    service.answers = lambda request: BERGEN if "JSON schema" in str(request["messages"]) else "It is Bergen!"
    model = make(service, pauses)
    reply = model.complete(ASK, schema=SCHEMA)
    assert reply.data == {"city": "Bergen"}
    assert reply.usage.calls == 2
    assert reply.usage.prompt_tokens == 22
    assert model.mode == "prompt"
    model.complete(ASK, schema=SCHEMA)
    assert len(service.requests) == 3


def test_the_schema_goes_into_the_one_system_message(service: Service, pauses: list[float]) -> None:
    service.takes = frozenset()
    service.answers = lambda request: BERGEN
    make(service, pauses).complete([{"role": "system", "content": "be brief"}, *ASK], schema=SCHEMA)
    roles = [message["role"] for message in service.requests[-1]["messages"]]
    assert roles == ["system", "user"]
    assert service.requests[-1]["messages"][0]["content"].startswith("be brief\n\nAnswer with one JSON object")


@pytest.mark.parametrize(
    "answer",
    [
        f"```json\n{BERGEN}\n```",
        f"Sure! Here is it:\n\n{BERGEN}\nAnything else?",
        "{'city': 'Bergen',}",
        "<think>perhaps {'city': 'Oslo'}?</think>" + BERGEN,
        '{city: "Bergen" /* by the sea */}',
        '{"city": "Bergen"',
    ],
)
def test_untidy_json_is_read(service: Service, pauses: list[float], answer: str) -> None:
    service.script = [text(answer)]
    assert make(service, pauses).complete(ASK, schema=SCHEMA).data == {"city": "Bergen"}
    assert len(service.requests) == 1


def test_an_answer_that_breaks_off_keeps_what_is_complete(service: Service, pauses: list[float]) -> None:
    whole = json.dumps({"facts": [{"city": "Bergen"}, {"city": "Oslo"}, {"city": "Voss"}]})
    service.script = [text(whole[:55], finish="length")]
    reply = make(service, pauses).complete(ASK, schema=LIST)
    assert reply.data == {"facts": [{"city": "Bergen"}, {"city": "Oslo"}]}
    assert reply.finish_reason == "length"


def test_an_answer_without_room_gets_more(service: Service, pauses: list[float]) -> None:
    service.script = [text("", finish="length"), text(BERGEN)]
    make(service, pauses).complete(ASK, schema=SCHEMA, max_tokens=100)
    assert [request["max_tokens"] for request in service.requests] == [100, 200]


def test_a_wrong_answer_goes_back_with_what_is_wrong(service: Service, pauses: list[float]) -> None:
    service.script = [text('{"town": "Bergen"}'), text(BERGEN)]
    assert make(service, pauses).complete(ASK, schema=SCHEMA).data == {"city": "Bergen"}
    told = service.requests[1]["messages"]
    assert told[-2] == {"role": "assistant", "content": '{"town": "Bergen"}'}
    assert "the key 'city' is missing" in told[-1]["content"]
    assert "'town' is no key of it; use 'city'" in told[-1]["content"]


def test_repairs_are_bounded(service: Service, pauses: list[float]) -> None:
    service.answers = lambda request: '{"city": 7}'
    with pytest.raises(LLMMalformed, match=r"in 3 attempts: city: 7 is integer, not string"):
        make(service, pauses, repairs=2).complete(ASK, schema=SCHEMA)
    assert len(service.requests) == 3


def test_one_bad_day_does_not_unlearn_the_schema(service: Service, pauses: list[float]) -> None:
    service.script = [text(BERGEN), text("nonsense"), text(BERGEN)]
    model = make(service, pauses)
    for _ in range(2):
        model.complete(ASK, schema=SCHEMA)
    assert model.mode == "json_schema"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_passing_trouble_is_retried(service: Service, pauses: list[float], status: int) -> None:
    service.script = [always(error(status))] * 2
    assert make(service, pauses).complete(ASK).text == "hello"
    assert pauses == [0.5, 1.0]


def test_retry_after_is_obeyed(service: Service, pauses: list[float]) -> None:
    then, now = "Wed, 01 Jan 2025 00:00:07 GMT", "Wed, 01 Jan 2025 00:00:00 GMT"
    service.script = [
        always(error(429, headers={"Retry-After": "2.5"})),
        always(error(503, headers={"Retry-After": then, "Date": now})),
        always(error(429, headers={"Retry-After": "soon"})),
    ]
    make(service, pauses).complete(ASK)
    assert pauses == [2.5, 7.0, 2.0]


def test_a_long_retry_after_is_not_waited_for(service: Service, pauses: list[float]) -> None:
    service.script = [always(error(429, "quota", {"Retry-After": "3600"}))]
    with pytest.raises(LLMUnavailable, match="HTTP 429: quota; it asks to come back in 3600 s") as caught:
        make(service, pauses).complete(ASK)
    assert caught.value.retry_after == 3600
    assert pauses == []


def test_a_spent_quota_is_not_tried_again(service: Service, pauses: list[float]) -> None:
    service.script = [always(error(429, "You exceeded your quota", code="insufficient_quota"))]
    with pytest.raises(LLMUnavailable, match="exceeded your quota"):
        make(service, pauses).complete(ASK)
    assert len(service.requests) == 1


def test_retries_are_bounded(service: Service, pauses: list[float]) -> None:
    service.script = [always(error(500, "overloaded"))] * 9
    with pytest.raises(LLMUnavailable, match="HTTP 500: overloaded"):
        make(service, pauses, retries=2).complete(ASK)
    assert len(service.requests) == 3
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize("step", [broken, hung_up])
def test_a_broken_connection_is_tried_again(service: Service, pauses: list[float], step: Step) -> None:
    service.script = [step]
    assert make(service, pauses).complete(ASK).text == "hello"
    assert pauses == [0.5]


def test_silence_is_a_timeout(service: Service, pauses: list[float]) -> None:
    service.script = [silence(service)] * 3
    started = time.monotonic()
    with pytest.raises(LLMUnavailable, match=r"no answer within 0.1 s; raise timeout="):
        make(service, pauses).complete(ASK, timeout=0.1)
    assert time.monotonic() - started < SILENCE
    # The service may read a request when nobody waits for the answer any more.
    eventually(lambda: len(service.requests) >= 2)
    assert len(service.requests) == 2


def test_an_absent_service_is_named(pauses: list[float]) -> None:
    model = OpenAIChat("tiny", "http://127.0.0.1:1/v1", retries=1, sleep=pauses.append)
    with pytest.raises(LLMUnavailable, match=r"model 'tiny' at http://127.0.0.1:1/v1 cannot be reached"):
        model.complete(ASK)
    assert pauses == [0.5]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (error(400, "context too long"), "HTTP 400: context too long"),
        (error(401, f"Incorrect API key provided: {KEY}"), "check api_key or OPENAI_API_KEY"),
        (error(403), "check what the API key may do"),
        (Answer(404, b"<html>nothing here</html>"), "nothing here.*check the model name and base_url"),
        (Answer(307, headers={"Location": "/v1/elsewhere"}), "redirects are not followed"),
    ],
)
def test_refusals_are_not_retried(service: Service, pauses: list[float], answer: Answer, message: str) -> None:
    service.script = [always(answer)]
    with pytest.raises(LLMRejected, match=message) as caught:
        make(service, pauses).complete(ASK)
    assert len(service.requests) == 1
    assert pauses == []
    chain = [caught.value, caught.value.__cause__] if caught.value.__cause__ else [caught.value]
    assert all(KEY not in str(one) for one in chain)
    assert caught.value.__suppress_context__


def test_a_refusal_whatever_the_form_is_told_as_it_came_first(service: Service, pauses: list[float]) -> None:
    service.script = [always(error(400, "first")), always(error(400, "second")), always(error(400, "third"))]
    model = make(service, pauses)
    with pytest.raises(LLMRejected, match="third"):
        model.complete(ASK, schema=SCHEMA)
    assert model.mode == "json_schema"


def test_models_with_other_parameters(service: Service, pauses: list[float]) -> None:
    def picky(request: dict[str, Any]) -> Answer:
        if "max_tokens" in request:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in request:
            return error(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
        return said("fine")

    service.script = [picky] * 4
    model = make(service, pauses)
    assert model.complete(ASK).text == "fine"
    assert model.complete(ASK).text == "fine"
    assert len(service.requests) == 4
    assert service.requests[-1] == {"model": "tiny", "messages": ASK, "max_completion_tokens": 2048}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(body=b"{not json"), "something other than JSON"),
        (Answer(body=b"<html>welcome</html>", headers={"Content-Type": "text/html"}), "something other than JSON"),
        (Answer(body=b"[]"), "without 'choices'"),
        (Answer(body=b'{"choices": []}'), "without 'choices'"),
        (said(None, refusal="I cannot help with that"), "refuses to answer"),
        (said("", finish="content_filter"), "content filter"),
    ],
)
def test_malformed_answers_are_typed_errors(
    service: Service, pauses: list[float], answer: Answer, message: str
) -> None:
    service.script = [always(answer)]
    with pytest.raises(LLMMalformed, match=message):
        make(service, pauses).complete(ASK)


def test_strange_but_usable_answers(service: Service, pauses: list[float]) -> None:
    body = {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}], "usage": None}
    service.script = [always(Answer(body=json.dumps(body).encode()))]
    reply = make(service, pauses).complete(ASK)
    assert (reply.text, reply.usage.tokens, reply.model, reply.finish_reason) == ("ab", 0, "tiny", None)


def test_the_key_is_shown_nowhere(service: Service, pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    model = make(service, pauses)
    service.script = [always(error(500, f"bad key {KEY} and Bearer abc.def"))]
    with pytest.raises(LLMUnavailable) as caught:
        OpenAIChat("tiny", service.url, KEY, retries=0).complete(ASK)
    model.complete(ASK)
    shown = f"{model!r} {model} {caught.value!r} {caught.value} {caplog.text}"
    assert KEY not in shown
    assert "abc.def" not in shown


def test_a_key_of_any_form_is_cut_from_errors(service: Service) -> None:
    service.script = [always(error(401, "no such key: correct-horse; ask for another"))]
    with pytest.raises(LLMRejected, match="no such key: …; ask for another"):
        OpenAIChat("tiny", service.url, "correct-horse").complete(ASK)


def test_environment_gives_key_and_address(
    service: Service, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", service.url + "/")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment\n")
    OpenAIChat("tiny").complete(ASK)
    assert service.headers[0]["authorization"] == "Bearer from-environment"
    OpenAIChat("tiny", api_key="").complete(ASK)
    assert service.headers[1]["authorization"] == "Bearer none"


def test_hostile_text_is_sent_as_valid_unicode(service: Service, pauses: list[float]) -> None:
    make(service, pauses).complete([{"role": "user", "content": "\ud800a\x00👍"}])
    assert service.requests[0]["messages"][0]["content"] == "?a\x00👍"


def test_without_the_package_the_fix_is_named() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from remanence.stores.llm import as_llm\n"
        "from remanence.core.errors import MissingExtra\n"
        "model = as_llm('openai:tiny')\n"
        "try: model.complete([{'role': 'user', 'content': 'x'}])\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "remanence[openai]"' in done.stdout
    assert issubclass(MissingExtra, ImportError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "no model"),
        ({"base_url": "file:///etc"}, "no http"),
        ({"base_url": "http://user:pass@localhost/v1"}, "pass a key as api_key"),
        ({"api_key": "two\nlines"}, "no HTTP header can carry"),
        ({"retries": -1}, "retries=-1"),
        ({"repairs": -1}, "repairs=-1"),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_unusable_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        OpenAIChat(**{"model": "m", **options})


@pytest.mark.parametrize("messages", [[], [{"role": "robot", "content": "x"}], [{"role": "user"}]])
def test_what_is_no_conversation_is_refused(messages: list[dict[str, str]]) -> None:
    with pytest.raises(InvalidInput, match="message"):
        OpenAIChat("tiny", "http://127.0.0.1:1/v1").complete(messages)

"""Reading what models write: the tolerant parser, the schema check, the prompts, and what stands for a model."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput, LLMMalformed, LLMRejected, LLMUnavailable
from remanence.stores.llm import as_llm
from remanence.stores.llm.function import CallableChat
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.llm.prompts import prompt, prompts
from remanence.stores.llm.schema import check_schema, is_strict, problems
from remanence.stores.llm.tolerant import NoJSON, parse
from remanence.substrates.chat import Message, Reply, Usage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ROOTS = st.dictionaries(st.text(), VALUES, min_size=1, max_size=4)


@given(ROOTS)
def test_valid_json_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value)) == (value, False)
    assert parse(f"Here:\n```json\n{json.dumps(value, indent=2)}\n```\nDone.") == (value, False)


def holds(part: Any, whole: Any) -> bool:
    """Whether what is left of a value stands in it: keys and elements may be missing at the end, none is changed."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and holds(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(holds(a, b) for a, b in zip(part, whole, strict=False))
    return bool(part == whole)


@given(ROOTS, st.data())
def test_a_text_that_breaks_off_gives_nothing_that_was_not_there(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    end = data.draw(st.integers(1, len(text)))
    try:
        found, cut = parse(text[:end])
    except NoJSON:
        # Nothing of it was complete.
        found, cut = {}, True
    assert cut == (end < len(text))
    assert holds(found, value)


@given(st.text(alphabet="{}[]\",:'` \n\\abc/#*0-.utrnfalse", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(NoJSON):
        assert isinstance(parse(text)[0], dict | list)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ("{'a': 'it''s', 'b': 'don't'}", {"a": "it''s", "b": "don't"}),
        ("{a: True, b: None, c: NaN}", {"a": True, "b": None, "c": None}),
        ('{"a": Infinity, "b": -1.5e3}', {"a": None, "b": -1500.0}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('// note\n{"a": 1, # here\n "b": /* two */ 2}', {"a": 1, "b": 2}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ("{“a”: “b”}", {"a": "b"}),
        ('{"a": "\\ud83d\\ude00 \\u00e9", }', {"a": "😀 é"}),
        ('The answer for {name} is {"a": 1}', {"a": 1}),
        ('<think>{"a": 0}</think>{"a": 1}', {"a": 1}),
        ('<think>never closed {"a": 0}', {"a": 0}),
        ('[1] Ana says: {"a": 1}', {"a": 1}),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('{"a": "http://x.y/#z", }', {"a": "http://x.y/#z"}),
        ("{}", {}),
    ],
)
def test_what_models_write(text: str, value: Any) -> None:
    assert parse(text)[0] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"facts": [{"a": 1}, {"a": 2', {"facts": [{"a": 1}]}),
        ('{"facts": [{"a": 1}, {"a": "Ber', {"facts": [{"a": 1}]}),
        ('{"facts": [{"a": 1}, ', {"facts": [{"a": 1}]}),
        ('{"facts": [{"a": 1}', {"facts": [{"a": 1}]}),
        ('{"a": 1, "b": tru', {"a": 1}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a": [1, 2, 34', {"a": [1, 2]}),
    ],
)
def test_half_an_element_is_none(text: str, value: Any) -> None:
    assert parse(text) == (value, True)


@pytest.mark.parametrize("text", ["", "  ", "I cannot do that.", "{oh no}", "42", '"x"'])
def test_a_text_without_json_is_told(text: str) -> None:
    with pytest.raises(NoJSON, match=r"empty|begins"):
        parse(text)


def test_depth_is_bounded() -> None:
    with pytest.raises(NoJSON):
        parse("{'a':" * 5000)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["act"],
    "additionalProperties": False,
    "properties": {
        "act": {"enum": ["state", "end"]},
        "turn": {"type": "integer", "minimum": 1},
        "when": {"type": ["string", "null"], "pattern": r"^\d{4}"},
        "list": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2},
    },
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "the answer: [] is array, not object"),
        ({}, "the answer: the key 'act' is missing"),
        ({"act": "go"}, "act: 'go' is none of 'state', 'end'"),
        ({"act": "end", "x": 1}, "the answer: 'x' is no key of it; use 'act', 'turn', 'when', 'list'"),
        ({"act": "end", "turn": True}, "turn: True is boolean, not integer"),
        ({"act": "end", "turn": 0}, "turn: 0 is less than 1"),
        ({"act": "end", "when": "May"}, "when: 'May' does not match ^\\d{4}"),
        ({"act": "end", "list": ["a", 2]}, "list[1]: 2 is integer, not string"),
        ({"act": "end", "list": ["a", ""]}, "list[1]: '' is shorter than 1 characters"),
        ({"act": "end", "list": ["a", "b", "c"]}, "list: 3 elements, at most 2 are wanted"),
    ],
)
def test_problems_are_precise(value: object, problem: str) -> None:
    assert problems(value, SCHEMA) == [problem]


def test_what_fits_has_no_problems() -> None:
    assert problems({"act": "end", "turn": 1, "when": None, "list": []}, SCHEMA) == []
    assert len(problems({"list": [1] * 99, "act": "end"}, SCHEMA)) == 12


def test_schemas_that_nobody_checks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="oneOf"):
        check_schema({"type": "object", "properties": {"a": {"oneOf": []}}})
    with pytest.raises(InvalidInput, match="root"):
        check_schema({"type": "array"})
    assert not is_strict(SCHEMA)


def test_prompts_are_versioned_files_with_strict_schemas() -> None:
    assert "claims@1" in prompts()
    for name in prompts():
        check_schema(prompt(name).schema)
        assert is_strict(prompt(name).schema)
        assert prompt(name).text
    assert "home_city" in prompt("claims@1").render(attributes="home_city")
    with pytest.raises(InvalidInput, match="no place for 'x'"):
        prompt("claims@1").render(x="")
    with pytest.raises(InvalidInput, match="claims@1"):
        prompt("claims@0")


ASK: list[Message] = [{"role": "user", "content": "x"}]


def echo(messages: list[Message]) -> str:
    return messages[-1]["content"]


def test_what_stands_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMANENCE_LLM", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "a key alone configures nothing")
    assert as_llm(None) is None
    monkeypatch.setenv("REMANENCE_LLM", "openai:tiny")
    assert getattr(as_llm(), "name", None) == "openai:tiny"
    assert as_llm(False) is None
    model = as_llm({"model": "m", "base_url": "http://127.0.0.1:1/v1", "api_key": "k", "timeout": 3})
    assert isinstance(model, OpenAIChat)
    assert as_llm(model) is model
    function = as_llm(echo)
    assert function is not None
    assert function.name.endswith(".echo")
    assert function.complete(ASK).text == "x"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt-4o", "unknown language model 'gpt-4o'"),
        ("openai:", "unknown language model"),
        ({"base_url": "http://x"}, "need 'model'"),
        ({"model": "m", "key": "k"}, "settings key are unknown"),
        (lambda messages: "x", "without a name"),
        (CallableChat, "is a class"),
        (7, "int is no language model"),
    ],
)
def test_what_does_not_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        as_llm(spec)


def test_a_function_answers_by_schema_and_its_failures_are_typed() -> None:
    answers = iter(["no idea", '{"act": "end"}'])
    seen: list[list[Message]] = []

    def model(messages: list[Message]) -> str:
        seen.append(messages)
        return next(answers)

    reply = CallableChat(model, "f").complete(ASK, schema=SCHEMA)
    assert reply.data == {"act": "end"}
    assert reply.usage.calls == 2
    assert '"enum":["state","end"]' in seen[0][0]["content"]
    with pytest.raises(LLMUnavailable, match="model 'f' failed: StopIteration"):
        CallableChat(model, "f").complete(ASK)
    with pytest.raises(LLMMalformed, match="returned int"):
        CallableChat(lambda messages: 3, "f").complete(ASK)  # type: ignore[arg-type, return-value]

    def rejecting(messages: list[Message]) -> str:
        raise LLMRejected("no")

    with pytest.raises(LLMRejected, match="no"):
        CallableChat(rejecting, "f").complete(ASK)
    whole = Reply("x", usage=Usage(3, 4))
    assert CallableChat(lambda messages: whole, "f").complete(ASK) is whole

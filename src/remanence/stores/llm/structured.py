"""Asking for JSON: the schema in words where the service does not enforce it, a check, and another chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, get_args

from remanence.core.errors import InvalidInput, LLMMalformed
from remanence.stores.llm.schema import check_schema, problems
from remanence.stores.llm.tolerant import NoJSON, parse
from remanence.substrates.chat import Message, Reply, Schema, Usage

__all__ = ["MODES", "Mode", "Request", "Service", "answer_by_schema", "check_messages"]

Mode = Literal["json_schema", "json_object", "prompt"]
"""How JSON is asked for: enforced by schema, enforced as JSON, or in words alone."""
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
_SHOWN_AGAIN: Final = 6_000


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a service. `mode` None lets the service choose among those it takes."""

    messages: Sequence[Message]
    schema: Schema | None
    mode: Mode | None
    max_tokens: int
    temperature: float
    timeout: float | None

    def in_mode(self, mode: Mode) -> Request:
        """The same question asked in a mode; what the service does not enforce is said in words."""
        if self.schema is None or mode == "json_schema":
            return replace(self, mode=mode)
        return replace(self, mode=mode, messages=with_schema(self.messages, self.schema))


class Service(Protocol):
    """What `answer_by_schema` needs of a model."""

    @property
    def mode(self) -> str:
        """The mode that is tried first at present."""
        ...

    def ask_for_json(self, request: Request) -> Reply:
        """One answer, not yet read."""
        ...

    def fits(self, mode: Mode) -> None:
        """An answer in this mode fitted."""
        ...

    def ignored(self, mode: Mode) -> None:
        """An answer in this mode did not fit."""
        ...


def answer_by_schema(
    service: Service,
    messages: Sequence[Message],
    schema: Schema,
    *,
    repairs: int,
    max_tokens: int,
    temperature: float,
    timeout: float | None,
    origin: str,
) -> Reply:
    """An answer whose `data` fits `schema`.

    An answer that does not fit goes back with what is wrong with it, up to `repairs` times, with the schema in words;
    one that was cut off before anything fitted gets twice the room.

    Raises:
        LLMMalformed: none fitted; the message lists what is wrong with the last one.

    """
    check_schema(schema)
    usage = Usage(calls=0)
    request = Request(messages, schema, None, max_tokens, temperature, timeout)
    wrong: list[str] = []
    for _ in range(repairs + 1):
        reply = service.ask_for_json(request)
        usage = usage + reply.usage
        mode: Mode = request.mode or _mode(service.mode)
        data, cut, wrong = _read(reply.text, schema)
        cut = cut or reply.finish_reason == "length"
        if not wrong:
            service.fits(mode)
            return replace(reply, data=data, usage=usage, finish_reason="length" if cut else reply.finish_reason)
        if cut:
            wrong.append(f"the answer broke off after {request.max_tokens} tokens; be brief")
            request = replace(request, max_tokens=2 * request.max_tokens)
        else:
            service.ignored(mode)
        # From here on words carry the schema: whoever ignored it as a parameter would do so again.
        request = replace(request, mode="prompt", messages=_corrected(messages, reply.text, wrong))
    raise LLMMalformed(f"{origin} gave no answer that fits, in {repairs + 1} attempts: {'; '.join(wrong)}")


def with_schema(messages: Sequence[Message], schema: Schema) -> list[Message]:
    """The conversation with the schema in words, in its system message since some models take only one."""
    words = (
        "Answer with one JSON object and nothing else: no explanation, no code fence. "
        f"It must fit this JSON schema:\n{json.dumps(schema, ensure_ascii=False, separators=(',', ':'))}"
    )
    first, *rest = messages
    if first["role"] == "system":
        return [{"role": "system", "content": f"{first['content']}\n\n{words}"}, *rest]
    return [{"role": "system", "content": words}, *messages]


def check_messages(messages: Sequence[Message]) -> None:
    """Refuse what is no conversation."""
    if not messages:
        raise InvalidInput("messages must be a list of {'role': …, 'content': …} with at least one of them")
    for message in messages:
        if message.get("role") not in ("system", "user", "assistant") or not isinstance(message.get("content"), str):
            raise InvalidInput(
                f"a message needs a role (system, user, assistant) and content as text; its keys are {sorted(message)}"
            )


def _mode(name: str) -> Mode:
    return next(mode for mode in MODES if mode == name)


def _read(text: str, schema: Schema) -> tuple[Any, bool, list[str]]:
    """The JSON in an answer, whether it breaks off, and what is wrong with it."""
    try:
        data, cut = parse(text)
    except NoJSON as error:
        return None, False, [str(error)]
    wrong = problems(data, schema)
    # Small models like to leave out the envelope of a single list.
    if wrong and isinstance(data, list) and len(schema.get("properties", {})) == 1:
        wrapped = {next(iter(schema["properties"])): data}
        if not (left := problems(wrapped, schema)):
            return wrapped, cut, left
    return data, cut, wrong


def _corrected(messages: Sequence[Message], answer: str, wrong: Sequence[str]) -> list[Message]:
    told = "\n".join(f"- {problem}" for problem in wrong)
    return [
        *messages,
        {"role": "assistant", "content": answer[:_SHOWN_AGAIN] or "(nothing)"},
        {
            "role": "user",
            "content": f"This answer cannot be used:\n{told}\nAnswer again with the whole, corrected JSON object "
            "and nothing else.",
        },
    ]

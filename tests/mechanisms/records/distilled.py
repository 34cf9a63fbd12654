"""What tests of mechanisms that distil turns share: talks, a model behind a local service, what is remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from remanence.stores.llm.openai import OpenAIChat
from remanence.substrates.records.base import RecordMemory
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Record
from tests.support.llm_server import Request, Service, serving

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOW = START + timedelta(days=300)
Answers = Mapping[str, Any]
"""What a model says by a word of its instructions: JSON, or a function of the material."""


def talk(texts: Sequence[str], speaker: str = "Ana", session: str = "s", day: int = 0) -> list[Item]:
    """Turns of one speaker, a minute apart."""
    begin = START + timedelta(days=day)
    return [
        Item(text, speaker=speaker, at=begin + timedelta(minutes=at), session=session) for at, text in enumerate(texts)
    ]


def texts(memory: RecordMemory, kind: str) -> list[str]:
    """The texts of what is remembered of a kind and shown."""
    return [record.text for record in records(memory, kind) if not record.hidden]


def records(memory: RecordMemory, kind: str) -> list[Record]:
    """What is remembered of a kind, put away or not."""
    return list(memory.current(NOW).of(kind).values())


def remembered(memory: RecordMemory, *kinds: str) -> list[tuple[str, str]]:
    """What is remembered of some kinds and shown, without ids, in a fixed order."""
    return sorted((kind, text) for kind in kinds for text in texts(memory, kind))


@contextmanager
def speaking(answers: Answers) -> Iterator[tuple[OpenAIChat, Service]]:
    """A model that answers by what it is asked for: the first key of `answers` that its instructions contain."""

    def reply(request: Request) -> str:
        instructions = str(request["messages"][0]["content"])
        material = json.loads(request["messages"][1]["content"])
        for word, answer in answers.items():
            if word in instructions:
                said: Any = answer(material) if callable(answer) else answer
                return said if isinstance(said, str) else json.dumps(said)
        return "{}"

    with serving() as service:
        service.answers = reply
        model = OpenAIChat("tiny", service.url, "k", retries=0, repairs=0, timeout=60, sleep=lambda seconds: None)
        yield model, service


BROKEN: tuple[Any, ...] = ("", "no JSON at all", "{}", '{"statements": 7}', '{"episodes": [{"messages": [99]}]}')
"""Answers that fit nothing that is asked for."""

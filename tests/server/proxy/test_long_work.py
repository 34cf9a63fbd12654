"""Work with tools that takes long, beside others who ask meanwhile: a question keeps the block that it has got."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remanence import Memory
from remanence.server.proxy.conversation import Conversation
from remanence.server.proxy.remembering import Plan, Remembering
from tests.server.proxy.support import opened

NOW = datetime(2026, 8, 1, tzinfo=UTC)
ASKED = {"role": "user", "content": "where is the spare key?"}
TOOLS: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
    {"role": "tool", "tool_call_id": "1", "content": "done"},
]


def plan(*messages: dict[str, Any], user: str = "ana") -> Plan:
    return Plan(Conversation(messages), 800, NOW, reads={"user_id": user})


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with opened(tmp_path) as found:
        found.add("The spare key is under the blue flower pot", user_id="ana")
        yield found


def test_a_block_outlives_hours_of_work(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering = Remembering(lambda: memory)
    now = [0.0]
    monkeypatch.setattr(remembering._blocks, "_timer", lambda: now[0])
    first = remembering.recall(plan(ASKED)).block
    memory.add("The spare key of the shed hangs in the hall", user_id="ana")
    for hour in range(1, 30):
        now[0] = hour * 3_600.0
        assert remembering.recall(plan(ASKED, *TOOLS * hour)).block == first
    now[0] += 10 * 86_400.0
    assert remembering.recall(plan(ASKED, *TOOLS)).block != first


def test_a_block_outlives_many_requests_of_others(memory: Memory) -> None:
    remembering = Remembering(lambda: memory)
    first = remembering.recall(plan(ASKED)).block
    memory.add("The spare key of the shed hangs in the hall", user_id="ana")
    for number in range(600):
        remembering.recall(plan({"role": "user", "content": f"number {number}"}, user="bob"))
    assert remembering.recall(plan(ASKED, *TOOLS)).block == first


def test_a_memory_that_was_changed_ends_a_block(memory: Memory) -> None:
    remembering = Remembering(lambda: memory)
    found = remembering.recall(plan(ASKED))
    memory.update(found.ids[0], "The spare key is in the shed", user_id="ana")
    assert "shed" in remembering.recall(plan(ASKED, *TOOLS)).block


def test_what_is_kept_of_a_long_memory_is_not_its_text(memory: Memory) -> None:
    memory.add("the spare key " + "of the house at the lake " * 20_000, user_id="ana")
    remembering = Remembering(lambda: memory)
    found = remembering.recall(plan(ASKED))
    assert len(found.ids) == 2
    assert max(len(kept) for _, kept in found.memories) < 100
    assert remembering.recall(plan(ASKED, *TOOLS)) is found

"""Answers keep their budget whatever the language, and whatever has to be escaped in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from remanence.kernels.packing import estimate_tokens
from remanence.runtime.memory import Memory
from remanence.server.mcp.budget import data_tokens
from remanence.server.mcp.tools import dumped
from tests.server.mcp.support import caller, main_box

TEXTS = {
    "english": "The ladder stands behind the shed and the key hangs near the door. ",
    "german": "Donaudampfschifffahrtsgesellschaftskapitän ",
    "chinese": "梯子在棚子后面，钥匙挂在门边。",
    "hindi": "सीढ़ी शेड के पीछे है और चाबी दरवाज़े के पास लटकी है। ",
    "thai": "บันไดอยู่หลังเพิงและกุญแจแขวนอยู่ใกล้ประตู ",
    "arabic": "السلم خلف السقيفة والمفتاح معلق بجانب الباب. ",
    "emoji": "🪜🏠🔑🚪👨‍👩‍👧‍👦 ",
    "escapes": 'key\x01\x02"\\\n\t',
    "blanks": " " * 50 + "x",
}


@pytest.mark.parametrize("language", TEXTS)
def test_answers_keep_their_budget_in_every_language(tmp_path: Path, language: str) -> None:
    text = TEXTS[language]
    with Memory(tmp_path / "memory.db", background=False) as memory, main_box(memory, user_id="ana") as box:
        for number in range(30):
            memory.add(f"{number} {text * (1 + number * 3)}", user_id="ana")
        tools = {tool.name: tool for tool in box.tools}
        for name, asked in (
            ("memory_context", {"query": text, "limit": 30}),
            ("search_memories", {"query": text, "limit": 30}),
            ("search_memories", {"limit": 30}),
        ):
            for budget in (400, 1_000, 5_000):
                found = tools[name].call({**asked, "max_tokens": budget}, box.admit(caller()))
                assert estimate_tokens(found.text) <= budget
                assert data_tokens(dumped(found.content)) <= budget
                assert found.text.count("\n") >= 3

"""LangMem's tools, with their real code, on our store."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langmem")

from langmem import create_manage_memory_tool, create_search_memory_tool  # type: ignore[import-untyped]

from remanence.compat.langgraph import RemanenceStore

NAMESPACE = ("memories", "{langgraph_user_id}")


def config(user: str) -> dict[str, Any]:
    return {"configurable": {"langgraph_user_id": user}}


def test_a_memory_is_created_found_updated_and_deleted(tmp_path: Path) -> None:
    with RemanenceStore(tmp_path / "s.db") as store:
        manage = create_manage_memory_tool(NAMESPACE, store=store)
        search = create_search_memory_tool(NAMESPACE, store=store)
        said = manage.invoke(
            {"content": "Team prefers Python for the backend", "action": "create"}, config=config("ana")
        )
        id = re.search(r"[0-9a-f-]{36}", said)
        assert id is not None
        found = json.loads(search.invoke({"query": "which language for the backend?"}, config=config("ana")))
        assert [(row["key"], row["value"]) for row in found] == [
            (id[0], {"content": "Team prefers Python for the backend"})
        ]
        assert found[0]["score"] > 0.3
        manage.invoke({"id": id[0], "content": "Team prefers Go", "action": "update"}, config=config("ana"))
        again = json.loads(search.invoke({"query": "language"}, config=config("ana")))
        assert [row["value"] for row in again] == [{"content": "Team prefers Go"}]
        assert again[0]["created_at"] == found[0]["created_at"]
        manage.invoke({"id": id[0], "action": "delete"}, config=config("ana"))
        assert json.loads(search.invoke({"query": "language"}, config=config("ana"))) == []


def test_users_do_not_see_each_other_and_the_tools_run_asynchronously(tmp_path: Path) -> None:
    async def main(store: RemanenceStore) -> list[Any]:
        manage = create_manage_memory_tool(NAMESPACE, store=store)
        search = create_search_memory_tool(NAMESPACE, store=store, response_format="content_and_artifact")
        await asyncio.gather(
            *(
                manage.ainvoke({"content": f"{user} likes tea", "action": "create"}, config=config(user))
                for user in ("acme", "acme-corp", "acm")
            )
        )
        return [
            [row["value"]["content"] for row in json.loads(await search.ainvoke({"query": "tea"}, config=config(user)))]
            for user in ("acme", "acme-corp", "acm")
        ]

    with RemanenceStore(tmp_path / "s.db") as store:
        assert asyncio.run(main(store)) == [["acme likes tea"], ["acme-corp likes tea"], ["acm likes tea"]]

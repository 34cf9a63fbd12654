"""Embedding anew and rebuilding in parts, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from remanence.core.scope import Scope
from remanence.runtime.bulk import ledger
from remanence.runtime.memory import Memory
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.deriving import Deriver
from tests.runtime.bulk.cases import Picky, chat, held, raw
from tests.runtime.bulk.test_importing import Stopped, stopping
from tests.runtime.conftest import Make

OTHER = "hash-7:64"


def vectors(memory: Memory, user: str = "ana") -> list[bytes | None]:
    return [row[-1] for row in held(memory.store, OTHER, user_id=user)]


def filled(on_disk: Make, path: Path, messages: int = 60, **options: Any) -> Memory:
    """A memory in a file of its own."""
    number = len(list(path.parent.glob("*.db")))
    memory = on_disk(f"{number}.db", **{"embedder": "hash", **options})
    memory.import_(chat(path, messages, users=("ana", "bo")))
    return memory


def test_missing_vectors_are_made_and_no_others(on_disk: Make, tmp_path: Path) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")
    with memory.bulk() as bulk:
        assert bulk.reembed(user_id="ana") == {"embedded": 0, "failed": []}
    memory._engine.embedder = HashEmbedder(seed=7)
    with memory.bulk() as bulk:
        with pytest.raises(Stopped):
            bulk.reembed(user_id="ana", size=8, progress=stopping(16))
        assert bulk.reembed(user_id="ana", size=8) == {"embedded": 14, "failed": []}
        assert bulk.reembed(everywhere=True, size=8) == {"embedded": 30, "failed": []}
    again = filled(on_disk, tmp_path / "chat.jsonl", embedder=HashEmbedder(seed=7))
    for user in ("ana", "bo"):
        assert vectors(memory, user) == vectors(again, user)
        assert None not in vectors(again, user)


def test_rebuilding_to_another_language_is_as_a_plain_one(on_disk: Make, tmp_path: Path) -> None:
    plain, memory = (filled(on_disk, tmp_path / "chat.jsonl") for _ in range(2))
    for one in (plain, memory):
        one.work(everywhere=True)
        one._engine.analyzer = type(one._engine.analyzer)("german")
    count = plain.rebuild(user_id="ana")
    with memory.bulk() as bulk:
        report = bulk.rebuild(user_id="ana", size=8)
    assert report == {"rebuilt": count, "failed": [], "before": 0}
    assert raw(held(memory.store, user_id="ana")) == raw(held(plain.store, user_id="ana"))
    assert sorted(map(str, held(memory.store, user_id="ana"))) == sorted(map(str, held(plain.store, user_id="ana")))
    assert memory.jobs(user_id="ana") == []


def test_a_rebuild_that_was_stopped_goes_on_and_the_next_begins_anew(on_disk: Make, tmp_path: Path) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")
    with memory.bulk() as bulk:
        with pytest.raises(Stopped):
            bulk.rebuild(user_id="ana", size=4, progress=stopping(10))
        report = bulk.rebuild(user_id="ana", size=4)
        assert report["before"] >= 4
        assert report["rebuilt"] + report["before"] == 30
        assert bulk.rebuild(user_id="ana", size=4) == {"rebuilt": 30, "failed": [], "before": 0}


@pytest.mark.parametrize("plain", [False, True])
def test_a_rebuild_that_came_between_undoes_what_was_done(on_disk: Make, tmp_path: Path, plain: bool) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")
    analyzer = memory._engine.analyzer
    with memory.bulk() as bulk:
        with pytest.raises(Stopped):
            bulk.rebuild(user_id="ana", size=4, progress=stopping(10))
        memory._engine.analyzer = type(analyzer)("german")
        if plain:
            memory.rebuild(user_id="ana")
        else:
            bulk.rebuild(user_id="ana")
        memory._engine.analyzer = analyzer
        assert bulk.rebuild(user_id="ana")["rebuilt"] == 30
    assert not [line for line in ledger._lines(memory._engine, Scope(user_id="ana")) if "rebuild" in line.plan["run"]]


def test_parts_that_fail_are_named_and_tried_again(
    on_disk: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")
    analyse = Deriver.analyse

    def fail(self: Deriver, texts: Sequence[str]) -> list[tuple[str, ...]]:
        if any(text.endswith(" 4") for text in texts):
            raise RecursionError("too deep")
        return analyse(self, texts)

    with memory.bulk() as bulk:
        with monkeypatch.context() as patch:
            patch.setattr(Deriver, "analyse", fail)
            report = bulk.rebuild(user_id="ana", size=8)
        (failed,) = report["failed"]
        assert report["rebuilt"] == 29
        assert memory.get(failed["id"], user_id="ana")["memory"].endswith(" 4")  # type: ignore[index]
        assert failed["reason"] == "RecursionError: too deep"
        assert [job["state"] for job in memory.jobs(user_id="ana")] == ["dead"]
        again = bulk.rebuild(user_id="ana")
        assert again["failed"] == []
        assert again["rebuilt"] + again["before"] == 30
        assert again["before"] > 0


def test_an_embedder_that_fails_costs_vectors_and_no_terms(on_disk: Make, tmp_path: Path) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")
    memory._engine.analyzer = type(memory._engine.analyzer)("german")
    memory._engine.embedder = Picky("4")
    with memory.bulk() as bulk:
        report = bulk.rebuild(user_id="ana", derived=False)
    assert [row["reason"] for row in report["failed"]] == ["ZeroDivisionError: no vector for this"]
    whole = filled(on_disk, tmp_path / "chat.jsonl", language="german")
    assert [row[-2] for row in held(memory.store, user_id="ana")] == [
        row[-2] for row in held(whole.store, user_id="ana")
    ]


def test_what_was_erased_meanwhile_is_passed_over(on_disk: Make, tmp_path: Path) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")

    def erase(done: int, _: int | None) -> None:
        if memory.stats(user_id="ana")["memories"] == 30:
            memory.erase([item["id"] for item in memory.get_all(user_id="ana", limit=20)["results"]], user_id="ana")

    with memory.bulk() as bulk:
        report = bulk.rebuild(user_id="ana", size=4, derived=False, progress=erase)
    assert report["failed"] == []
    assert 10 <= report["rebuilt"] < 30


def test_work_does_all_that_is_due(on_disk: Make, tmp_path: Path) -> None:
    memory = filled(on_disk, tmp_path / "chat.jsonl")
    with memory.bulk() as bulk:
        assert bulk.work()["turns"] == 60
    assert memory.jobs(user_id="ana") == memory.jobs(user_id="bo") == []

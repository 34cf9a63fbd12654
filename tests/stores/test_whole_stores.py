"""Which stores can be looked after as a whole, and which lie somewhere where they can be examined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remanence.runtime.memory import Memory
from remanence.stores.postgres import PostgresStore
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.port import Inspectable, Surveyable
from remanence.substrates.records.reference import MemoryStore


def test_every_store_says_whose_records_it_holds(tmp_path: Path) -> None:
    file = SqliteStore(tmp_path / "one.db")
    assert isinstance(file, Surveyable)
    assert isinstance(MemoryStore(), Surveyable)
    assert isinstance(file, Inspectable)
    assert not isinstance(MemoryStore(), Inspectable)
    file.close()


@pytest.mark.parametrize("name", ["scopes", "tallies", "place", "check", "verify_erasure"])
def test_file_and_database_can_both_be_examined(name: str) -> None:
    assert hasattr(SqliteStore, name)
    assert hasattr(PostgresStore, name)


class Elsewhere(MemoryStore):
    """A store of somebody else's that lies somewhere."""

    place = "elsewhere:7"

    def check(self) -> list[str]:
        return ["it leaks"]

    def verify_erasure(self, erased: Any, phrases: Any = ()) -> Any:
        return Found([*erased], [*phrases])


class Found:
    """What it says it found."""

    clean = False

    def __init__(self, ids: list[str], phrases: list[str]) -> None:
        self.ids, self.phrases = ids, phrases

    def as_dict(self) -> dict[str, Any]:
        return {"clean": False, "ids": self.ids, "phrases": self.phrases, "drawers": {}}


def test_whatever_keeps_the_protocol_is_asked() -> None:
    memory = Memory(store=Elsewhere(), background=False, user_id="ana")
    id = memory.add("the key is under the pot")["results"][0]["id"]
    assert memory.verify_erasure([id], ["pot"]) == {"clean": False, "ids": [id], "phrases": ["pot"], "drawers": {}}
    assert "elsewhere:7" in repr(memory)


def test_what_lies_nowhere_is_searched_through_the_port() -> None:
    memory = Memory(":memory:", background=False, user_id="ana")
    receipt = memory.erase(memory.add("the key is under the pot")["results"][0]["id"])
    assert memory.verify_erasure(receipt, ["pot"])["clean"]

from __future__ import annotations

from typing import Any

import pytest

from remanence.core.errors import InvalidInput, NotFound
from remanence.runtime.memory import Memory
from tests.runtime.conftest import Make

SECRET = "the vault code is eleven purple walruses"


def test_erasing_a_scope_leaves_a_receipt_and_nothing_else(memory: Memory) -> None:
    memory.add([SECRET, "the gate squeaks"], user_id="ana", metadata={"note": "walruses again"})
    memory.search("vault", user_id="ana")
    memory.add("the gate is green", user_id="bob")
    receipt = memory.erase(user_id="ana", reason="she asked for it")
    assert len(receipt["ids"]) == 2
    assert receipt["scope"] == {"user_id": "ana"}
    assert receipt["reason"] == "she asked for it"
    assert receipt["counts"]["versions"] == 2
    assert "walrus" not in str(receipt)
    assert memory.search("vault", user_id="ana")["results"] == []
    assert memory.get_all(user_id="ana")["results"] == []
    assert memory.receipts(user_id="ana") == [receipt]
    report = memory.verify_erasure(receipt, [SECRET, "walruses again"])
    assert report["clean"], report
    assert (report["ids"], report["phrases"]) == (2, 2)
    assert len(memory.get_all(user_id="bob")["results"]) == 1


def test_every_version_of_what_is_erased_goes(memory: Memory) -> None:
    id = memory.add(SECRET, user_id="ana")["results"][0]["id"]
    memory.update(id, "the vault has a new code", user_id="ana")
    other = memory.add("stays", user_id="ana")["results"][0]["id"]
    receipt = memory.erase(id, user_id="ana")
    assert receipt["ids"] == [id]
    with pytest.raises(NotFound):
        memory.history(id, user_id="ana")
    assert memory.verify_erasure(receipt, [SECRET])["clean"]
    assert memory.get(other, user_id="ana") is not None


def test_several_ids_can_be_erased_at_once_or_none(memory: Memory) -> None:
    ids = [row["id"] for row in memory.add(["one", "two", "three"], user_id="ana")["results"]]
    with pytest.raises(NotFound):
        memory.erase([ids[0], "01ARZ3NDEKTSV4RRFFQ69G5FAV"], user_id="ana")
    assert len(memory.get_all(user_id="ana")["results"]) == 3
    assert memory.erase(iter(ids[:2]), user_id="ana")["ids"] == sorted(ids[:2])
    assert [item["memory"] for item in memory.get_all(user_id="ana")["results"]] == ["three"]


def test_the_verifier_finds_what_is_still_there(memory: Memory) -> None:
    memory.add(SECRET, user_id="ana")
    id = memory.add("something else", user_id="ana")["results"][0]["id"]
    receipt = memory.erase(id, user_id="ana")
    report = memory.verify_erasure(receipt, [SECRET], user_id="ana")
    assert not report["clean"]
    assert {finding["kind"] for finding in report["findings"]} & {"phrase", "fragment"}


def test_ids_that_are_still_there_are_found(memory: Memory) -> None:
    id = memory.add(SECRET, user_id="ana")["results"][0]["id"]
    report = memory.verify_erasure([id], user_id="ana")
    assert [finding["what"] for finding in report["findings"]][:1] == [id]


@pytest.mark.parametrize("phrases", ["one text", [7]], ids=repr)
def test_phrases_are_a_list_of_texts(memory: Memory, phrases: Any) -> None:
    receipt = memory.erase(user_id="ana")
    with pytest.raises(InvalidInput, match="phrases"):
        memory.verify_erasure(receipt, phrases)


def test_an_index_in_use_forgets_too(on_disk: Make) -> None:
    writer, reader = on_disk(), on_disk()
    writer.add(SECRET, user_id="ana")
    assert reader.search("vault code", user_id="ana")["results"]
    writer.erase(user_id="ana")
    assert reader.search("vault code", user_id="ana")["results"] == []
    assert reader.stats(user_id="ana")["versions"] == 0

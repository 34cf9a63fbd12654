from __future__ import annotations

from typing import Any

import pytest

from remanence.core.errors import InvalidInput
from remanence.runtime.memory import Memory
from tests.runtime.conftest import Make


def found(memory: Memory, query: str, **options: Any) -> list[str]:
    return [item["memory"] for item in memory.search(query, user_id="ana", **options)["results"]]


@pytest.fixture
def kitchen(memory: Memory) -> Memory:
    memory.add_many(
        [
            {"content": "The kettle is on the stove", "name": "Ana", "metadata": {"room": "kitchen", "rating": 3}},
            {"content": "The kettle was a present from Tom", "name": "Bo", "metadata": {"room": "hall", "rating": 5}},
            {"content": "Plants get water on Fridays", "kind": "note", "metadata": {"room": "kitchen"}},
            {"content": "A tile in the bathroom is loose", "timestamp": "2025-05-01", "session_id": "s1"},
        ],
        user_id="ana",
    )
    return memory


def test_the_best_comes_first_and_scores_fall(kitchen: Memory) -> None:
    result = kitchen.search("who gave us the kettle? Tom?", user_id="ana")
    scores = [item["score"] for item in result["results"]]
    assert result["results"][0]["memory"] == "The kettle was a present from Tom"
    assert scores == sorted(scores, reverse=True)
    assert 0 < result["answerable"] < 1
    assert result["usage"]["ms"] >= 0
    assert "degraded" not in result


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"room": "kitchen"}, {"The kettle is on the stove", "Plants get water on Fridays"}),
        ({"metadata.rating": {"gte": 4}}, {"The kettle was a present from Tom"}),
        ({"speaker": {"$in": ["Ana", "Bo"]}}, {"The kettle is on the stove", "The kettle was a present from Tom"}),
        (
            {"OR": [{"kind": "note"}, {"session_id": "s1"}]},
            {"Plants get water on Fridays", "A tile in the bathroom is loose"},
        ),
        ({"event_at": {"lt": "2025-06-01"}}, {"A tile in the bathroom is loose"}),
        ({"user_id": "ana", "run_id": "s1"}, {"A tile in the bathroom is loose"}),
        ({"rating": "*", "NOT": [{"rating": 3}]}, {"The kettle was a present from Tom"}),
        ({"room": "attic"}, set()),
    ],
)
def test_filters_narrow_search_and_listing_alike(kitchen: Memory, filters: dict[str, Any], expected: set[str]) -> None:
    assert set(found(kitchen, "kettle plants tile", filters=filters)) == expected
    assert {item["memory"] for item in kitchen.get_all(user_id="ana", filters=filters)["results"]} == expected


def test_kinds_narrow_search(kitchen: Memory) -> None:
    assert found(kitchen, "water", kinds="note") == ["Plants get water on Fridays"]
    assert found(kitchen, "water", kinds=["fact", "note"]) == ["Plants get water on Fridays"]
    assert found(kitchen, "water", kinds=[]) == []


def test_both_names_of_the_limit_work(kitchen: Memory) -> None:
    assert found(kitchen, "kettle", limit=1) == found(kitchen, "kettle", top_k=1) == found(kitchen, "kettle")[:1]


def test_the_estimate_of_an_answer_does_not_depend_on_the_limit(kitchen: Memory) -> None:
    estimates = {kitchen.search("kettle", user_id="ana", limit=limit)["answerable"] for limit in (0, 1, 2, 10)}
    assert len(estimates) == 1


def test_a_threshold_leaves_out_what_scores_less(kitchen: Memory) -> None:
    scores = [item["score"] for item in kitchen.search("kettle present", user_id="ana")["results"]]
    kept = kitchen.search("kettle present", user_id="ana", threshold=scores[0])["results"]
    assert [item["score"] for item in kept] == scores[:1]
    assert found(kitchen, "kettle", threshold=1.0) == []
    assert len(found(kitchen, "kettle", threshold=0)) == 4


def test_explain_shows_every_channel(kitchen: Memory) -> None:
    (first, *_) = kitchen.search("kettle", user_id="ana", explain=True)["results"]
    assert {"lexical", "dense"} <= first["channels"].keys()
    assert "channels" not in kitchen.search("kettle", user_id="ana")["results"][0]


def test_uses_are_counted_with_the_next_write(kitchen: Memory) -> None:
    (item,) = kitchen.search("loose tile in the bathroom", user_id="ana", limit=1)["results"]
    before = kitchen.get(item["id"], user_id="ana")
    assert before is not None
    assert before["hits"] == 0
    kitchen.search("loose tile in the bathroom", user_id="ana", limit=1)
    kitchen.add("and another thing", user_id="ana", run_id="s9")
    after = kitchen.get(item["id"], user_id="ana")
    assert after is not None
    assert after["hits"] == 2
    assert kitchen.flush()["counted"] == 0


def test_uses_of_one_scope_do_not_leak_into_writes_of_another(kitchen: Memory) -> None:
    kitchen.search("kettle", user_id="ana", limit=1)
    kitchen.add("hello", user_id="bob")
    assert kitchen.flush()["counted"] == 1
    assert kitchen.flush()["counted"] == 0


def test_a_failed_write_loses_no_counts(kitchen: Memory) -> None:
    kitchen.search("kettle", user_id="ana", limit=1)
    with pytest.raises(InvalidInput):
        kitchen.add("x", user_id="ana", kind="no word!")
    assert kitchen.flush()["counted"] == 1


def test_closing_counts_what_was_used(on_disk: Make) -> None:
    memory = on_disk()
    memory.add("the kettle", user_id="ana")
    memory.search("kettle", user_id="ana")
    memory.close()
    (item,) = on_disk().get_all(user_id="ana")["results"]
    assert item["hits"] == 1


def test_many_uses_are_written_down_without_a_write(on_disk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remanence.runtime.engine.MOST_USES", 3)
    memory = on_disk()
    memory.add("the kettle", user_id="ana")
    for _ in range(4):
        memory.search("kettle", user_id="ana")
    (item,) = on_disk().get_all(user_id="ana")["results"]
    assert item["hits"] == 4


def test_pages_follow_each_other(memory: Memory) -> None:
    memory.add_many([f"number {n}" for n in range(25)], user_id="ana")
    seen: list[str] = []
    page = None
    while True:
        answer = memory.get_all(user_id="ana", limit=10, page=page)
        seen += [item["memory"] for item in answer["results"]]
        page = answer["next"]
        if page is None:
            break
    assert seen == [f"number {n}" for n in range(25)]
    newest = memory.get_all(user_id="ana", top_k=2, newest_first=True)
    assert [item["memory"] for item in newest["results"]] == ["number 24", "number 23"]
    with pytest.raises(InvalidInput, match="page"):
        memory.get_all(user_id="ana", page="2")


def test_stats_count_what_is_there(kitchen: Memory) -> None:
    stats = kitchen.stats(user_id="ana")
    assert (stats["memories"], stats["versions"], stats["sessions"], stats["speakers"]) == (4, 4, 1, 2)
    assert stats["kinds"] == {"note": 1, "turn": 3}
    assert list(stats["vectors"].values()) == [4]
    assert stats["first_event_at"].startswith("2025-05-01")


def test_scores_do_not_come_from_other_scopes(memory: Memory) -> None:
    memory.add("the kettle", user_id="ana")
    alone = memory.search("kettle", user_id="ana")["results"][0]["score"]
    memory.add_many([f"kettle {n}" for n in range(50)], user_id="bob")
    assert memory.search("kettle", user_id="ana")["results"][0]["score"] == alone

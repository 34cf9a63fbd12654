from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import bm25_naive
from remanence.kernels.packing import estimate_tokens
from remanence.server.mcp.graph import Entity, Relation
from remanence.server.mcp.graph_pages import Page, Pieces, Ranking, page, pieces

ANA = Entity("Ana", "person", ("lives in Oslo", "moved house in May", "plays the violin"))
BO = Entity("Bo", "person", ("lives in Bergen", "was in Oslo once, and Oslo was cold"))
REX = Entity("Rex", "dog", ("sleeps in the shed",))
OSLO = Entity("Oslo", "city", ())
CITY = Entity("Trondheim", "city_of_norway", ())


def ranking(*entities: Entity) -> Ranking:
    return Ranking({entity.name: entity for entity in entities}, Analyzer())


def names(found: list[Entity]) -> list[str]:
    return [entity.name for entity in found]


def test_words_find_what_the_whole_query_does_not() -> None:
    """The official server looks for the query as one piece, and finds nobody here."""
    query = "who is living in Oslo?"
    everybody = (ANA, BO, REX, OSLO)
    assert not any(query in text for entity in everybody for text in (entity.name, *entity.observations))
    found = names(ranking(*everybody).search(query))
    assert found[0] == "Oslo"
    assert set(found) == {"Oslo", "Ana", "Bo"}


@pytest.mark.parametrize("query", ["f_norw", "n in M", "slo", "VIOL", "."])
def test_all_that_the_official_server_finds_is_found(query: str) -> None:
    everybody = (ANA, BO, REX, OSLO, CITY)
    theirs = {
        entity.name
        for entity in everybody
        if any(query.lower() in text.lower() for text in (entity.name, entity.type, *entity.observations))
    }
    assert theirs <= set(names(ranking(*everybody).search(query)))


def test_nothing_is_found_for_words_that_nobody_said() -> None:
    assert ranking(ANA, BO, REX).search("zeppelin") == []
    assert ranking().search("zeppelin") == []


words = st.lists(st.sampled_from("oslo bergen violin dog shed house may cold".split()), min_size=1, max_size=6)


@given(st.lists(words, min_size=1, max_size=8), words)
def test_the_order_is_that_of_bm25_as_it_is_written_down(documents: list[list[str]], query: list[str]) -> None:
    entities = [Entity(str(number) * 3, "", tuple(texts)) for number, texts in enumerate(documents)]
    found = ranking(*entities)
    numbers: dict[str, int] = {}

    def cut(texts: list[str]) -> list[int]:
        return [numbers.setdefault(term, len(numbers)) for text in texts for term in Analyzer("english").terms(text)]

    naive = bm25_naive([cut([entity.name, *entity.observations]) for entity in entities], cut(query))
    order = found._by_words(found._all, found.terms(" ".join(query)))
    assert set(order) == {row for row, score in enumerate(naive) if score > 0}
    scores = [naive[row] for row in order]
    assert scores == pytest.approx(sorted(scores, reverse=True), rel=1e-4)


def test_a_ranking_made_from_an_earlier_one_is_as_one_made_anew() -> None:
    older = ranking(ANA, REX, OSLO)
    grown = Entity("Rex", "dog", (*REX.observations, "barks at violins"))
    now = {entity.name: entity for entity in (BO, grown, ANA)}
    again, anew = Ranking(now, Analyzer(), older), Ranking(now, Analyzer())
    for query in ("violin", "oslo", "dog", "was in Oslo", "shed", "Bergen person"):
        assert again.search(query) == anew.search(query)
    assert OSLO not in again.search("Oslo")
    assert older.search("barks") == []


def test_what_answers_is_told_first() -> None:
    told = ranking(ANA).told_first(ANA, "does she play an instrument like the violin?")
    assert told.observations[0] == "plays the violin"
    assert sorted(told.observations) == sorted(ANA.observations)


def test_relations_follow_when_both_ends_were_shown() -> None:
    found = pieces([ANA, REX, OSLO], [("Rex", "Ana", "follows"), ("Ana", "Zoe", "knows"), ("Zoe", "Yan", "knows")])
    assert found == [ANA, ("Ana", "Zoe", "knows"), REX, ("Rex", "Ana", "follows"), OSLO]


texts = st.text(alphabet="ab c\n\"'ö漢🎻\\", max_size=60)
entities = st.builds(Entity, texts, texts, st.lists(texts, max_size=6).map(tuple))
relations = st.tuples(texts, texts, texts)


def as_json(shown: Page) -> str:
    return json.dumps(
        {
            "entities": [
                {"name": entity.name, "entityType": entity.type, "observations": entity.observations}
                for entity in shown.entities
            ],
            "relations": [{"from": a, "to": b, "relationType": kind} for a, b, kind in shown.relations],
        },
        ensure_ascii=False,
        indent=2,
    )


def read_all(found: Pieces, budget: int) -> list[Page]:
    pages = [page(found, budget)]
    while (ahead := pages[-1].next) is not None:
        pages.append(page(found, budget, ahead))
        assert len(pages) < 1000
    return pages


@given(st.lists(entities, max_size=8), st.lists(relations, max_size=5), st.integers(150, 600))
def test_pages_together_show_everything_once_and_each_keeps_its_budget(
    some: list[Entity], others: list[Relation], budget: int
) -> None:
    found: list[Entity | Relation] = [*some, *others]
    pages = read_all(found, budget)
    shown = [entity for one in pages for entity in one.entities]
    assert [text for entity in shown for text in entity.observations] == [t for e in some for t in e.observations]
    assert list(dict.fromkeys(entity.name for entity in shown)) == list(dict.fromkeys(e.name for e in some))
    assert [relation for one in pages for relation in one.relations] == others
    for one in pages:
        assert estimate_tokens(as_json(one)) <= budget + 16


def test_an_observation_longer_than_any_answer_is_cut_and_says_so() -> None:
    giant = Entity("Giant", "text", ("word " * 100_000, "small"))
    first = page([giant, REX], 300)
    assert first.truncated
    assert first.entities[0].observations[0].endswith("…")
    assert estimate_tokens(as_json(first)) <= 316
    assert first.next == (0, 1)
    second = page([giant, REX], 300, (0, 1))
    assert [entity.observations for entity in second.entities] == [("small",), ("sleeps in the shed",)]
    assert second.next is None


def test_a_giant_name_is_cut() -> None:
    shown = page([Entity("n" * 1_000_000, "t" * 1_000_000, ("x",)), ("a" * 1_000_000, "b", "c")], 300)
    assert shown.truncated
    assert estimate_tokens(as_json(shown)) <= 316


def test_a_place_beyond_the_end_shows_nothing() -> None:
    assert page([REX], 300, (7, 0)) == Page()

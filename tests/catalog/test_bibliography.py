from __future__ import annotations

import json
import re

import pytest

from remanence.catalog import bibliography, index, listing
from remanence.catalog.bibliography import KINDS, publication, publications, realised_by, status
from remanence.core.card import SUBSTRATES, Card, EntryCard
from remanence.core.errors import CatalogError, InvalidInput


def test_every_number_of_the_plan_is_one_publication() -> None:
    numbers = [one.number for one in publications() if one.number is not None]
    assert numbers == list(range(1, 174))
    assert [one.key for one in publications() if one.number is None] == ["locomo"]


def test_keys_and_titles_are_unique() -> None:
    for field in ("key", "title", "name"):
        values = [getattr(one, field) for one in publications()]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("one", publications(), ids=lambda one: one.key)
def test_an_entry_is_whole(one: bibliography.Publication) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", one.key)
    assert one.title
    assert one.name
    assert 2010 < one.year < 2030
    assert one.kinds
    assert set(one.kinds) <= set(KINDS)
    assert set(one.substrates) <= set(SUBSTRATES)
    assert ("system" in one.kinds) == bool(one.substrates), "a system has substrates, anything else has none"
    assert re.fullmatch(r"([\w.-]+/[\w.-]+)?", one.source)


def test_the_file_holds_facts_alone() -> None:
    rows = json.loads(bibliography._FILE.read_text(encoding="utf-8"))
    assert {tuple(row) for row in rows} == {("key", "number", "name", "title", "year", "kinds", "substrates", "source")}


def test_every_card_names_a_publication_or_none() -> None:
    keys = {one.key for one in publications()}
    cards: list[Card | EntryCard] = [*index.cards().values(), *index.entry_cards().values()]
    assert {card.paper for card in cards} <= keys | {""}


def test_status_follows_from_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    hema = publication("hema")
    monkeypatch.setattr(index, "_index", dict)
    assert status(hema) == "planned"
    card = Card(slug="other_name", substrate="records", title="", paper="hema", claim="c")
    monkeypatch.setattr(index, "_index", lambda: {"other_name": index.Found(card, "m")})
    assert (status(hema), realised_by(hema)) == ("working", ("other_name",))
    # A slug alone makes nothing work.
    card = Card(slug="hema", substrate="records", title="", paper="", claim="c")
    monkeypatch.setattr(index, "_index", lambda: {"hema": index.Found(card, "m")})
    assert status(hema) == "planned"


def test_data_sets_realise_their_benchmarks() -> None:
    assert realised_by(publication("locomo")) == ("locomo",)
    # The data set is there; what the publication says of building systems is not.
    assert (publication("longmemeval").kinds, status(publication("longmemeval"))) == (("system", "benchmark"), "partly")
    assert status(publication("locomo")) == "working"


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="hippo_rag"):
        publication("hipporag")


def test_the_list_holds_each_publication_once_or_its_cards() -> None:
    rows = listing.listed()
    number = listing.counts(rows)
    assert number["publications"] == 174
    assert number["planned"] == sum(status(one) == "planned" for one in publications())
    assert number["partly"] == sum(status(one) == "partly" for one in publications())
    assert number["mechanisms"] == len(index.cards())
    assert number["other"] == len(index.entry_cards())
    assert len(rows) == number["mechanisms"] + number["other"] + number["planned"] + number["partly"]


def test_what_is_asked_is_what_is_listed() -> None:
    rows = listing.listed()
    assert listing.select(rows) == rows
    both = listing.select(rows, substrate="policy", kind="system", status="planned")
    assert both
    assert all("policy" in row.substrates and row.status == "planned" for row in both)
    able = listing.select(rows, can=["update", "forget"])
    assert "recall" in [row.slug for row in able]
    assert all({"update", "forget"} <= set(row.can) for row in able)
    assert listing.select(rows, can=["fly"]) == []
    assert listing.select(rows, needs=["nothing on earth"]) == []


def test_witnesses_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from remanence.witnesses.records import recall

    assert index.witness("recall") is recall.witness
    with pytest.raises(InvalidInput, match="did you mean recall"):
        index.witness("recal")
    monkeypatch.setattr(recall, "witness", None)
    with pytest.raises(CatalogError, match=r"witnesses/records/recall\.py lacks the function"):
        index.witness("recall")
    card = Card(slug="bare", substrate="records", title="", paper="", claim="c")
    monkeypatch.setattr(index, "_index", lambda: {"bare": index.Found(card, "m")})
    with pytest.raises(CatalogError, match=r"'bare' has no witness.*remanence/witnesses/records/bare\.py"):
        index.witness("bare")

"""MemoryBank: the curve, the diary it works on, and what a model may add to it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.mechanisms.records.memory_bank import DAY, EXCHANGE, OVERVIEW, MemoryBank
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.base import TURN
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Record
from remanence.substrates.records.probe import drive, observe
from tests.support.llm_server import Request, Service, always, error, said, serving

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
LONG = START + timedelta(days=400)
TALK = (
    ("Ana", "user", "I moved to Bergen last week."),
    ("Aide", "assistant", "Congratulations! How is the harbour?"),
    ("Ana", "user", "I love rowing and my favourite food is ramen."),
    ("Aide", "assistant", "Rowing suits the fjord."),
)


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def items(day: float = 0, session: str = "s", talk: Sequence[tuple[str, str, str]] = TALK) -> list[Item]:
    return [
        Item(text, speaker=who, role=role, at=at(day) + timedelta(minutes=i), session=session)
        for i, (who, role, text) in enumerate(talk)
    ]


def fact(text: str, day: float = 0) -> Item:
    """Something said alone: an exchange of its own."""
    return Item(text, speaker="Ana", role="user", at=at(day), session=text)


def alive(bank: MemoryBank, kind: str = EXCHANGE) -> list[str]:
    return [one.text for one in bank.current(LONG).of(kind).values() if one.state != "expired"]


def one(bank: MemoryBank) -> Record:
    (record,) = bank.get(list(bank.current(LONG).of(EXCHANGE)))
    assert record is not None
    return record


# The curve.


def test_retention_is_one_at_first_falls_with_time_and_rises_with_strength() -> None:
    bank = MemoryBank(forgetting="none")
    bank.write([fact("The key lies under the pot")], now=START)
    bank.consolidate(now=START)
    records = [one(bank)]
    assert bank.retained(records, START) == pytest.approx([1.0])
    falling = [bank.retained(records, at(days))[0] for days in (0, 0.5, 1, 2, 5)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 5
    assert falling[2] == pytest.approx(math.exp(-1))
    bank.read("key", 1, now=START)
    assert bank.retained([one(bank)], at(2))[0] == pytest.approx(math.exp(-1))


def test_a_recall_starts_the_time_anew() -> None:
    bank = MemoryBank(forgetting="none")
    bank.write([fact("The key lies under the pot")], now=START)
    bank.consolidate(now=START)
    bank.read("key", 1, now=at(3))
    assert (one(bank).strength, one(bank).last_hit) == (2, at(3))
    assert bank.retained([one(bank)], at(4))[0] == pytest.approx(math.exp(-1 / 2))


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_survival_grows_linearly_with_recalls_on_consecutive_days(scale: float) -> None:
    lasted = []
    for recalls in range(4):
        bank = MemoryBank(scale=scale)
        bank.write([fact("The key lies under the pot")], now=START)
        bank.consolidate(now=START)
        for day in range(recalls):
            bank.read("key", 1, now=at(day))
        last = at(max(recalls - 1, 0))
        hours = next(
            hours for hours in range(2000) if bank.consolidate(now=last + timedelta(hours=hours)) and not alive(bank)
        )
        lasted.append(hours / 24)
    assert lasted == pytest.approx([scale * strength * math.log(10) for strength in (1, 2, 3, 4)], abs=1 / 24)


class PublicCode(MemoryBank):
    """Reads `-t / 5 * S` from left to right, as the public code does."""

    def retained(self, records: Sequence[Record], now: datetime) -> NDArray[np.float64]:
        since = [one.last_hit or one.event_at for one in records]
        days = [(now - moment) / timedelta(days=1) for moment in since]
        return np.array([math.exp(-t / 5 * one.strength) for t, one in zip(days, records, strict=True)])


def recalled_outlives(bank: MemoryBank) -> bool:
    bank.write([fact("The key lies under the pot"), fact("The boat is called Svale")], now=START)
    bank.consolidate(now=START)
    for _ in range(3):
        bank.read("boat called", 1, now=START)
    bank.consolidate(now=at(4))
    return alive(bank) == ["Ana: The boat is called Svale"]


def test_known_defect_of_public_code_what_is_recalled_fades_faster() -> None:
    assert recalled_outlives(MemoryBank())
    assert not recalled_outlives(PublicCode())


def test_a_capacity_lets_the_least_retained_go() -> None:
    bank = MemoryBank(forgetting="none", capacity=2)
    texts = ["The key lies under the pot", "The boat is called Svale", "The dentist is on Tuesday"]
    for day, text in enumerate(texts):
        bank.write([fact(text, day)], now=at(day))
    bank.read("key under pot", 1, now=at(2))
    bank.consolidate(now=at(3))
    assert alive(bank) == [f"Ana: {texts[0]}", f"Ana: {texts[2]}"]
    assert MemoryBank(capacity=None).consolidate(now=START) == []
    broken = MemoryBank(capacity=-1)
    broken.write([fact("x")], now=START)
    with pytest.raises(InvalidInput, match="capacity"):
        broken.consolidate(now=START)
    with pytest.raises(InvalidInput, match="sometimes"):
        MemoryBank(forgetting="sometimes")  # type: ignore[arg-type]


def test_sampled_forgetting_keeps_about_the_share_of_the_retention_and_repeats() -> None:
    def kept(seed: int) -> list[str]:
        bank = MemoryBank(forgetting="sample", seed=seed)
        bank.write([fact(f"Parcel {i} is on its way") for i in range(400)], now=START)
        bank.consolidate(now=START)
        bank.consolidate(now=at(1))
        first = alive(bank)
        bank.consolidate(now=at(1))
        assert alive(bank) == first
        return first

    assert kept(0) == kept(0) != kept(1)
    # Three deviations of a binomial of 400 draws.
    assert abs(len(kept(2)) / 400 - math.exp(-1)) < 3 * math.sqrt(0.37 * 0.63 / 400)


def test_old_talks_do_not_fade_as_they_are_told() -> None:
    bank = MemoryBank()
    bank.write(items(), now=LONG)
    bank.consolidate(now=LONG + timedelta(days=1))
    assert len(alive(bank)) == 2


def test_what_faded_is_not_found_and_takes_its_empty_day_along() -> None:
    bank = MemoryBank()
    bank.write([*items(0), *items(2, "t", (("Ana", "user", "The boat is called Svale."),))], now=at(2))
    bank.consolidate(now=at(2))
    bank.read("boat Svale", 1, now=at(4))
    bank.consolidate(now=at(5))
    assert alive(bank) == ["Ana: The boat is called Svale."]
    assert [text[:10] for text in alive(bank, DAY)] == ["2026-03-03"]
    assert {hit.text[:10] for hit in bank.read("moved to Bergen", 9, now=at(5))} == {"Ana: The b", "2026-03-03"}
    assert "Bergen" not in bank.context("moved to Bergen", now=at(5))
    assert len(bank.current(LONG).of(TURN)) == 5


def test_a_day_stays_while_one_of_its_exchanges_does() -> None:
    bank = MemoryBank()
    bank.write(items(), now=at(0))
    bank.consolidate(now=at(0))
    (found,) = bank.read(f"{TALK[0][2]} {TALK[1][2]}", 1, now=at(2))
    (day,) = alive(bank, DAY)
    bank.consolidate(now=at(4))
    assert alive(bank) == [found.text]
    assert alive(bank, DAY) == [day]
    assert "ramen" in day


# The diary.


def test_an_exchange_is_a_turn_and_its_reply() -> None:
    bank = MemoryBank()
    ids = bank.write(items(), now=START)
    exchanges = list(bank.current(START).of(EXCHANGE).values())
    assert [[source.id for source in one.sources] for one in exchanges] == [ids[:2], ids[2:]]
    assert exchanges[0].text == f"Ana: {TALK[0][2]}\nAide: {TALK[1][2]}"


def test_a_reply_joins_the_exchange_which_keeps_its_strength() -> None:
    bank = MemoryBank()
    (asked,) = bank.write(items()[:1], now=START)
    assert [hit.sources for hit in bank.read("moved to Bergen", 3, now=START)] == [(asked,)]
    (replied,) = bank.write(items()[1:2], now=START)
    assert [hit.sources for hit in bank.read("moved to Bergen", 3, now=START)] == [(asked, replied)]
    assert (one(bank).hits, one(bank).strength) == (2, 3)


def test_a_reply_does_not_undo_a_correction_of_the_exchange() -> None:
    bank = MemoryBank()
    bank.write(items()[:1], now=START)
    bank.update(one(bank).id, "Ana moved to Tromso", now=START)
    bank.write(items()[1:2], now=START)
    assert alive(bank) == ["Ana moved to Tromso", f"Aide: {TALK[1][2]}"]


def test_neither_another_session_nor_another_day_nor_the_same_voice_replies() -> None:
    for second in (
        Item("Hello", speaker="Bo", at=at(0), session="other"),
        Item("Hello", speaker="Bo", at=at(1), session="s"),
        Item("Hello", speaker="Ana", at=at(0), session="s"),
    ):
        bank = MemoryBank()
        bank.write([Item("Anyone there?", speaker="Ana", at=at(0), session="s"), second], now=at(1))
        bank.consolidate(now=at(1))
        assert sorted(alive(bank)) == sorted(["Ana: Anyone there?", f"{second.speaker}: Hello"])


def test_it_makes_the_same_of_one_write_and_of_many() -> None:
    told = [*items(0), *items(1, "t"), *items(2, "u")]
    at_once, bit_by_bit = MemoryBank(forgetting="none"), MemoryBank(forgetting="none")
    at_once.write(told, now=at(2))
    for item in told:
        bit_by_bit.write([item], now=at(2))
    for bank in (at_once, bit_by_bit):
        bank.consolidate(now=at(2))
    for kind in (EXCHANGE, DAY, OVERVIEW):
        assert sorted(alive(at_once, kind)) == sorted(alive(bit_by_bit, kind)) != []


def test_a_day_is_summed_up_when_the_next_begins_and_again_when_more_of_it_is_told() -> None:
    bank = MemoryBank()
    bank.write(items(), now=START)
    assert not bank.current(START).of(DAY)
    bank.write([fact("The boat is called Svale", 1)], now=at(1))
    (day,) = bank.current(START).of(DAY).values()
    assert day.text.startswith("2026-03-01\n")
    assert "Bergen" in day.text
    assert day.meta["preferences"] == [["Ana likes rowing", 1], ["Ana's favourite food is ramen", 1]]
    late = Item("I also sold my car to Viktor Holm.", speaker="Ana", at=at(0.2), session="s")
    bank.write([late], now=at(1))
    (again,) = bank.current(START).of(DAY).values()
    assert again.id == day.id
    assert "Viktor Holm" in again.text
    assert "Bergen" in again.text


def test_the_overview_and_the_portrait_follow_the_days() -> None:
    bank = MemoryBank()
    bank.write([*items(0), *items(1, "t")], now=at(1))
    bank.consolidate(now=at(1))
    (overview,) = bank.current(START).of(OVERVIEW).values()
    assert "Bergen" in overview.text
    assert overview.meta["portrait"].split("\n")[0] == "Ana likes rowing (2 times)"
    context = bank.context("Bergen", now=at(1))
    assert context.index("Ana likes rowing") < context.index("2026-03-01\nAna") < context.index("2026-03-02\nAna")
    assert bank.consolidate(now=at(1)) == []


def test_a_found_exchange_is_shown_with_its_neighbours_while_they_fit() -> None:
    talk = [("Ana", "user", f"The {word} door is locked.") for word in ("red", "blue", "green", "black", "white")]
    shown = {}
    for chunk in (0, 80, 10_000):
        bank = MemoryBank(chunk=chunk)
        bank.write(items(0, "s", talk), now=START)
        bank.write(items(0, "other", [("Ana", "user", "The grey door is open.")]), now=START)
        bank.consolidate(now=START)
        shown[chunk] = bank.context("green door", 1, now=START).split("2026-03-01\n")[-1].split("\n")
    assert shown[0] == ["Ana: The green door is locked."]
    assert shown[80] == ["Ana: The blue door is locked.", "Ana: The green door is locked."]
    assert shown[10_000] == [f"Ana: {text}" for _, _, text in talk]


# Living with it.


def test_memory_and_sqlite_agree(tmp_path: Path) -> None:
    kept = MemoryBank(store=SqliteStore(tmp_path / "m.db"), scope=Scope(user_id="ana"))
    plain = MemoryBank(scope=Scope(user_id="ana"))
    for bank in (kept, plain):
        drive(bank, 0)
        bank.consolidate(now=at(30))
        drive(bank, 1)
    assert observe(kept) == observe(plain)
    assert observe(MemoryBank(store=kept.store, scope=kept.scope)) == observe(plain)
    kept.store.close()


def test_restored_it_fades_as_it_would_have() -> None:
    bank, other = MemoryBank(), MemoryBank()
    bank.write([fact("The key lies under the pot"), fact("The boat is called Svale")], now=START)
    bank.consolidate(now=START)
    bank.read("boat called", 1, now=START)
    bank.read("boat called", 1, now=at(1))
    other.restore(bank.state())
    for one_of_both in (bank, other):
        one_of_both.consolidate(now=at(3))
    assert alive(other) == alive(bank) == ["Ana: The boat is called Svale"]


def test_forgetting_a_turn_takes_everything_that_says_it() -> None:
    bank = MemoryBank()
    ids = bank.write([*items(0), *items(1, "t", (("Ana", "user", "The boat is called Svale."),))], now=at(1))
    bank.consolidate(now=at(1))
    assert bank.forget([ids[0]], now=at(1)) == 1
    everything = [one.text + json.dumps(dict(one.meta)) for kind in (TURN, EXCHANGE, DAY, OVERVIEW)
                  for one in bank.current(LONG).of(kind).values()]  # fmt: skip
    assert not any("moved to Bergen" in text for text in everything)
    assert f"Aide: {TALK[1][2]}" in alive(bank)
    assert any("ramen" in text for text in alive(bank, DAY))
    assert alive(bank, OVERVIEW)


def test_what_faded_can_still_be_forgotten() -> None:
    bank = MemoryBank()
    ids = bank.write([*items(0), *items(9, "t", (("Ana", "user", "The boat is called Svale."),))], now=START)
    bank.consolidate(now=START)
    bank.consolidate(now=at(9))
    assert bank.forget(ids[:2], now=at(9)) == 2
    assert "moved to Bergen" not in json.dumps(bank.state())


def test_an_overview_that_was_forgotten_stays_away_until_there_is_another_day() -> None:
    bank = MemoryBank()
    bank.write(items(), now=START)
    bank.consolidate(now=START)
    bank.forget(list(bank.current(LONG).of(OVERVIEW)), now=START)
    bank.consolidate(now=START)
    assert alive(bank, OVERVIEW) == []
    bank.write([fact("The boat is called Svale", 1)], now=at(1))
    bank.consolidate(now=at(1))
    assert len(alive(bank, OVERVIEW)) == 1


def test_an_update_shows_in_exchange_day_and_overview() -> None:
    bank = MemoryBank()
    ids = bank.write(items(), now=START)
    bank.consolidate(now=START)
    bank.update(ids[0], "I moved to Tromso last week.", now=at(0.5))
    bank.consolidate(now=at(0.5))
    for kind in (EXCHANGE, DAY, OVERVIEW):
        assert any("Tromso" in text for text in alive(bank, kind)), kind
        assert not any("moved to Bergen" in text for text in alive(bank, kind)), kind


# With a model.


@pytest.fixture
def service() -> Iterator[Service]:
    pytest.importorskip("openai")
    with serving() as running:
        yield running


def with_model(service: Service, **options: Any) -> MemoryBank:
    return MemoryBank(
        llm=OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None), **options
    )


def good(request: Request) -> str:
    material = json.loads(request["messages"][1]["content"])
    if "conversation" in material:
        return json.dumps({"summary": f"Ana told {len(material['conversation'])} things.", "traits": ["Ana is glad"]})
    notes = [note for day in material["days"] for note in day["notes"]]
    return json.dumps({"overview": f"{len(material['days'])} days of news.", "portrait": f"Noted: {notes[0]}."})


@pytest.mark.loopback
def test_a_model_writes_day_overview_and_portrait(service: Service) -> None:
    service.answers = good
    bank = with_model(service)
    bank.write([*items(0), *items(1, "t")], now=at(1))
    bank.consolidate(now=at(1))
    assert alive(bank, DAY) == ["2026-03-01\nAna told 4 things.", "2026-03-02\nAna told 4 things."]
    assert alive(bank, OVERVIEW) == ["2 days of news."]
    assert bank.context("", now=at(1)) == "Noted: Ana is glad.\n\n2 days of news."
    asked = len(service.requests)
    assert asked == 4
    assert bank.consolidate(now=at(1)) == []
    assert len(service.requests) == asked


@pytest.mark.loopback
@pytest.mark.parametrize("answer", ["not json", "[]", '{"summary": 7}', '{"summary": "", "traits": []}', None])
def test_a_model_that_fails_costs_nothing(service: Service, answer: str | None) -> None:
    service.step = lambda request: error(500) if answer is None else said(answer)  # type: ignore[method-assign]
    bank, plain = with_model(service), MemoryBank()
    for either in (bank, plain):
        either.write(items(), now=START)
        either.consolidate(now=START)
    for kind in (EXCHANGE, DAY, OVERVIEW):
        assert alive(bank, kind) == alive(plain, kind) != []
    assert service.requests
    assert always(said("x"))({}).status == 200

"""HEMA: salience and pruning, the running summary, the prompt and its budget, and what a model may add."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.packing import estimate_tokens
from remanence.mechanisms.records.hema import COMPACT, OVERVIEW, Hema
from remanence.scenarios.dialogues import generate
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.base import TURN
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.probe import drive, observe
from tests.support.llm_server import Request, Service, error, said, serving

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
TALK = [Item(turn.text, speaker=turn.speaker, session=turn.session) for turn in generate(0, sessions=12).turns]


def items(texts: Sequence[str], speaker: str | None = "Ana") -> list[Item]:
    return [Item(text, speaker=speaker, at=NOW + timedelta(minutes=i)) for i, text in enumerate(texts)]


def filled(count: int, **options: Any) -> Hema:
    """A memory of numbered turns, told in one write."""
    hema = Hema(**options)
    hema.write(items([f"Crate {i} holds {i * 7} lemons." for i in range(count)]), now=NOW)
    return hema


def alive(hema: Hema) -> list[int]:
    """Numbers of the turns that are in the index."""
    turns = hema.current(NOW).of(TURN).values()
    return [int(turn.text.split()[1]) for turn in turns if turn.state != "expired"]


def texts(hema: Hema, kind: str) -> list[str]:
    return [record.text for record in hema.current(NOW).of(kind).values()]


# Salience and pruning.


def test_salience_is_age_and_bonus() -> None:
    hema = Hema(scale=2.0, decay=0.01, boost=0.3)
    found = hema.salience([0, 10, 500], [False, True, False])
    assert found.tolist() == pytest.approx([2.0, 2 * math.exp(-0.1) + 0.3, 2 * math.exp(-5)])


def test_known_defect_of_the_printed_formula_the_bonus_goes_to_the_idle() -> None:
    ages, lately = [50, 50], [True, False]
    right, printed = Hema(), Hema(bonus="idle")
    assert np.diff(right.salience(ages, lately)).item() == pytest.approx(-0.5)
    assert np.diff(printed.salience(ages, lately)).item() == pytest.approx(0.5)


class Reversed(Hema):
    """Lets what is new fade."""

    def salience(self, age: ArrayLike, retrieved: ArrayLike) -> NDArray[np.float64]:
        return -super().salience(age, retrieved)


def test_the_oldest_goes_first_and_as_many_as_the_fraction_says() -> None:
    # Of 10, 20, 30 and 40 less those that went before: 1, 1, 2 (a tenth of 28), 3 (of 36).
    oldest_gone = list(range(1 + 1 + 2 + 3, 40))
    assert alive(filled(40, period=10, fraction=0.1)) == oldest_gone
    wrong = Reversed(period=10, fraction=0.1)
    wrong.write(items([f"Crate {i} holds {i * 7} lemons." for i in range(40)]), now=NOW)
    assert alive(wrong) != oldest_gone
    assert alive(filled(40, period=10, fraction=0)) == list(range(40))
    assert alive(filled(39, period=40, fraction=0.5)) == list(range(39))


def test_what_was_retrieved_lately_stays_and_its_bonus_ends() -> None:
    hema = filled(15, period=10, fraction=0.2, recent=10)
    assert alive(hema) == list(range(2, 15))
    hema.read("Crate 2 holds 14 lemons", 1, now=NOW)
    hema.write(items([f"Crate {i} is new." for i in range(15, 20)]), now=NOW)
    assert alive(hema) == [2, *range(6, 20)]
    hema.write(items([f"Crate {i} is new." for i in range(20, 30)]), now=NOW)
    assert 2 not in alive(hema)


def test_without_decay_and_bonus_there_is_no_order_but_that_of_ties() -> None:
    hema = filled(30, period=10, fraction=0.2, decay=0.0, boost=0.0)
    assert len(set(hema.salience(range(30), [True] * 30).tolist())) == 1
    assert alive(hema) == alive(filled(30, period=10, fraction=0.2))


def test_pruned_turns_are_not_found_and_their_gist_stays() -> None:
    hema = filled(40, period=10, fraction=0.1)
    hits = hema.read("Crate 0 holds 0 lemons", 40, now=NOW)
    assert not any(hit.text.startswith("Crate 0 ") for hit in hits)
    assert len(hits) == 33
    assert len(texts(hema, TURN)) == 40
    assert len(texts(hema, COMPACT)) == 4


def test_it_prunes_the_same_of_one_write_and_of_many() -> None:
    bit_by_bit = Hema(period=10, fraction=0.1)
    for item in items([f"Crate {i} holds {i * 7} lemons." for i in range(40)]):
        bit_by_bit.write([item], now=NOW)
    assert alive(bit_by_bit) == alive(filled(40, period=10, fraction=0.1))


# The running summary.


def test_a_summary_stays_within_its_budget_and_says_what_was_said() -> None:
    for budget in (5, 20, 60):
        hema = Hema(budget=budget, period=30)
        hema.write(TALK, now=NOW)
        spoken = "\n".join(item.text for item in TALK)
        found = [*texts(hema, COMPACT), *texts(hema, OVERVIEW)]
        assert all(estimate_tokens(text) <= budget for text in found)
        if budget > 5:
            assert all(line.partition(": ")[2] in spoken for text in found for line in text.split("\n"))


def test_it_sums_up_the_same_of_one_write_and_of_many() -> None:
    at_once, bit_by_bit = Hema(period=20, fraction=0), Hema(period=20, fraction=0)
    at_once.write(TALK[:90], now=NOW)
    for start in range(0, 90, 7):
        bit_by_bit.write(TALK[start : min(start + 7, 90)], now=NOW)
    assert texts(at_once, COMPACT) == texts(bit_by_bit, COMPACT)
    assert texts(at_once, OVERVIEW) == texts(bit_by_bit, OVERVIEW) != []
    assert [len(record.sources) for record in at_once.current(NOW).of(COMPACT).values()] == [20, 20, 20, 20, 10]


def test_two_levels_with_an_endless_period_are_one() -> None:
    endless, shorter = Hema(period=10**9), Hema(period=20)
    for hema in (endless, shorter):
        hema.write(TALK[:90], now=NOW)
    assert texts(endless, OVERVIEW) == []
    (whole,) = texts(endless, COMPACT)
    assert endless.gist(NOW) == whole
    shorter.write([], now=NOW)
    assert shorter.gist(NOW) == f"{texts(shorter, OVERVIEW)[0]}\n{texts(shorter, COMPACT)[-1]}"


def test_the_summary_of_summaries_follows_when_a_first_level_changes() -> None:
    hema = Hema(period=10)
    facts = [f"{name} lives in {city}." for name, city in (("Ivo", "Bergen"), ("Lena", "Quito"), ("Omar", "Kyoto"))]
    filler = ["Well.", "Hm.", "Right.", "So.", "Yes.", "No.", "Oh.", "Ah.", "Fine."]
    ids = hema.write(items([line for fact in facts for line in (fact, *filler)] + ["The end."]), now=NOW)
    (before,) = texts(hema, OVERVIEW)
    assert "Bergen" in before
    assert "Kyoto" in before
    hema.update(ids[0], "Ivo lives in Tromso.", now=NOW)
    (after,) = texts(hema, OVERVIEW)
    assert "Tromso" in after
    assert "Bergen" not in after


# The prompt.


@settings(max_examples=60)
@given(
    st.lists(st.text(max_size=60), max_size=12),
    st.text(max_size=400),
    st.text(max_size=200),
    st.integers(45, 300),
    st.integers(0, 20),
)
def test_a_prompt_never_exceeds_its_budget(said_: list[str], query: str, system: str, budget: int, k: int) -> None:
    hema = Hema(prompt=budget, period=4)
    hema.write(items([text for text in said_ if text]), now=NOW)
    assert estimate_tokens(hema.context(query, k, now=NOW, system=system)) <= budget


def test_a_budget_too_small_for_the_frame_is_refused() -> None:
    with pytest.raises(InvalidInput, match="prompt=5"):
        filled(3, prompt=5).context("lemons", now=NOW)


def test_what_is_retrieved_is_trimmed_from_the_end() -> None:
    hema = filled(60, prompt=3500)
    query = "Crate 31 holds 217 lemons"
    ranked = [hit.text for hit in hema.read(query, 60, now=NOW)]
    wide = hema.context(query, now=NOW)
    assert f"<user>\n{query}\n</user>" in wide
    assert "<dialogue_tail>\nAna: Crate 58 holds 406 lemons.\nAna: Crate 59 holds 413 lemons.\n" in wide
    hema.prompt = 260
    narrow = hema.context(query, now=NOW)
    block = narrow.split("<retrieved>\n")[1].split("\n</retrieved>")[0].split("\n")
    expected = [f"Ana: {text}" for text in ranked if text not in narrow.split("<dialogue_tail>")[1]]
    assert block == expected[: len(block)]
    assert 1 < len(block) < 50
    assert block[0] == "Ana: Crate 31 holds 217 lemons."


# Living with it.


def test_memory_and_sqlite_agree(tmp_path: Path) -> None:
    kept = Hema(store=SqliteStore(tmp_path / "m.db"), scope=Scope(user_id="ana"), period=7, fraction=0.2)
    plain = Hema(scope=Scope(user_id="ana"), period=7, fraction=0.2)
    for hema in (kept, plain):
        for seed in range(3):
            drive(hema, seed)
            hema.read("who moved to Oslo?", 3, now=NOW)
    assert observe(kept) == observe(plain)
    assert kept.gist(NOW) == plain.gist(NOW) != ""
    again = Hema(store=kept.store, scope=kept.scope)
    assert again.gist(NOW) == plain.gist(NOW)
    kept.store.close()


def test_restored_it_prunes_as_it_would_have() -> None:
    hema = filled(15, period=10, fraction=0.2)
    hema.read("Crate 2 holds 14 lemons", 1, now=NOW)
    other = Hema(period=10, fraction=0.2)
    other.restore(hema.state())
    for either in (hema, other):
        either.write(items([f"Crate {i} is new." for i in range(15, 20)]), now=NOW)
    assert alive(other) == alive(hema)
    assert 2 in alive(other)


def test_forgetting_a_turn_takes_it_out_of_every_summary() -> None:
    hema = Hema(period=10)
    ids = hema.write(items([f"Ivo bought {i} boats from Lena Holm." for i in range(35)]), now=NOW)
    said_ = [text for text in texts(hema, COMPACT)[0].split("\n") if text]
    gone = [id for id, i in zip(ids, range(35), strict=True) if f"Ana: Ivo bought {i} boats from Lena Holm." in said_]
    assert gone
    hema.forget(gone, now=NOW)
    kept = "\n".join([*texts(hema, COMPACT), *texts(hema, OVERVIEW)])
    assert not any(text in kept.split("\n") for text in said_)
    covered = sorted(source.id for record in hema.current(NOW).of(COMPACT).values() for source in record.sources)
    assert covered == sorted(set(ids) - set(gone))
    sizes = [len(record.sources) for record in hema.current(NOW).of(COMPACT).values()]
    assert max(sizes) == 10


def test_a_summary_that_was_forgotten_stays_away() -> None:
    hema = filled(25, period=10)
    hema.forget([*hema.current(NOW).of(OVERVIEW)], now=NOW)
    assert texts(hema, OVERVIEW) == []
    assert hema.consolidate(now=NOW) == []
    hema.write(items(["Crate 25 is new."]), now=NOW)
    assert texts(hema, OVERVIEW) == []
    hema.write(items([f"Crate {i} is new." for i in range(26, 40)]), now=NOW)
    assert len(texts(hema, OVERVIEW)) == 1


@pytest.mark.parametrize(
    "options", [{"budget": 0}, {"period": 0}, {"fraction": 1.0}, {"fraction": math.nan}, {"bonus": "both"}]
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        Hema(**options)


# With a model.


@pytest.fixture
def service() -> Iterator[Service]:
    pytest.importorskip("openai")
    with serving() as running:
        yield running


def with_model(service: Service, **options: Any) -> Hema:
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    return Hema(llm=model, **options)


def good(request: Request) -> str:
    material = json.loads(request["messages"][1]["content"])
    if "summaries" in material:
        return json.dumps({"summary": " / ".join(material["summaries"])})
    return json.dumps({"summary": f"{material['summary']} {len(material['turns'])} more.".strip()})


@pytest.mark.loopback
def test_a_model_carries_the_summary_on(service: Service) -> None:
    service.answers = good
    hema = with_model(service, period=5)
    for size in (2, 2, 3):
        hema.write(items(["It rains again."] * size), now=NOW)
    assert texts(hema, COMPACT) == ["2 more. 2 more. 1 more.", "2 more."]
    assert texts(hema, OVERVIEW) == ["2 more. 2 more. 1 more."]
    asked = len(service.requests)
    hema.consolidate(now=NOW)
    assert len(service.requests) == asked == 5


@pytest.mark.loopback
def test_a_model_that_talks_too_much_is_cut_to_the_budget(service: Service) -> None:
    service.answers = lambda request: json.dumps({"summary": "lemon " * 500})
    hema = with_model(service, budget=12)
    hema.write(items(["It rains again."]), now=NOW)
    assert estimate_tokens(hema.gist(NOW)) == 12


@pytest.mark.loopback
@pytest.mark.parametrize("answer", ["not json", "[]", '{"summary": 7}', '{"summary": "  "}', None])
def test_a_model_that_fails_costs_nothing(service: Service, answer: str | None) -> None:
    service.step = lambda request: error(500) if answer is None else said(answer)  # type: ignore[method-assign]
    hema, plain = with_model(service, period=10), Hema(period=10)
    for either in (hema, plain):
        either.write(TALK[:25], now=NOW)
    assert hema.gist(NOW) == plain.gist(NOW) != ""
    assert service.requests
    assert len(texts(hema, TURN)) == 25

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.kernels.segmentation import pk, window_diff
from remanence.mechanisms.records.nemori import EPISODE, Nemori
from remanence.scenarios.dialogues import generate
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.mechanism import Item
from tests.mechanisms.records.distilled import BROKEN, NOW, START, records, remembered, speaking, talk, texts

FACT = Nemori.STATED
KINDS = (EPISODE, FACT)
MOVES = (
    talk(["I live in Oslo now", "I work as a baker", "What a rainy day", "My sister is Eva"], session="a"),
    talk(["I live in Oslo, as you know", "I moved from Oslo to Bergen", "I like tea", "Bye!"], session="b", day=7),
    talk(["I live in Bergen these days", "I moved back to Oslo", "Really nice here"], session="c", day=14),
)


def told(memory: Nemori, *sessions: list[Item]) -> Nemori:
    for items in sessions:
        memory.write(items, now=items[-1].at or NOW)
    memory.consolidate(now=NOW)
    return memory


def test_facts_are_learnt_only_where_they_were_not_to_be_expected() -> None:
    memory = told(Nemori(), *MOVES)
    facts = [(one.meta["attribute"], one.meta["value"]) for one in records(memory, FACT)]
    assert [value for key, value in facts if key == "home_city"] == ["Oslo", "Bergen", "Oslo"]
    assert ("job", "baker") in facts
    oslo = records(memory, FACT)[0]
    assert oslo.text == "Ana lives in Oslo"
    assert len(oslo.sources) == 2


@pytest.mark.parametrize("seed", range(3))
def test_with_nothing_known_predict_calibrate_is_direct_extraction(seed: int) -> None:
    turns = generate(seed, sessions=1).turns
    items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session="s") for turn in turns]
    one, other = (Nemori(longest=1000, gap=timedelta(days=9), calibrate=calibrate) for calibrate in (True, False))
    for memory in (one, other):
        memory.settings = type(memory.settings)(shortest=1000, longest=1000, gap=timedelta(days=9))
        told(memory, items)
    assert len(records(one, EPISODE)) == 1
    assert remembered(one, FACT) == remembered(other, FACT) != []


class ByCosineAlone(Nemori):
    """The plausible wrong variant: what is near to a known fact counts as known."""

    def learn(self, lessons: Any, now: Any, **options: Any) -> list[str]:
        kept = []
        for turns, statements in lessons:
            vectors = self.embedder.embed([one.text for one in statements]) if statements else ()
            kept.append(
                (
                    turns,
                    [
                        one
                        for one, vector in zip(statements, vectors, strict=True)
                        if not self.nearest(vector, 1, kinds=(FACT,), least=self.alike)
                    ],
                )
            )
        return super().learn(kept, now, **options)


def changes_are_known(memory: Nemori) -> bool:
    told(memory, talk(["I live in Oslo"], session="a"), talk(["I live in Bergen now"], session="b", day=3))
    return any("Bergen" in text for text in texts(memory, FACT))


def test_a_filter_by_cosine_alone_loses_what_changed() -> None:
    assert changes_are_known(Nemori(embedder=StaticEmbedder()))
    assert not changes_are_known(ByCosineAlone(embedder=StaticEmbedder(), alike=0.6))


def test_a_buffer_becomes_an_episode_at_its_longest() -> None:
    memory = Nemori(longest=25)
    memory.write(talk([f"The mill by the river grinds flour, part {n}" for n in range(60)]), now=START)
    sizes = [len(one.sources) for one in records(memory, EPISODE)]
    assert sizes
    assert max(sizes) <= 25
    assert sum(sizes) < 60
    memory.consolidate(now=NOW)
    assert sum(len(one.sources) for one in records(memory, EPISODE)) == 60


def test_the_message_that_triggers_begins_the_next_episode() -> None:
    memory = Nemori()
    first, second = talk(["The cat sleeps", "The cat eats", "Bye!"]), talk(["Hello again", "The dog barks"])
    late = [Item(one.text, one.speaker, None, (one.at or START) + timedelta(hours=2), "s") for one in second]
    memory.write([*first, *late], now=NOW)
    (episode,) = records(memory, EPISODE)
    assert [source.id for source in episode.sources] == [turn.id for turn in records(memory, "turn")[:3]]
    assert "cat" in episode.text
    assert "dog" not in episode.text


def test_what_waits_in_the_buffer_is_found_at_once() -> None:
    memory = Nemori()
    (id,) = memory.write(talk(["The ferry leaves at noon"]), now=START)
    assert records(memory, EPISODE) == []
    assert [hit.id for hit in memory.read("When does the ferry leave?", 3, now=NOW)] == [id]


SUBJECTS = (
    "bread dough oven flour yeast crust bakery loaf rye kneading",
    "sail harbour mast anchor tide ferry rope deck captain storm",
    "violin orchestra concert rehearsal bow melody conductor quartet score audition",
    "tent trail summit backpack glacier boots ridge compass hut hike",
    "server database deploy login bug release query cache backup script",
    "puppy leash vet kennel bark treats fur paws walkies collar",
)
FRAMES = (
    "I keep thinking about the {0} and the {1}", "Do you remember the {0} with that {1}?", "The {0} needs a better {1}",
    "First the {0}, then the {1}, it never ends", "Nobody told me that a {0} ruins the {1}", "My {0}? Like your {1}",
)  # fmt: skip


def test_boundaries_are_nearer_to_the_true_ones_than_chunks_of_one_size() -> None:
    scores: list[tuple[float, ...]] = []
    for seed in range(3):
        rng = random.Random(seed)
        lines: list[str] = []
        gold: list[int] = []
        for block in range(12):
            nouns = SUBJECTS[(block * 5 + seed) % len(SUBJECTS)].split()
            gold.append(len(lines))
            lines += [rng.choice(FRAMES).format(*rng.sample(nouns, 2)) for _ in range(rng.randint(5, 16))]
        memory = told(Nemori(embedder=StaticEmbedder(), merge=2.0), talk(lines))
        place = {turn.id: at for at, turn in enumerate(records(memory, "turn"))}
        found = [place[one.sources[0].id] for one in records(memory, EPISODE)]
        size = len(lines)
        # Chunks of the true mean size: nobody would know it.
        fixed = range(0, size, round(size / len(gold)))
        scores.append(tuple(rate(gold, cuts, size) for rate in (pk, window_diff) for cuts in (found, fixed)))
    means = [sum(column) / len(scores) for column in zip(*scores, strict=True)]
    assert means[0] < 0.75 * means[1]
    assert means[2] < 0.75 * means[3]


def test_titles_and_dates_of_a_narrative() -> None:
    memory = told(Nemori(), talk(["The wool market was full", "I met Bo yesterday at the wool market"]))
    (episode,) = records(memory, EPISODE)
    assert episode.text.splitlines()[0] == "Wool market, 2026-03-02"
    assert "yesterday (2026-03-01)" in episode.text


def test_close_episodes_of_one_event_are_merged() -> None:
    first = talk(["The boat race starts", "The boat race goes on"])
    later = [
        Item(one.text, one.speaker, None, (one.at or START) + timedelta(minutes=40), "s")
        for one in talk(["The boat race starts", "The boat race goes on"])
    ]
    (merged,) = records(told(Nemori(), [*first, *later]), EPISODE)
    assert len(merged.sources) == 4
    assert len(merged.meta["merged_from"]) == 2
    assert len(records(told(Nemori(merge=1.1), [*first, *later]), EPISODE)) == 2


def test_a_prompt_shows_the_messages_of_the_first_episodes_only() -> None:
    memory = told(Nemori(originals=1), *MOVES)
    prompt = memory.context("Where does Ana live?", 3, now=NOW)
    assert prompt.count("\n> Ana: ") == len(max(MOVES, key=len)) or prompt.count("\n> Ana: ") == 3
    assert "Ana lives in Bergen" in prompt


def test_in_one_go_or_turn_by_turn_the_same_is_remembered() -> None:
    whole, parts = Nemori(), Nemori()
    items = [item for session in MOVES for item in session]
    whole.write(items, now=NOW)
    for item in items:
        parts.write([item], now=item.at or NOW)
    for memory in (whole, parts):
        memory.consolidate(now=NOW)
    assert remembered(whole, *KINDS) == remembered(parts, *KINDS)


def test_sqlite_remembers_the_same(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "m.db")
    one, other = told(Nemori(), *MOVES), told(Nemori(store=store), *MOVES)
    assert remembered(one, *KINDS) == remembered(other, *KINDS)
    store.close()


@pytest.mark.parametrize("seed", range(6))
def test_forgetting_a_turn_is_as_if_it_had_never_been_said(seed: int) -> None:
    rng = random.Random(seed)
    items = [item for session in MOVES for item in session]
    gone = rng.sample(range(len(items)), 3)
    memory = Nemori(merge=2.0)
    ids = memory.write(items, now=NOW)
    memory.consolidate(now=NOW)
    for place in gone:
        memory.forget([ids[place]], now=NOW)
    memory.consolidate(now=NOW)
    plain = told(Nemori(merge=2.0), [item for place, item in enumerate(items) if place not in gone])
    assert {text for _, text in remembered(memory, FACT)} == {text for _, text in remembered(plain, FACT)}
    said = {source.id for one in records(memory, EPISODE) for source in one.sources}
    assert said == {id for place, id in enumerate(ids) if place not in gone}


def test_a_forgotten_fact_does_not_come_back_with_the_turns_that_repeat_it() -> None:
    memory = told(Nemori(), *MOVES[:2])
    (baker,) = [one for one in records(memory, FACT) if one.meta["attribute"] == "job"]
    oslo = records(memory, FACT)[0]
    assert memory.forget([baker.id, oslo.id], now=NOW) == 2
    memory.consolidate(now=NOW)
    assert all(one.meta["value"] not in ("baker", "Oslo") for one in records(memory, FACT))


# With a model


TITLE = {"title": "Ana settles in the north", "content": "Ana moves to Oslo and starts to bake."}


def alternately(shown: Mapping[str, Any]) -> Any:
    if len(shown["messages"]) != 4:
        return {"episodes": []}
    return {"episodes": [{"messages": [1, 3], "topic": "x"}, {"messages": [2, 4], "topic": "y"}]}


ANSWERS: dict[str, Any] = {
    "numbered messages": alternately,
    "third person": TITLE,
    "has this title": {"content": "Ana may still live in Oslo."},
    "Compare the messages": {
        "statements": [{"statement": "Ana dreads Mondays", "messages": [1]}, {"statement": " ", "messages": []}]
    },
    "List the statements": {"statements": [{"statement": "Ana has a weakness for rye", "messages": [2]}]},
}


@pytest.mark.loopback
def test_a_model_groups_tells_predicts_and_distils() -> None:
    pytest.importorskip("openai")
    with speaking(ANSWERS) as (model, service):
        memory = told(Nemori(llm=model, merge=2.0), *MOVES[:2])
        assert memory.troubles == []
        episodes = records(memory, EPISODE)
        assert [len(one.sources) for one in episodes] == [2, 2, 2, 2]
        assert all(one.text == "Ana settles in the north\nAna moves to Oslo and starts to bake." for one in episodes)
        assert texts(memory, FACT) == ["Ana has a weakness for rye", "Ana dreads Mondays"]
        turns = [turn.id for turn in records(memory, "turn")]
        rye = records(memory, FACT)[0]
        # The second message of the episode that holds the first and the third.
        assert turns[2] in {source.id for source in rye.sources}
        sent = [str(request["messages"]) for request in service.requests]
        # The predictor sees the title and what is known, and not a word of the messages.
        asked = next(one for one in sent if "has this title" in one)
        assert "weakness for rye" in asked
        assert "rainy" not in asked
        assert any("may still live in Oslo" in one for one in sent if "Compare the messages" in one)


@pytest.mark.loopback
@pytest.mark.parametrize("nonsense", BROKEN)
def test_a_model_that_talks_nonsense_changes_nothing(nonsense: str) -> None:
    pytest.importorskip("openai")
    answers = dict.fromkeys(ANSWERS, nonsense) | {"same event": nonsense}
    with speaking(answers) as (model, _):
        memory = told(Nemori(llm=model), *MOVES)
        assert memory.troubles
        assert remembered(memory, *KINDS) == remembered(told(Nemori(), *MOVES), *KINDS)


@pytest.mark.loopback
def test_a_model_merges_only_with_episodes_that_it_was_shown() -> None:
    pytest.importorskip("openai")
    pair = talk(["The boat race starts", "It goes on", "Bye!"]), talk(["Hello again", "The dog barks"])
    items = [*pair[0], *(Item(o.text, o.speaker, None, (o.at or START) + timedelta(minutes=45), "s") for o in pair[1])]

    def first(shown: Mapping[str, Any]) -> Any:
        return {"decision": "merge", "target": next(iter(shown["candidates"]))}

    for answer, episodes in ((first, 1), ({"decision": "merge", "target": "nobody"}, 2)):
        with speaking({"same event": answer, "third person": TITLE, "numbered messages": {"episodes": []},
                       "List the statements": {"statements": []}}) as (model, _):  # fmt: skip
            assert len(records(told(Nemori(llm=model), items), EPISODE)) == episodes

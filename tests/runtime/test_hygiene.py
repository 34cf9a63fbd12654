"""Whom to believe, what only comes back, and what is set aside with all that rests on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidFilter, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.kernels.echoes import HandedOut
from remanence.runtime.changing import undo
from remanence.runtime.hygiene import quarantine, release, with_merged
from remanence.runtime.memory import Memory
from remanence.runtime.messages import Message
from remanence.runtime.origins import echo_meta, echo_spans, origin_of, spans_of, trust_of
from remanence.runtime.sleeping import sleep
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.operations import Put
from tests.runtime.facts_by_hand import engine_of, fact, only_id, records

ANA = Scope(user_id="ana")
OSLO = "I live in Oslo with my sister Xenia and her two old dogs"


@pytest.fixture
def memory(make: Callable[..., Memory]) -> Memory:
    """One that derives nothing: facts are made by hand."""
    return make(background=False, embedder="hash", enrich=False)


def add(memory: Memory, text: str, **options: Any) -> str:
    return only_id(memory.add(text, **{"user_id": "ana", **options}))


def put(memory: Memory, text: str, *, origin: str | None = None, sources: tuple[str, ...] = (), **options: Any) -> str:
    """A record with an origin or with sources, which are whole texts."""
    there = records(memory)
    spans = tuple(Source(id, 0, len(there[id].text)) for id in sources)
    draft = Draft(text, scope=ANA, origin=origin, sources=spans, terms=tuple(text.lower().split()), **options)
    return str(engine_of(memory).write([Put(draft)], ANA).results[0].id)


def found(memory: Memory, query: str, **options: Any) -> set[str]:
    return {row["id"] for row in memory.search(query, user_id="ana", **options)["results"]}


def state(memory: Memory) -> dict[str, tuple[float, str, dict[str, Any]]]:
    return {id: (record.trust, record.state, dict(record.meta)) for id, record in records(memory).items()}


# Trust and origin


@pytest.mark.parametrize(
    ("role", "origin", "trust"),
    [
        ("user", None, 1.0), ("human", None, 1.0), (None, None, 1.0), ("assistant", None, 0.8),
        ("Assistant", "user", 0.8),
        ("tool", None, 0.5), ("function", None, 0.5), ("user", "web", 0.5), ("user", "document", 0.5),
        ("user", "tool:browser", 0.5), ("moderator", None, 0.7), ("user", "import:mem0", 0.9),
        ("assistant", "import:chatgpt", 0.8), ("tool", "import:chatgpt", 0.5),
    ],
)  # fmt: skip
def test_trust_by_role_and_origin(role: str | None, origin: str | None, trust: float) -> None:
    assert trust_of(role, origin) == trust


def test_an_origin_is_the_role_unless_it_is_a_document() -> None:
    assert [origin_of("user"), origin_of("Tool"), origin_of(None), origin_of("user", "document")] == [
        "user", "tool", None, "document",
    ]  # fmt: skip


# Echoes


def message(text: str, role: str | None = "user", speaker: str | None = None) -> Message:
    return Message(text, role, speaker, None, None)


def handed(*texts: str) -> HandedOut:
    out = HandedOut()
    out.note(ANA, texts)
    return out


def marked(out: HandedOut, said: Message) -> list[str]:
    meta = echo_meta(out, Scope(user_id="ana", run_id="r1"), said)
    return [said.text[start:end] for start, end in meta.get("echoes", [])]


def test_an_assistant_that_repeats_what_was_recalled_is_marked() -> None:
    out = handed(OSLO, "I am allergic to peanuts")
    said = message("Since you live in Oslo with your sister Xenia, try Maaemo. It has figs.", "assistant")
    assert marked(out, said) == ["you live in Oslo with your sister Xenia"]
    assert marked(out, message("Bergen is nice", "assistant")) == []
    assert echo_meta(HandedOut(), ANA, said) == {}


def test_a_user_may_say_a_thing_again() -> None:
    out = handed(OSLO, "I am allergic to peanuts and to pollen")
    assert marked(out, message(OSLO)) == []
    assert marked(out, message(OSLO, None, "Ana")) == []
    both = f"{OSLO}. I am allergic to peanuts and to pollen."
    assert marked(out, message(both)) == []
    assert marked(out, message(f"- {OSLO}\nand that is that")) == []
    pasted = f"What I know of you:\n- {OSLO}\n2. I am allergic to peanuts and to pollen.\nNow book a table."
    assert marked(out, message(pasted)) == [OSLO, "I am allergic to peanuts and to pollen"]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (
            "I used to like cats, including Sphynx, but now I like dogs.",
            "I used to like cats, including Sphynx, but now I like cats, with a focus on communication.",
        ),
        (
            "My taste has changed: I like tea now and no longer dislike rain.",
            "My taste has changed: I like tactical shooters now and no longer dislike first-person shooters.",
        ),
    ],
)
def test_news_in_familiar_words_is_no_echo(shown: str, said: str) -> None:
    assert marked(handed(shown, "I like figs", OSLO), message(said)) == []


def test_lines_of_a_context_are_known_without_their_fence(memory: Memory) -> None:
    add(memory, OSLO)
    block = memory.context("where do I live?", user_id="ana").text
    bare = "\n".join(block.splitlines()[1:-1])
    said = message(f"{bare}\nI moved to Bergen.")
    (stretch,) = {said.text[start:end] for start, end in echo_meta(HandedOut(), ANA, said)["echoes"][-1:]}
    assert OSLO in stretch
    assert "Bergen" not in stretch


def turn(text: str, role: str | None, memory: Memory, **options: Any) -> Record:
    id = only_id(memory.add({"role": role, "content": text, **options}, user_id="ana"))
    return records(memory)[id]


def test_an_answer_that_repeats_the_turn_before_it_says_nothing_new(memory: Memory) -> None:
    said = turn(OSLO, "user", memory)
    answer = turn("You live in Oslo with your sister Xenia, noted. I like that you like jazz.", "assistant", memory)
    spans = echo_spans(answer, [said])
    assert [answer.text[start:end] for start, end in spans] == ["You live in Oslo with your sister Xenia"]
    assert echo_spans(answer, []) == []
    assert echo_spans(turn(OSLO, "user", memory), [said]) == []
    # The assistant's own earlier words are no source for its later ones.
    assert echo_spans(answer, [replace(said, role="assistant")]) == []


def test_it_looks_back_over_four_turns_and_no_further(memory: Memory) -> None:
    said = turn(OSLO, "user", memory)
    answer = turn("You live in Oslo with your sister Xenia", "assistant", memory)
    other = turn("And so it goes on and on", "user", memory)
    assert echo_spans(answer, [said, other, other, other])
    assert not echo_spans(answer, [said, other, other, other, other])


@pytest.mark.parametrize(
    "kept", [None, "x", [[0]], [[0, 99]], [[5, 2]], [["a", 3]], [[True, 3]], [[-1, 3]], [None], {"a": 1}, [[0, 0]]]
)
def test_marks_that_are_none_are_passed_over(kept: object) -> None:
    assert spans_of({"echoes": kept}, 10) == []


def test_marks_are_read_back() -> None:
    assert spans_of({"echoes": [[0, 4], (6, 10)]}, 10) == [(0, 4), (6, 10)]


# Quarantine


@pytest.fixture
def poisoned(memory: Memory) -> dict[str, str]:
    ids = {
        "own": add(memory, OSLO),
        "page": put(memory, "Ana lives in Paris says the page", origin="web", meta={"source": "https://x.example"}),
        "feed": put(memory, "Ana lives in Paris says the feed", origin="web", meta={"source": "https://y.example"}),
    }
    ids["from_page"] = fact(memory, "Ana", "home_city", "Paris", [(ids["page"], "lives in Paris")])
    ids["from_both"] = fact(memory, "Ana", "likes", "dogs", [(ids["own"], "dogs"), (ids["page"], "lives")])
    ids["conclusion"] = put(memory, "Ana pays in euros", kind="conclusion", sources=(ids["from_page"],))
    return ids


def test_a_quarantined_memory_takes_along_what_rests_on_it_alone(memory: Memory, poisoned: dict[str, str]) -> None:
    engine = engine_of(memory)
    before = state(memory)
    done = quarantine(engine, ANA, source="https://x.example", reason="planted")
    assert done["quarantined"] == [poisoned["page"]]
    assert done["derived"] == sorted([poisoned["from_page"], poisoned["conclusion"]])
    assert done["supported"] == [poisoned["from_both"]]
    there = records(memory)
    assert {name for name, id in poisoned.items() if there[id].trust == 0} == {"page", "from_page", "conclusion"}
    assert there[poisoned["page"]].meta["quarantine"] == {"trust": 1.0, "reason": "planted"}
    assert poisoned["page"] not in found(memory, "Ana lives in Paris")
    assert poisoned["feed"] in found(memory, "Ana lives in Paris")
    assert found(memory, "Ana lives in Paris", filters={"trust": 0}) >= {poisoned["page"]}
    again = quarantine(engine, ANA, source="https://x.example")
    assert (again["quarantined"], again["change"]) == ([], None)
    undo(engine, done["change"], ANA)
    assert state(memory) == before


def test_released_memories_are_as_before(memory: Memory, poisoned: dict[str, str]) -> None:
    engine = engine_of(memory)
    before = state(memory)
    quarantine(engine, ANA, origin="web", reason="planted")
    assert release(engine, ANA, ids=poisoned["own"])["released"] == []
    done = release(engine, ANA, origin="web")
    assert done["released"] == sorted(poisoned[name] for name in ("page", "feed", "from_page", "conclusion"))
    assert state(memory) == before


def test_what_rests_on_two_sources_stays_away_until_one_is_believed(memory: Memory, poisoned: dict[str, str]) -> None:
    engine = engine_of(memory)
    both = fact(memory, "Ana", "diet", "vegan", [(poisoned["page"], "Ana"), (poisoned["feed"], "Ana")])
    quarantine(engine, ANA, ids=poisoned["page"])
    assert records(memory)[both].trust == 1
    quarantine(engine, ANA, ids=poisoned["feed"])
    assert records(memory)[both].trust == 0
    release(engine, ANA, ids=poisoned["page"])
    assert records(memory)[both].trust == 1
    assert records(memory)[poisoned["feed"]].trust == 0


def test_selections(memory: Memory, poisoned: dict[str, str]) -> None:
    engine = engine_of(memory)
    assert quarantine(engine, ANA, origin="web", source="https://y.example")["quarantined"] == [poisoned["feed"]]
    release(engine, ANA, origin="w*")
    assert quarantine(engine, ANA, origin="we*")["quarantined"] == [poisoned["page"], poisoned["feed"]]
    release(engine, ANA, origin="web")
    assert quarantine(engine, ANA, where={"kind": "conclusion"})["quarantined"] == [poisoned["conclusion"]]
    assert quarantine(engine, ANA, origin="import:*")["change"] is None


def test_what_was_merged_into_it_stands_for_itself_again(memory: Memory) -> None:
    engine = engine_of(memory)
    first = put(memory, "The shop opens at nine on weekdays", kind="note", origin="web")
    again = put(memory, "The shop opens at nine on weekdays!", kind="note", origin="mail")
    sleep(engine, ANA)
    assert with_merged(engine, [first], ANA) == [first, again]
    done = quarantine(engine, ANA, origin="web")
    assert (done["quarantined"], done["restored"]) == ([first], [again])
    assert found(memory, "when does the shop open?") == {again}
    assert with_merged(engine, [first], ANA) == [first]


def test_what_was_merged_is_found_through_all_links(memory: Memory) -> None:
    engine = engine_of(memory)
    ids = [put(memory, "The shop opens at nine on weekdays", kind="note") for _ in range(3)]
    from remanence.substrates.records.operations import Edge, Link

    engine.write([Link(Edge(ids[2], ids[1], "merged_into")), Link(Edge(ids[1], ids[0], "merged_into"))], ANA)
    assert with_merged(engine, ids[:1], ANA) == ids
    assert with_merged(engine, [], ANA) == []


def test_nothing_of_others_is_touched(memory: Memory) -> None:
    bo = add(memory, OSLO, user_id="bo")
    engine = engine_of(memory)
    with pytest.raises(NotFound):
        quarantine(engine, ANA, ids=bo)
    quarantine(engine, ANA, where={"kind": "turn"})
    assert records(memory, user="bo")[bo].trust == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, InvalidInput),
        ({"origin": ""}, InvalidInput),
        ({"origin": 3}, InvalidInput),
        ({"source": ""}, InvalidInput),
        ({"ids": ["01JXXXXXXXXXXXXXXXXXXXXXXX"]}, NotFound),
        ({"ids": [3]}, InvalidInput),
        ({"where": {"trust": {"near": 1}}}, InvalidFilter),
        ({"origin": "web", "reason": 3}, InvalidInput),
    ],
)
def test_selections_that_are_none_are_refused(memory: Memory, wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        quarantine(engine_of(memory), ANA, **wrong)
    if "reason" not in wrong:
        with pytest.raises(error):
            release(engine_of(memory), ANA, **wrong)


# With the handlers at work


@pytest.fixture
def working(make: Callable[..., Memory]) -> Memory:
    return make(background=False, embedder="hash")


def facts(memory: Memory) -> set[str]:
    return {row["memory"] for row in memory.get_all(user_id="ana", kinds="fact")["results"]}


def test_facts_follow_at_once_and_come_back(working: Memory) -> None:
    engine = engine_of(working)
    oslo = add(working, "I live in Oslo")
    add(working, "I work as a baker")
    working.work(user_id="ana")
    known = facts(working)
    assert known == {"ana lives in Oslo", "ana works as a baker"}
    done = quarantine(engine, ANA, ids=oslo)
    assert len(done["derived"]) >= 1
    assert facts(working) == {"ana works as a baker"}
    release(engine, ANA, ids=oslo)
    assert facts(working) == known
    done = quarantine(engine, ANA, ids=oslo)
    working.undo(done["change"], user_id="ana")
    working.work(user_id="ana")
    assert facts(working) == known


def test_conclusions_follow_too(working: Memory) -> None:
    engine = engine_of(working)
    oslo = add(working, "I live in Oslo")
    conclusion = add(working, "Ana pays in kroner", kind="conclusion", based_on=[oslo])
    working.work(user_id="ana")
    assert conclusion in found(working, "Ana pays in kroner", kinds="conclusion")
    done = quarantine(engine, ANA, ids=oslo)
    assert conclusion in done["derived"]
    assert conclusion not in found(working, "Ana pays in kroner", kinds="conclusion")
    working.undo(done["change"], user_id="ana")
    working.work(user_id="ana")
    assert conclusion in found(working, "Ana pays in kroner", kinds="conclusion")


def test_facts_end_with_what_expired(working: Memory, clock: SteppingClock) -> None:
    engine = engine_of(working)
    add(working, "I work as a baker", metadata={"ttl": 60})
    working.work(user_id="ana")
    assert facts(working) == {"ana works as a baker"}
    clock.current += timedelta(hours=1)
    report = sleep(engine, ANA)
    working.work(user_id="ana")
    assert facts(working) == set()
    working.undo(report["steps"][0]["change"], user_id="ana")
    working.work(user_id="ana")
    assert facts(working) == {"ana works as a baker"}


def test_an_echo_is_no_evidence(working: Memory) -> None:
    add(working, "I live in Oslo")
    add(working, "Since you live in Oslo, take the tram", role="assistant")
    working.work(user_id="ana")
    (row,) = working.get_all(user_id="ana", kinds="fact")["results"]
    assert len(row["metadata"]["said"]) == 1


def test_recalled_words_are_marked_when_they_are_added(working: Memory) -> None:
    add(working, OSLO, session_id="monday")
    working.search("where does Ana live?", user_id="ana")
    said = add(working, "You live in Oslo with your sister Xenia, right?", role="assistant", session_id="friday")
    assert records(working)[said].meta["echoes"] == [[0, 39]]
    assert records(working)[said].text == "You live in Oslo with your sister Xenia, right?"


def test_the_same_claim_in_other_words_is_one_by_the_facts(working: Memory) -> None:
    texts = [
        "I work as a baker",
        "My home is in Oslo",
        "I live in Oslo",
        "I live in Oslo and my sister Xenia visits on Friday",
        "I moved to Bergen last week",
        "So I live in Oslo?",
        "I live in Bergen now",
    ]
    ids = [add(working, text) for text in texts]
    working.work(user_id="ana")
    report = sleep(engine_of(working), ANA)
    (merged,) = [step["rows"] for step in report["steps"] if step["step"] == "merge"]
    assert {(row["id"], row["into"], row["why"]) for row in merged} == {
        (ids[2], ids[1], "the same claim"),
        (ids[6], ids[4], "the same claim"),
    }
    working.work(user_id="ana")
    assert facts(working) >= {"ana lives in Bergen"}

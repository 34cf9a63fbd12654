"""Rules R01 and following: what record mechanisms promise, and what each claimed ability adds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from remanence.conformance.rules import rule
from remanence.conformance.stage import START, expect, raises, same
from remanence.conformance.subject import Subject
from remanence.conformance.troubled import Crashing, Garbage, Silent, StoreDied
from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.mechanism import (
    ABILITIES,
    CanConsolidate,
    CanForget,
    CanLearn,
    CanUpdate,
    Hit,
    Item,
    RecordMechanism,
)
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import Find
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.probe import QUERIES, conversation

NOW = START + timedelta(days=400)
DEEP = 50
_VERBS = dict(zip(ABILITIES, (CanUpdate, CanForget, CanConsolidate, CanLearn), strict=False))
FACTS = (
    "The grey cat sleeps in the laundry basket",
    "Ana moved to Bergen and works at the harbour",
    "The deployment script wants the staging token first",
    "Bilal is allergic to walnuts",
)
ODD = (
    "…",
    "?!",
    "日本語のテキストを覚えてください",
    "Ünïcödé çafé naïve",
    "تذكر هذا النص",
    "🧠🚀👩\u200d👩\u200d👧",
    "a",
    "\t tabs\nand\r\nlines ",
    "'; DROP TABLE records; --",
    '<memory_item>{"name": null}</memory_item>',
    "100% of _ids_ *are* [odd]",
    "pneumonoultramicroscopicsilicovolcanoconiosis" * 40,
    "lantern orchard copper violin " * 3000,
)


def items(texts: Iterable[str], speaker: str | None = "Ana", session: str | None = "s") -> list[Item]:
    """Turns of one speaker, a minute apart."""
    return [
        Item(text, speaker=speaker, at=START + timedelta(minutes=at), session=session) for at, text in enumerate(texts)
    ]


def found(hits: Sequence[Hit], id: str) -> bool:
    """Whether what was written under `id` is among the hits, itself or as a source."""
    return any(hit.id == id or id in hit.sources for hit in hits)


def all_found(mechanism: RecordMechanism, texts: Sequence[str], ids: Sequence[str], what: str) -> None:
    """`Broken` unless each text is found by its own words."""
    for text, id in zip(texts, ids, strict=True):
        hits = mechanism.read(text, DEEP, now=NOW)
        expect(found(hits, id), f"{what}: {text[:60]!r} is not found by its own words")


def stored(store: RecordStore, scope: Scope) -> list[str]:
    """All that is open in a scope, as text: records with their metadata."""
    (records,) = store.batch([Find(View(NOW), limit=None)], scope=scope).results
    return [f"{one.text} {json.dumps(dict(one.meta), ensure_ascii=False)}" for one in records if one.closed_at is None]


@rule("R01")
def written_can_be_read(subject: Subject) -> None:
    """What was written is found by its own words, at once."""
    mechanism = subject.make()
    ids = mechanism.write(items(FACTS), now=NOW)
    same(len(ids), len(FACTS), "ids for four items")
    all_found(mechanism, FACTS, ids, "right after write()")


@rule("R02", when="forget")
def forgotten_is_gone(subject: Subject) -> None:
    """What was forgotten is found no more, not after a restore either; forgetting it again finds nothing to forget."""
    mechanism, other = subject.make(), subject.make()
    ids = mechanism.write(items(FACTS), now=NOW)
    same(mechanism.forget([ids[0]], now=NOW), 1, "forgotten memories")
    same(mechanism.forget([ids[0]], now=NOW), 0, "memories forgotten a second time")
    other.restore(mechanism.state())
    for one in (mechanism, other):
        hits = one.read(FACTS[0], DEEP, now=NOW)
        expect(not found(hits, ids[0]), f"{FACTS[0]!r} is still found after it was forgotten")
        expect(all("laundry" not in hit.text for hit in hits), "a hit still holds words of what was forgotten")
        all_found(one, FACTS[1:], ids[1:], "after something else was forgotten")


@rule("R03", when="forget")
def ids_are_never_reused(subject: Subject) -> None:
    """An id is never given out twice, also after what it stood for was forgotten."""
    mechanism = subject.make()
    old = mechanism.write(items(FACTS), now=NOW)
    mechanism.forget(old, now=NOW)
    new = mechanism.write(items(FACTS), now=NOW)
    expect(not set(old) & set(new), "an id was given out twice")


@rule("R04")
def every_store_gives_the_same(subject: Subject) -> None:
    """On SQLite it remembers exactly what it remembers in memory."""
    seen = []
    for store in (subject.memory(), subject.sqlite()):
        mechanism = subject.make(store=store)
        subject.probe.drive(mechanism, 0)
        _consolidate(mechanism)
        seen.append(subject.probe.observe(mechanism))
    same(seen[1], seen[0], "what is remembered on SQLite")


@rule("R05")
def the_store_holds_everything(subject: Subject) -> None:
    """Another instance over the same store and scope answers the same: nothing lives in the instance alone."""
    store = subject.memory()
    one = subject.make(store=store)
    subject.probe.drive(one, 0)
    other = subject.make(store=store)
    same(subject.probe.observe(other), subject.probe.observe(one), "what a second instance finds in the store")


@rule("R06")
def instances_see_each_other(subject: Subject) -> None:
    """What one instance writes to a shared store, another one reads at once, again and again."""
    store = subject.memory()
    pair = [subject.make(store=store), subject.make(store=store)]
    for at, text in enumerate(FACTS):
        (id,) = pair[at % 2].write(items([text]), now=NOW)
        all_found(pair[1 - at % 2], [text], [id], "written through another instance")


@rule("R07")
def system_time_does_not_matter(subject: Subject) -> None:
    """When the store's clock reads another year, the same is remembered: what counts are the times that are given."""
    seen = []
    for year in (2001, 2040):
        mechanism = subject.make(store=subject.memory(SteppingClock(START.replace(year=year))))
        subject.probe.drive(mechanism, 0)
        seen.append(subject.probe.observe(mechanism))
    same(seen[1], seen[0], "what is remembered in 2040")


@rule("R08")
def scopes_are_apart(subject: Subject) -> None:
    """Two scopes of one store know nothing of each other, however alike their names are."""
    store = subject.memory()
    ids = {}
    names = ("ana", "ana2", "Ana", "ana%")
    for name, text in zip(names, FACTS, strict=True):
        (ids[name],) = subject.make(store=store, scope=Scope(user_id=name)).write(items([text]), now=NOW)
    for name, own in zip(names, FACTS, strict=True):
        mechanism = subject.make(store=store, scope=Scope(user_id=name))
        for text in FACTS:
            hits = mechanism.read(text, DEEP, now=NOW)
            expect(all(hit.text == own or found([hit], ids[name]) for hit in hits), f"{name} sees {text!r}")


@rule("R09")
def hits_are_in_order(subject: Subject) -> None:
    """A read gives at most k distinct hits, best first, with finite scores; and what k hits are, k+1 begin with."""
    mechanism = subject.make()
    subject.probe.drive(mechanism, 0)
    for query in QUERIES:
        for k in (0, 1, 3, 1000):
            hits = mechanism.read(query, k, now=NOW)
            scores = [hit.score for hit in hits]
            expect(len(hits) <= k, f"{len(hits)} hits for k={k}")
            same(len({hit.id for hit in hits}), len(hits), f"distinct hits of {query!r}")
            expect(all(map(math.isfinite, scores)), f"scores of {query!r}: {scores}")
            same(scores, sorted(scores, reverse=True), f"scores of {query!r}")
            expect(k == 0 or not query or bool(hits), f"no hit for {query!r} with k={k}")


@rule("R10")
def nothing_gives_nothing(subject: Subject) -> None:
    """Writing nothing gives no ids, a blank query no hits, and a new memory finds nothing."""
    mechanism = subject.make()
    same(mechanism.write([], now=NOW), [], "ids for nothing")
    same(mechanism.read("cat", 5, now=NOW), [], "hits in an empty memory")
    mechanism.write(items(FACTS), now=NOW)
    for blank in ("", "  \n"):
        same(mechanism.read(blank, 5, now=NOW), [], f"hits for {blank!r}")


@rule("R11")
def odd_texts_are_kept(subject: Subject) -> None:
    """Texts of any script, of signs alone, very long, or that look like code are kept like any other."""
    mechanism = subject.make()
    ids = mechanism.write(items(ODD), now=NOW)
    same(len(set(ids)), len(ODD), "ids for odd texts")
    for text, id in zip(ODD, ids, strict=True):
        mechanism.read(text, DEEP, now=NOW)
        if sum(one.isalpha() for one in text) > 8 and text.isascii():
            all_found(mechanism, [text[:2000]], [id], "an odd text")
    (id,) = mechanism.write(items([FACTS[0]]), now=NOW)
    all_found(mechanism, [FACTS[0]], [id], "after odd texts")


@rule("R12")
def bad_input_is_refused_whole(subject: Subject) -> None:
    """An item without text, or with text that is none, is `InvalidInput`; then nothing of the same write is kept."""
    mechanism = subject.make()
    before = subject.probe.observe(mechanism)
    for bad in ("", None, 7):
        batch = [Item(FACTS[0]), Item(bad), Item(FACTS[1])]  # type: ignore[arg-type]
        raises(InvalidInput, lambda batch=batch: mechanism.write(batch, now=NOW), f"write({bad!r})")  # type: ignore[misc]
        same(subject.probe.observe(mechanism), before, f"memory after a refused write of {bad!r}")
        same(mechanism.read(FACTS[0], 5, now=NOW), [], f"hits after a refused write of {bad!r}")


@rule("R13", unless="reinforce")
def reading_leaves_no_trace(subject: Subject) -> None:
    """Unless it claims `reinforce`, reading changes nothing: neither state nor answers."""
    mechanism = subject.make()
    subject.probe.drive(mechanism, 0)
    _consolidate(mechanism)
    before = mechanism.state()
    first = subject.probe.observe(mechanism)
    for _ in range(3):
        same(subject.probe.observe(mechanism), first, "answers to the same questions, asked again")
    after = mechanism.state()
    expect(_without_time(after) == _without_time(before), "reading changed the state")


@rule("R14", when="reinforce")
def reading_is_a_use(subject: Subject) -> None:
    """What was read is remembered as used."""
    mechanism = subject.make()
    mechanism.write(items(FACTS), now=NOW)
    before = _without_time(mechanism.state())
    mechanism.read(FACTS[0], 2, now=NOW + timedelta(days=1))
    expect(_without_time(mechanism.state()) != before, "reading left no trace, although reinforce is claimed")


@rule("R15")
def hits_name_their_sources(subject: Subject) -> None:
    """Each hit names what it rests on by ids that write() gave."""
    mechanism = subject.make()
    ids = set(subject.probe.drive(mechanism, 0))  # type: ignore[call-overload]
    for query in QUERIES:
        for hit in mechanism.read(query, 20, now=NOW):
            expect(hit.sources, f"a hit for {query!r} rests on nothing: {hit.text[:80]!r}")
            expect(set(hit.sources) <= ids, f"a hit for {query!r} rests on something that was never written")


@rule("R16", when="update")
def updated_is_read(subject: Subject) -> None:
    """After an update the new words are found and the old ones in no hit; an unknown id is `NotFound`."""
    store = subject.memory() if subject.takes("store") else None
    mechanism = subject.make() if store is None else subject.make(store=store)
    ids = mechanism.write(items(FACTS), now=NOW)
    later = NOW + timedelta(days=1)
    mechanism.update(ids[0], "The grey cat prefers the zeppelin hangar", now=later)
    hits = mechanism.read("Where does the grey cat sleep? zeppelin hangar", DEEP, now=later)
    expect(any("zeppelin" in hit.text for hit in hits), "the new words are in no hit")
    expect(all("laundry" not in hit.text for hit in hits), "a hit still holds the old words")
    all_found(mechanism, FACTS[1:], ids[1:], "after something else was updated")
    raises(NotFound, lambda: mechanism.update("01ARZ3NDEKTSV4RRFFQ69G5FAV", "x", now=later), "update of an unknown id")


@rule("R17", when="forget")
def what_rests_on_it_goes_too(subject: Subject) -> None:
    """When something is forgotten, no open record holds its words any longer: nothing derived keeps them."""
    store = subject.memory()
    scope = Scope(user_id="ana")
    mechanism = subject.make(store=store, scope=scope)
    secret = "My sister Quillbert hides the zanzibarite in the cellar"
    texts = [*FACTS[:2], secret, *FACTS[2:], "My sister came by on Monday", "The cellar is damp"]
    ids = mechanism.write(items(texts), now=NOW)
    _consolidate(mechanism)
    mechanism.write(items([one.text for one in conversation(5)], session="t"), now=NOW)
    mechanism.forget([ids[2]], now=NOW)
    _consolidate(mechanism)
    for word in ("quillbert", "zanzibarite"):
        holding = [text for text in stored(store, scope) if word in text.lower()]
        expect(not holding, f"{word!r} is still in {holding[:1]}")


@rule("R18")
def a_model_that_is_down_loses_nothing(subject: Subject) -> None:
    """With a language model that cannot be reached, everything written is found all the same."""
    mechanism = subject.make(llm=Silent())
    ids = mechanism.write(items(FACTS), now=NOW)
    _consolidate(mechanism)
    all_found(mechanism, FACTS, ids, "with a model that is down")


@rule("R19")
def a_model_that_talks_nonsense_loses_nothing(subject: Subject) -> None:
    """With a language model that answers by the schema and says nonsense, everything written is found all the same."""
    for seed in range(4):
        model = Garbage(seed)
        mechanism = subject.make(llm=model)
        ids = mechanism.write(items(FACTS), now=NOW)
        _consolidate(mechanism)
        all_found(mechanism, FACTS, ids, f"with a model that talks nonsense (seed {seed})")
        observed = subject.probe.observe(mechanism)
        expect(isinstance(observed, list), "reads are answered")


@rule("R20")
def a_crash_loses_nothing(subject: Subject) -> None:
    """When the store fails while something is being derived, what was said is there, and the next write goes on."""
    for number in range(2, 7):
        inner = subject.memory()
        store = Crashing(inner, number)
        mechanism = subject.make(store=store)
        died = False
        try:
            mechanism.write(items(FACTS), now=NOW)
        except StoreDied:
            died = True
        kept = sum(text.startswith(FACTS) for text in stored(inner, mechanism.scope))
        expect(
            kept >= len(FACTS) or (died and store.writes < 2), f"{kept} of 4 texts are left after batch {number} failed"
        )
        again = subject.make(store=inner)
        later = "A new day: the ferry to Stavanger leaves at noon"
        (id,) = again.write(items([later], session="u"), now=NOW)
        _consolidate(again)
        all_found(again, [later], [id], f"after batch {number} of the write before failed")
        for text in FACTS:
            hits = again.read(text, DEEP, now=NOW)
            expect(
                any(text in hit.text or _close(text, hit) for hit in hits),
                f"{text!r} is lost after batch {number} failed",
            )


@rule("R21", when="consolidate")
def consolidating_twice_is_once(subject: Subject) -> None:
    """Consolidating again without anything new makes nothing, changes no answer, and loses nothing."""
    mechanism = subject.make()
    subject.probe.drive(mechanism, 0)
    ids = mechanism.write(items(FACTS), now=NOW)
    mechanism.consolidate(now=NOW)
    once = subject.probe.observe(mechanism)
    same(mechanism.consolidate(now=NOW), [], "made by consolidating again")
    same(subject.probe.observe(mechanism), once, "what is remembered after consolidating again")
    all_found(mechanism, FACTS, ids, "after consolidating")


@rule("R22", when="feedback")
def feedback_is_remembered(subject: Subject) -> None:
    """Feedback changes what is remembered and survives a restore; unknown ids are `NotFound`, odd rewards refused."""
    mechanism, other = subject.make(), subject.make()
    mechanism.write(items(FACTS), now=NOW)
    hits = mechanism.read(FACTS[0], 2, now=NOW)
    before = _without_time(mechanism.state())
    mechanism.feedback([hit.id for hit in hits], 1.0, now=NOW)
    expect(_without_time(mechanism.state()) != before, "feedback left no trace")
    raises(
        NotFound, lambda: mechanism.feedback(["01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1.0, now=NOW), "feedback on an unknown id"
    )
    for odd in (math.nan, math.inf):
        raises(InvalidInput, lambda odd=odd: mechanism.feedback([hits[0].id], odd, now=NOW), f"a reward of {odd}")  # type: ignore[misc]
    other.restore(mechanism.state())
    same(
        subject.probe.observe(other), subject.probe.observe(mechanism), "what is remembered of feedback after a restore"
    )


@rule("R23")
def claims_have_their_verbs(subject: Subject) -> None:
    """Each ability that the card claims is one of the contract's, and its verb is there."""
    mechanism = subject.make()
    expect(isinstance(mechanism, RecordMechanism), "write, read, state or restore is missing")
    for ability in subject.card.can:
        expect(ability in ABILITIES, f"{ability!r} is no ability of record mechanisms: {', '.join(ABILITIES)}")
        verb = _VERBS.get(ability)
        expect(verb is None or isinstance(mechanism, verb), f"{ability} is claimed, and its verb is not there")


@rule("R24", when="forget")
def a_hit_can_be_forgotten(subject: Subject) -> None:
    """Also something derived that a read showed can be forgotten, and does not come back by working on."""
    mechanism = subject.make()
    ids = mechanism.write(items(FACTS), now=NOW)
    _consolidate(mechanism)
    hits = mechanism.read(FACTS[0], DEEP, now=NOW)
    first = next((hit for hit in hits if hit.id not in ids), hits[0])
    same(mechanism.forget([first.id], now=NOW), 1, "forgotten hits")
    _consolidate(mechanism)
    kind = first.record.kind if first.record else None
    for hit in mechanism.read(FACTS[0], DEEP, now=NOW):
        expect(hit.id != first.id, "a forgotten hit is found again")
        again = hit.text == first.text and (hit.record.kind if hit.record else None) == kind
        expect(not again, "what was forgotten was derived again under another id")


def _close(text: str, hit: Hit) -> bool:
    """Whether a derived hit says what the text says: most of its longer words."""
    words = {word for word in text.lower().split() if len(word) > 3}
    return 2 * sum(word in hit.text.lower() for word in words) > len(words)


def _consolidate(mechanism: Any) -> None:
    consolidate: Callable[..., Any] | None = getattr(mechanism, "consolidate", None)
    if consolidate is not None:
        consolidate(now=NOW)


def _without_time(state: Any) -> Any:
    """A state without the moment at which it was taken, which moves with every call."""
    return {key: value for key, value in state.items() if key != "now"} if isinstance(state, dict) else state

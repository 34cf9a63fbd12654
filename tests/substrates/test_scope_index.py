from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest

from remanence.core.scope import Scope
from remanence.kernels.bm25 import length_norms
from remanence.kernels.growing import Growing
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import Close, Embed, Erase, Put, Restore, Revise
from remanence.substrates.records.scope_index import ASKS, DATED, MARKERS, ScopeIndex, who_speaks
from tests.substrates.indexes import check, content, index_of, postings_of, visible
from tests.substrates.worlds import (
    ANA,
    BOB,
    DIM,
    EMBEDDER,
    LATER,
    MINUTE,
    START,
    STEMS,
    WORDS,
    OpenStore,
    World,
    history,
    say,
    turn,
    vector,
)


@pytest.mark.parametrize("seed", range(6))
def test_following_the_journal_equals_loading_anew(open_store: OpenStore, seed: int) -> None:
    store = open_store()
    world = World(store, seed)
    followed = {scope: index_of(store, scope) for scope in (ANA, BOB, Scope(user_id="ana", run_id="r1"))}
    for step in range(45):
        world.step()
        views = world.views()
        for scope, index in followed.items():
            index.refresh()
            if step % 3 == seed % 3:
                assert content(index, views) == content(index_of(store, scope), views)
    for scope, index in followed.items():
        check(index, store, world.views() + world.views())
        assert len(index) > 3, scope


@pytest.mark.parametrize("seed", range(30, 34))
def test_what_was_derived_has_an_index_of_its_own(open_store: OpenStore, seed: int) -> None:
    store = open_store()
    world = World(store, seed)
    said, worked_out = index_of(store), index_of(store, derived=True)
    for _ in range(60):
        world.step()
        for index in (said, worked_out):
            index.refresh()
    check(said, store, world.views())
    check(worked_out, store, world.views())
    assert len(said) > len(worked_out) > 0
    assert not set(said.ids) & set(worked_out.ids)
    assert content(worked_out, world.views()[:1]).keys() == content(said, [LATER]).keys()


@pytest.mark.parametrize("seed", range(20, 24))
def test_appending_equals_loading_anew(open_store: OpenStore, seed: int) -> None:
    # Without revisions more can be brought forward from what was known before, and is asked for at every step.
    store = open_store()
    world = World(store, seed, erase=0.01, revise=False)
    indexes = [index_of(store) for _ in range(5)]
    views = [
        LATER,
        View(now=START + 2000 * MINUTE),
        View(now=START, as_of=START + 700 * MINUTE),
        View(now=START, known_at=START + 100 * MINUTE),
    ]
    for step in range(40):
        world.step()
        # Each index is asked for a view of its own, so that it knows the answer of the step before; and one that has
        # seen several steps at once.
        for index, view in zip(indexes, views, strict=False):
            index.refresh()
            assert content(index, [view]) == content(index_of(store), [view])
        if step % 7 == 0:
            indexes[-1].refresh()
            view = View(now=START + step * 100 * MINUTE)
            assert content(indexes[-1], [view]) == content(index_of(store), [view])
    check(indexes[0], store, [*views, *world.views()])


def test_alike_are_few_pairs_of_a_scope(open_store: OpenStore) -> None:
    store = open_store()
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=3)) for _ in range(130)]
    index = index_of(store)
    assert index.alike == 0.5
    ids = [written.id for written in store.batch([Put(turn(t)) for t in texts[:63]], scope=ANA).results]
    index.refresh()
    assert index.alike == 0.5, "too few to say"
    store.batch([Put(turn(text, embedded=i % 3 > 0)) for i, text in enumerate(texts[63:])], scope=ANA)
    index.refresh()
    vectors = EMBEDDER.embed(texts[:128])[[i < 63 or i % 3 > 0 for i in range(128)]]
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    assert index.alike == pytest.approx(np.percentile(cosines, 98), abs=0.02)
    measured = index.alike
    # It is measured when the scope has doubled, not at every step.
    store.batch([Put(turn("red")) for _ in range(70)], scope=ANA)
    index.refresh()
    assert index.alike == measured
    # Vectors that come late count as if they had been there from the beginning.
    store.batch([Embed(id, 1, vector("red")) for id in ids[:60]], scope=ANA)
    index.refresh()
    assert index.alike == index_of(store).alike > measured


@pytest.mark.parametrize("seed", [10, 11])
def test_a_history_of_revisions(open_store: OpenStore, seed: int) -> None:
    # Many versions of few turns in one session, with vectors that come late to old and new versions.
    store = open_store()
    rng = random.Random(seed)
    run = Scope(user_id="ana", run_id="r")
    ids: list[str] = []
    index = index_of(store)
    for number in range(50):
        at = START + number * MINUTE
        draft = turn(rng.choice(WORDS), embedded=rng.random() < 0.3, event_at=at, scope=run)
        if len(ids) < 3 or rng.random() < 0.25:
            ids += [written.id for written in store.batch([Put(draft)], scope=ANA).results]
        else:
            id = rng.choice(ids)
            last = history(store, id)[-1].version
            embed = Embed(id, rng.randint(1, last), vector(rng.choice(WORDS)))
            store.batch([embed if rng.random() < 0.3 else Revise(id, draft)], scope=ANA)
        index.refresh()
        assert content(index, [LATER]) == content(index_of(store), [LATER])
    check(index, store, [LATER, View(now=START), View(now=START, as_of=START + 20 * MINUTE)])


def test_a_turn_after_a_revised_one_follows_its_newest_version(open_store: OpenStore) -> None:
    store = open_store()
    run = Scope(user_id="ana", run_id="r")
    first = say(store, "red fox", event_at=START, scope=run)
    index = index_of(store)
    store.batch([Revise(first, turn("blue fox", event_at=START))], scope=ANA)
    index.refresh()
    say(store, "green bird", event_at=START, scope=run)
    index.refresh()
    assert index.previous.tolist() == [-1, -1, 1]
    assert index.next.tolist() == [2, 2, -1]
    assert index.session.tolist() == [0, 0, 0]


def test_only_one_version_of_a_record_is_visible(open_store: OpenStore) -> None:
    store = open_store()
    id = say(store, "red fox", event_at=START)
    # A change that is announced ahead: the old version is still true and the new one is already found.
    ahead = START + timedelta(days=5000)
    store.batch([Revise(id, turn("blue fox", event_at=ahead))], scope=ANA)
    index = index_of(store)
    old, new = history(store, id)
    assert LATER.shows(old)
    assert LATER.shows(new)
    assert visible(index, LATER).tolist() == [False, True]
    assert visible(index, View(now=START, as_of=START)).tolist() == [True, False]
    assert visible(index, View(now=ahead, as_of=ahead)).tolist() == [False, True]


def test_a_restored_record_is_not_shown_beside_the_version_that_still_runs(open_store: OpenStore) -> None:
    store = open_store()
    id = say(store, "red fox", event_at=START)
    store.batch([Close(id, START + timedelta(days=9999))], scope=ANA)
    index = index_of(store)
    assert visible(index, LATER).tolist() == [True]
    store.batch([Restore(id, 1)], scope=ANA)
    index.refresh()
    assert LATER.shows(history(store, id)[0])
    assert visible(index, LATER).tolist() == [False, True]


def test_what_lies_ahead_can_be_closed(open_store: OpenStore) -> None:
    store = open_store()
    ahead = START + timedelta(days=7)
    id = say(store, "dentist next week", event_at=ahead)
    index = index_of(store)
    assert index.visible(View(now=START)) is None
    store.batch([Close(id)], scope=ANA)
    index.refresh()
    assert visible(index, View(now=START)).tolist() == [False]
    assert not View(now=START).shows(history(store, id)[0])


def test_visibility_moves_on_with_time(open_store: OpenStore) -> None:
    store = open_store()
    for days in (2, 4, 6):
        say(store, f"until day {days}", event_at=START, valid_to=START + timedelta(days=days))
    say(store, "for ever", event_at=START)
    index = index_of(store)
    shown = [int(visible(index, View(now=START + timedelta(days=day))).sum()) for day in range(8)]
    assert shown == [4, 4, 3, 3, 2, 2, 1, 1]
    # Back again, and to the very moment of an end.
    assert visible(index, View(now=START)).all()
    assert int(visible(index, View(now=START + timedelta(days=2))).sum()) == 3
    assert int(visible(index, View(now=START + timedelta(days=2) - timedelta(microseconds=1))).sum()) == 4
    # Other views in between leave no trace.
    for day in (3, 1, 5):
        at = START + timedelta(days=day)
        assert visible(index, View(now=at)).tolist() == visible(index, View(now=START, as_of=at)).tolist()
    recorded = [history(store, id)[0].recorded_at for id in index.ids]
    for known in (1, 3, 2):
        assert int(visible(index, View(now=START, known_at=recorded[known])).sum()) == known + 1


def test_visibility_of_rows_that_came_later_moves_both_ways(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "for ever", event_at=START)
    index = index_of(store)
    day = timedelta(days=1)
    assert visible(index, View(now=START)).tolist() == [True]
    say(store, "until day 2", event_at=START, valid_to=START + 2 * day)
    say(store, "until day 4", event_at=START, valid_to=START + 4 * day)
    index.refresh()
    for number, expected in ((3, [True, False, True]), (5, [True, False, False]), (1, [True, True, True])):
        assert visible(index, View(now=START + number * day)).tolist() == expected


def test_an_erasure_starts_over(open_store: OpenStore) -> None:
    store = open_store()
    ids = [say(store, text) for text in ("red fox", "blue dog", "red bird")]
    index = index_of(store)
    before = index.lookup(("red", "fox", "dog"))
    assert None not in before
    store.batch([Erase((ids[0], ids[2]))], scope=ANA)
    index.refresh()
    assert index.ids == [ids[1]]
    assert index.lookup(("red", "fox")) == (None, None)
    assert index.rows(ids).tolist() == [-1, 0, -1]
    # A word that comes back gets a new number, which an index that remembered the old one would not find.
    say(store, "red again")
    index.refresh()
    (red,) = index.lookup(("red",))
    assert red is not None
    assert red not in before
    assert index.postings.of(red)[0].tolist() == [1]


def test_an_erasure_elsewhere_changes_nothing(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "red fox")
    theirs = say(store, "blue dog", BOB)
    index = index_of(store)
    before = content(index, [LATER])
    store.batch([Erase((theirs,))], scope=BOB)
    index.refresh()
    assert content(index, [LATER]) == before | {"integers": index.lookup((*STEMS, *MARKERS))}
    assert index.seq == store.position()


def test_scopes_stay_apart(open_store: OpenStore) -> None:
    store = open_store()
    scopes = [Scope(user_id="a"), Scope(user_id="ab"), Scope(user_id="a%"), Scope(user_id="a", run_id="1")]
    ids = [say(store, "red fox", scope) for scope in scopes]
    found = [index_of(store, scope).ids for scope in scopes]
    assert found == [[ids[0], ids[3]], [ids[1]], [ids[2]], [ids[3]]]


def test_neighbours_keep_to_their_session(open_store: OpenStore) -> None:
    store = open_store()
    # Without session ids an hour of silence begins a new session; with them nothing else does.
    for minutes in (0, 60, 121, 122):
        say(store, "turn", event_at=START + minutes * MINUTE)
    for minutes in (0, 500, 9000):
        say(store, "turn", event_at=START + minutes * MINUTE, scope=Scope(user_id="ana", run_id="r"))
    say(store, "fact", event_at=START, kind="fact")
    say(store, "turn", event_at=START + 123 * MINUTE)
    index = index_of(store)
    assert index.session.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 1]
    around = index.neighbours(np.array([0, 2, 3, 5, 7, 8, -1]))
    assert {distance: found.tolist() for distance, found in around.items()} == {
        0: [0, 2, 3, 5, 7, 8, -1],
        -1: [-1, -1, 2, 4, -1, 3, -1],
        1: [1, 3, 8, 6, -1, -1, -1],
        -2: [-1, -1, -1, -1, -1, 2, -1],
        2: [-1, 8, -1, -1, -1, -1, -1],
    }


def test_markers_are_no_words(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "red fox")
    index = index_of(store)  # before any marker has been written
    assert not index.flagged(ASKS, np.array([0]))[0]
    say(store, "red fox?")
    say(store, "\ue000asks the fox")  # what looks like a marker in a text is none
    store.batch([Put(turn(text)) for text in ("...", "?", "?", "...", "red", "yesterday?")], scope=ANA)
    index.refresh()
    everything = np.array([*range(9), -1])
    assert np.flatnonzero(index.flagged(ASKS, everything)).tolist() == [1, 4, 5, 8]
    assert np.flatnonzero(index.flagged(DATED, everything)).tolist() == [8]
    assert index.lengths.tolist() == [2, 2, 3, 0, 0, 0, 0, 1, 1]
    assert all(not len(index.postings.of(integer)[0]) for integer in index.lookup(MARKERS) if integer is not None)
    assert [len(index.terms_of(row)) for row in range(9)] == index.lengths.tolist()


def test_a_word_that_was_unknown_is_known_once_it_was_said(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "red fox")
    index = index_of(store)
    assert index.lookup(("bird", "red", "dog")) == (None, 1, None)
    say(store, "blue dog?")
    index.refresh()
    bird, dog = index.lookup(("bird", "dog"))
    assert bird is None
    assert postings_of(index, dog) == [(1, 1)]
    assert index.flagged(ASKS, np.arange(2)).tolist() == [False, True]
    # Words are numbered for the whole store: what others say is known too.
    say(store, "green bird", BOB)
    index.refresh()
    (bird,) = index.lookup(("bird",))
    assert bird is not None
    assert postings_of(index, bird) == []


def test_an_empty_scope(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "red fox", BOB)
    index = index_of(store)
    index.refresh()
    empty = content(index, [LATER])
    assert (empty["ids"], empty["sessions"], empty["rows"]) == ([], 0, [-1])
    assert index.visible(LATER) is None
    assert index.recency(np.zeros(0, np.intp)).tolist() == []
    assert index.window_length == 0
    assert len(index) == 0 < index.nbytes
    say(store, "red fox")
    index.refresh()
    assert len(index) == 1


def test_without_an_embedding_space_there_are_no_vectors(open_store: OpenStore) -> None:
    store = open_store()
    id = say(store, "red fox")
    index = ScopeIndex(store, ANA, None, DIM)
    index.refresh()
    store.batch([Embed(id, 1, vector("blue dog"))], scope=ANA)
    index.refresh()
    assert index.scales.tolist() == [0]
    assert not index.codes.any()
    assert index.window_norms.tolist() == [np.float32(1e-6)]


def test_recency_is_a_place_in_time(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "middle", event_at=START + 5 * MINUTE)
    index = index_of(store)
    assert index.recency(np.array([0])).tolist() == [0]
    say(store, "old", event_at=START)
    index.refresh()
    assert index.recency(np.array([0, 1])).tolist() == [1, 0]
    say(store, "new", event_at=START + 10 * MINUTE)
    index.refresh()
    assert index.recency(np.array([0, 1, 2])) == pytest.approx([0.5, 0, 1])


def test_norms_are_of_the_whole_scope(open_store: OpenStore) -> None:
    store = open_store()
    say(store, "red")
    index = index_of(store)
    assert index.norms == pytest.approx(length_norms(np.array([1.0])))
    say(store, "red fox jumps")
    index.refresh()
    assert index.norms == pytest.approx(length_norms(np.array([1.0, 3.0])))
    assert index.session_lengths.tolist() == [4]
    assert index.window_length == pytest.approx((1 + 0.6 * 3 + 3 + 0.6 * 1) / 2)


@pytest.mark.parametrize(
    ("speaker", "role", "scope", "name"),
    [
        ("Ana", "user", Scope(user_id="u1"), "Ana"),
        (None, "user", Scope(user_id="ana"), "ana"),
        ("", "user", Scope(run_id="r"), "user"),
        (None, "assistant", Scope(user_id="ana", agent_id="Max"), "Max"),
        (None, "assistant", Scope(user_id="ana"), "assistant"),
        (None, "tool", Scope(user_id="ana"), "tool"),
        (None, None, Scope(user_id="ana"), ""),
    ],
)
def test_who_speaks(speaker: str | None, role: str | None, scope: Scope, name: str) -> None:
    assert who_speaks(speaker, role, scope) == name


def test_speakers_are_numbered_as_they_appear(open_store: OpenStore) -> None:
    store = open_store()
    app = Scope(app_id="x")
    ana, bob = Scope(app_id="x", user_id="ana"), Scope(app_id="x", user_id="bob")
    followed = index_of(store, app)
    for scope, speaker, role in (
        (ana, None, "user"), (ana, "Bo", "user"), (bob, None, "user"), (bob, "Bo", None), (ana, None, "user"),
        (bob, None, None), (bob, "ana", None),
    ):  # fmt: skip
        say(store, "red fox", scope, speaker=speaker, role=role)
        followed.refresh()
    for index in (followed, index_of(store, app)):
        assert index.speakers == ["ana", "Bo", "bob", ""]
        assert index.speaker.tolist() == [0, 1, 2, 1, 0, 3, 0]
        assert index.is_user.tolist() == [True, True, True, False, True, False, False]


def test_bytes_are_counted_for_every_column(open_store: OpenStore) -> None:
    store = open_store()
    index = index_of(store)
    world = World(store, 5)
    sizes = []
    for _ in range(3):
        for _ in range(40):
            world.step()
        index.refresh()
        assert index.visible(LATER) is not None
        sizes.append(index.nbytes)
        tables = 50 * (len(index.ids) + len(index._groups) + len(index._integers))
        assert index.nbytes > index.postings.nbytes + tables
    assert sizes == sorted(sizes)
    columns = {name: value for name, value in vars(index).items() if isinstance(value, Growing)}
    assert len(columns) >= 15
    for name, column in columns.items():
        before = index.nbytes
        setattr(index, name, Growing(np.int8))
        assert index.nbytes == before - column.nbytes, name

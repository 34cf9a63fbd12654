from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.clock import to_micros
from remanence.core.scope import Scope
from remanence.kernels.bm25 import length_norms
from remanence.kernels.growing import Growing
from remanence.kernels.quantize import dequantize
from remanence.kernels.sequence_links import SESSION_GAP, link_naive
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Close, Embed, Erase, Put, Revise
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.scope_index import (
    ASKS,
    DATED,
    MARK,
    MARKERS,
    WINDOW,
    IndexCache,
    ScopeIndex,
    who_speaks,
)
from tests.substrates.worlds import (
    ANA,
    ANALYZER,
    BOB,
    EMBEDDER,
    MINUTE,
    START,
    WORDS,
    OpenStore,
    World,
    history,
    opened,
    rows,
    say,
    turn,
    vector,
)

SPACE = EMBEDDER.space.key
DIM = EMBEDDER.space.dim
LATER = View(now=START + timedelta(days=3650))
STEMS = sorted({term for word in WORDS for term in ANALYZER.terms(word)})


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    with opened(request.param, tmp_path) as another:
        yield another


def index_of(store: RecordStore, scope: Scope = ANA) -> ScopeIndex:
    index = ScopeIndex(store, scope, SPACE, DIM)
    index.refresh()
    return index


def content(index: ScopeIndex, views: list[View]) -> dict[str, Any]:
    """All that can be read from an index, as plain data."""
    everything = np.arange(len(index))
    integers = index.lookup((*STEMS, *MARKERS))
    return {
        "ids": index.ids,
        "version": index.version.tolist(),
        "session": index.session.tolist(),
        "sessions": index.sessions,
        "previous": index.previous.tolist(),
        "next": index.next.tolist(),
        "speakers": index.speakers,
        "speaker": index.speaker.tolist(),
        "is_user": index.is_user.tolist(),
        "is_turn": index.is_turn.tolist(),
        "event_at": index.event_at.tolist(),
        "lengths": index.lengths.tolist(),
        "codes": index.codes.tolist(),
        "scales": index.scales.tolist(),
        "window_norms": index.window_norms.tolist(),
        "window_length": index.window_length,
        "norms": index.norms.tolist(),
        "session_lengths": index.session_lengths.tolist(),
        "recency": index.recency(everything).tolist(),
        "terms": [index.terms_of(row).tolist() for row in range(len(index))],
        "integers": integers,
        "postings": [postings_of(index, integer) for integer in integers],
        "flags": [index.flagged(marker, everything).tolist() for marker in MARKERS],
        "rows": index.rows([*dict.fromkeys(index.ids), "unknown"]).tolist(),
        "visible": [visible(index, view).tolist() for view in views],
    }


def postings_of(index: ScopeIndex, integer: int | None) -> list[tuple[int, int]]:
    docs, tfs = index.postings.of(-1 if integer is None else integer)
    return list(zip(docs.tolist(), tfs.tolist(), strict=True))


def visible(index: ScopeIndex, view: View) -> np.ndarray:
    found = index.visible(view)
    assert found is None or not found.all()
    return np.ones(len(index), bool) if found is None else found


def records_of(store: RecordStore, scope: Scope = ANA) -> list[Record]:
    """The record of every row."""
    found = []
    for id, version in rows(store, scope):
        found += [record for record in history(store, id, scope) if record.version == version]
    return found


def check(index: ScopeIndex, store: RecordStore, views: list[View]) -> None:
    """Compare an index with what the records themselves say, row by row."""
    records = records_of(store, index.scope)
    assert [(record.id, record.version) for record in records] == list(
        zip(index.ids, index.version.tolist(), strict=True)
    )
    words = {integer: word for word, integer in zip(STEMS, index.lookup(tuple(STEMS)), strict=True) if integer}
    for row, record in enumerate(records):
        plain = [term for term in record.terms if not term.startswith(MARK)]
        assert [words[integer] for integer in index.terms_of(row).tolist()] == plain
        assert index.lengths[row] == len(plain)
        assert index.event_at[row] == to_micros(record.event_at)
        assert index.is_turn[row] == (record.kind == "turn")
        assert index.is_user[row] == (record.role == "user")
        assert index.speakers[index.speaker[row]] == who_speaks(record.speaker, record.role, record.scope)
        for marker in MARKERS:
            assert index.flagged(marker, np.array([row]))[0] == (marker in record.terms)
    for word, integer in zip(STEMS, index.lookup(tuple(STEMS)), strict=True):
        expected = [(row, record.terms.count(word)) for row, record in enumerate(records) if word in record.terms]
        if expected:
            assert postings_of(index, integer) == expected
    newest = {record.id: row for row, record in enumerate(records)}
    for view in views:
        shown = {(r.id, r.version) for id in newest for r in [n for n in records if n.id == id and view.shows(n)][-1:]}
        assert visible(index, view).tolist() == [(record.id, record.version) in shown for record in records]
    check_links(index, records, newest)
    check_windows(index)


def check_links(index: ScopeIndex, records: list[Record], newest: dict[str, int]) -> None:
    """Neighbours of the newest version of each record: those of its first version, in their newest versions."""
    first = {record.id: record for record in reversed(records)}
    firsts = [record for record in records if first[record.id] is record]
    streams: dict[Scope, int] = {}
    groups = [streams.setdefault(r.scope, len(streams)) if r.kind == "turn" and r.version == 1 else -1 for r in firsts]
    times = [to_micros(record.event_at) for record in firsts]
    session, previous, following = link_naive(groups, times, [r.scope.run_id is None for r in firsts], SESSION_GAP)
    sessions = {}
    for place, record in enumerate(firsts):
        row = newest[record.id]
        for links, column in ((previous, index.previous), (following, index.next)):
            assert column[row] == (newest[firsts[links[place]].id] if links[place] >= 0 else -1)
        sessions[session[place]] = int(index.session[row])
        assert index.session[row] == sessions[session[place]]
    assert len(set(sessions.values())) == len(sessions)


def check_windows(index: ScopeIndex) -> None:
    vectors = dequantize(index.codes, index.scales)
    for row in range(len(index)):
        total = np.zeros(index.dim)
        for distance, near in index.neighbours(np.array([row])).items():
            if near[0] >= 0:
                total += WINDOW[distance] * vectors[near[0]]
        assert index.window_norms[row] == pytest.approx(max(float(np.linalg.norm(total)), 1e-6), rel=1e-4)


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


def test_two_doors_to_one_file(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as another:
        here, there = another(), another()
        caches = IndexCache(here), IndexCache(there)
        world = World(here, 3, erase=0.1)
        for step in range(60):
            world.step((here, there)[step % 2])
            indexes = [cache.get(ANA, SPACE, DIM) for cache in caches]
            assert indexes[0].seq == indexes[1].seq == here.position()
            if step % 6 == 0:
                views = world.views()
                assert content(indexes[0], views) == content(indexes[1], views)
        check(caches[1].get(ANA, SPACE, DIM), here, world.views())


def test_the_cache_gives_the_same_index_brought_up_to_date(open_store: OpenStore) -> None:
    store = open_store()
    cache = IndexCache(store)
    index = cache.get(ANA, SPACE, DIM)
    assert len(index) == 0
    say(store, "red fox")
    assert cache.get(ANA, SPACE, DIM) is index
    assert len(index) == 1
    assert cache.get(ANA, None, DIM) is not index
    assert cache.get(BOB, SPACE, DIM) is not index
    assert len(cache) == 3
    cache.clear()
    assert len(cache) == 0 == cache.nbytes
    assert cache.get(ANA, SPACE, DIM).ids == index.ids


def test_the_least_recently_used_index_goes_first(open_store: OpenStore) -> None:
    store = open_store()
    scopes = [Scope(user_id=str(number)) for number in range(5)]
    for scope in scopes:
        store.batch([Put(turn(" ".join(WORDS))) for _ in range(20)], scope=scope)
    size = index_of(store, scopes[0]).nbytes
    cache = IndexCache(store, budget=3 * size + size // 2)
    indexes = {scope: cache.get(scope, SPACE, DIM) for scope in scopes[:3]}
    assert cache.get(scopes[0], SPACE, DIM) is indexes[scopes[0]]
    cache.get(scopes[3], SPACE, DIM)
    assert len(cache) == 3
    assert cache.nbytes <= cache.budget
    # The second was the one that nobody asked for the longest; asked for again, it is loaded anew.
    for scope in (scopes[2], scopes[0]):
        assert cache.get(scope, SPACE, DIM) is indexes[scope]
    again = cache.get(scopes[1], SPACE, DIM)
    assert again is not indexes[scopes[1]]
    assert content(again, [LATER]) == content(indexes[scopes[1]], [LATER])


def test_an_index_larger_than_the_budget_still_works(open_store: OpenStore) -> None:
    store = open_store()
    cache = IndexCache(store, budget=1)
    for _ in range(3):
        say(store, "red fox")
        assert len(cache.get(ANA, SPACE, DIM).ids) == len(rows(store))
        assert len(cache) == 1
    cache.get(BOB, SPACE, DIM)
    assert len(cache) == 1


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


def test_threads_share_a_cache(open_store: OpenStore) -> None:
    store = open_store()
    cache = IndexCache(store, budget=60_000)
    scopes = [Scope(user_id="ana", run_id="r1"), ANA, BOB]
    errors: list[BaseException] = []
    gate = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            rng = random.Random(number)
            gate.wait()
            for turn_number in range(12):
                scope = rng.choice(scopes)
                text = " ".join(rng.choices(WORDS, k=4))
                id = say(store, text, scope, event_at=START + turn_number * MINUTE, embedded=rng.random() < 0.5)
                if rng.random() < 0.3:
                    store.batch([Revise(id, turn("blue dog"))], scope=scope)
                index = cache.get(scope, SPACE, DIM)
                with index.lock:
                    assert id in index.ids, "a write that was acknowledged is read"
                    assert len(index.window_norms) == len(index.norms) == len(index.ids) == len(index.codes)
                    shown = visible(index, LATER)
                    assert shown[index.rows([id])[0]]
                assert cache.nbytes > 0
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    for scope in scopes:
        assert content(cache.get(scope, SPACE, DIM), [LATER]) == content(index_of(store, scope), [LATER])

"""The verifier finds what is there, in every form, across every seam, and nothing else."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import StoreError
from remanence.stores.relational.searching import FRAGMENTS, Needles, find_naive, forms, fragments
from remanence.stores.sqlite import verify
from remanence.stores.sqlite.verify import verify_erasure
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Erase, Put
from tests.stores.sqlite.support import ANA, BOB, add, ask, files, fresh

LETTERS = st.binary(max_size=40).map(lambda data: bytes(97 + byte % 2 for byte in data))


@given(
    data=st.binary(max_size=300).map(lambda data: bytes(97 + byte % 2 for byte in data)),
    needles=st.lists(LETTERS, max_size=6),
)
def test_the_fast_search_finds_what_the_plain_one_does(data: bytes, needles: list[bytes]) -> None:
    assert set(Needles(needles).find(data)) == find_naive(data, needles)


def test_the_fast_search_in_random_bytes_with_planted_needles() -> None:
    rng = random.Random(5)
    needles = [rng.randbytes(rng.randrange(1, 60)) for _ in range(60)]
    data = b"".join(rng.choice((rng.randbytes(rng.randrange(40)), rng.choice(needles))) for _ in range(400))
    assert set(Needles(needles).find(data)) == {
        (at, needle) for needle in needles for at in range(len(data)) if data.startswith(needle, at)
    }


@pytest.mark.parametrize("length", [4, 9, 100])
def test_a_needle_across_the_seam_of_two_portions_is_found(
    tmp_path: Path, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_PORTION", 128)
    needle = "".join(map(chr, range(200, 200 + length)))
    data = needle.encode()
    for at in (0, 1, 120, 127, 128, 129, 200, 255):
        files = [tmp_path / "x", tmp_path / "x-wal"]
        for file in files:
            file.write_bytes(bytes(at) + data + bytes(300))
        found, sizes = verify._in_files(files[0], [needle])
        phrases = [(finding.place, finding.offset) for finding in found if finding.kind == "phrase"]
        assert phrases == [("x", at), ("x-wal", at)]
        assert sizes == dict.fromkeys(("x", "x-wal"), at + len(data) + 300)


@pytest.mark.parametrize("form", ["utf-8", "utf-16-le", "utf-16-be", "json", "json-utf-8"])
def test_a_phrase_is_found_in_every_form_and_file(tmp_path: Path, form: str) -> None:
    # The journal is one that a killed process could have left: SQLite deletes it as soon as it opens the store.
    path = tmp_path / "r.db"
    store = fresh(path)
    phrase = 'Ünïque "quoted" words\nstand here'
    add(store, "x")
    store.close()
    assert verify_erasure(path, (), [phrase]).clean
    for name in ("r.db", "r.db-journal"):
        file = tmp_path / name
        before = file.read_bytes() if file.exists() else b""
        file.write_bytes(before + b"?" * 3 + forms(phrase)[form])
        report = verify_erasure(path, (), [phrase])
        (finding, *rest) = (finding for finding in report.findings if finding.kind == "phrase")
        assert (finding.place, finding.offset, finding.what) == (name, len(before) + 3, phrase)
        assert rest == []
        assert forms(phrase)[str(finding.form)] == forms(phrase)[form]
        if name == "r.db":
            file.write_bytes(before)


def test_a_torn_phrase_is_found_by_its_fragments(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    add(fresh(path), "x")
    phrase = "one two three four five six seven"
    (tmp_path / "r.db-journal").write_bytes(b"two three four five -- six seven")
    report = verify_erasure(path, (), [phrase])
    assert [(finding.kind, finding.what) for finding in report.findings] == [("fragment", "two three four five")]
    assert not report.clean


def test_a_fragment_that_somebody_else_says_is_no_finding_but_the_phrase_is(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "I moved from Lisbon to Oslo", scope=BOB)
    assert verify_erasure(path, (), ["I moved from Lisbon last week"]).clean
    report = verify_erasure(path, (), ["I moved from Lisbon to Oslo"])
    assert {finding.kind for finding in report.findings} == {"phrase"}


def test_fragments_of_long_short_and_unspaced_phrases() -> None:
    assert fragments("a b c d e") == ["a b c d", "b c d e"]
    assert fragments("a b c d") == fragments("a b c") == []
    assert fragments("我上週從里斯本搬到了奧斯陸。") == [
        "我上週從里斯本搬到了奧斯",
        "上週從里斯本搬到了奧斯陸",
        "週從里斯本搬到了奧斯陸。",
    ]
    long = " ".join(map(str, range(10_000)))
    assert len(fragments(long)) <= FRAGMENTS
    assert fragments(long)[0] == "0 1 2 3"


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("INSERT INTO lineage VALUES (:id, 99)", "lineage.source"),
        ("INSERT INTO usage VALUES (1, :id, 1, NULL, 1, 0)", "usage.id"),
        ("INSERT INTO floors VALUES (1, :id, 1)", "floors.id"),
        ("UPDATE journal SET detail = '{\"target\":\"' || :id || '\"}'", "journal.detail"),
        ("UPDATE versions SET sources = '[[\"' || :id || '\",0,1]]'", "versions.sources"),
        ("UPDATE changes SET why = 'because of ' || :id", "changes.why"),
        ("UPDATE versions SET text = CAST('blob ' || :id AS BLOB)", "versions.text"),
    ],
)
def test_an_id_left_in_any_table_is_found(tmp_path: Path, statement: str, place: str) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    gone, _ = add(store, "x", "y")
    receipt = ask(store, Erase((gone,)))
    assert verify_erasure(path, receipt).clean
    connection = sqlite3.connect(path)
    connection.execute(statement, {"id": gone})
    connection.commit()
    connection.close()
    report = verify_erasure(path, receipt)
    assert {(finding.kind, finding.what, finding.place) for finding in report.findings} == {("id", gone, place)}
    assert not verify_erasure(path, [gone]).clean
    assert verify_erasure(path, ["0" * 26]).clean


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_mark_of_the_highest_id_is_no_finding(tmp_path: Path, place: int) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    ids = add(store, "x", "y", "z")
    assert verify_erasure(path, ask(store, Erase((ids[place],)))).clean
    new, receipt = store.batch([Put(Draft("w")), Erase(None)], scope=ANA).results
    assert new.id in receipt.ids
    assert verify_erasure(path, receipt).clean
    assert add(store, "v")[0] > new.id


def test_looking_changes_nothing_and_needs_a_store(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "x")
    store.close()
    before = files(path)
    assert verify_erasure(path, (), ["x y z"]).files == {"r.db": len(before["r.db"])}
    assert files(path) == before
    with pytest.raises(StoreError, match="not there"):
        verify_erasure(tmp_path / "other.db", ())
    assert not (tmp_path / "other.db").exists()

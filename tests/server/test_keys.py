"""Keys: shown once, kept as hashes, bound to scopes and rights, and ended at once."""

from __future__ import annotations

import hmac
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from remanence.core.errors import InvalidInput, NotFound, StoreBusy, StoreCorrupt, StoreError, StoreVersionError
from remanence.server.keys import Keys
from remanence.server.places import is_busy, is_database
from remanence.server.settings import Settings
from tests.server.conftest import Now
from tests.server.stores import STORES, address
from tests.stores.postgres.server import serve as server
from tests.support.waiting import eventually

Open = Callable[..., Keys]


@pytest.fixture(params=STORES)
def another(request: pytest.FixtureRequest, tmp_path: Path, clock: Now) -> Iterator[Open]:
    """Opens the same keys as another process would, in a file and in a database."""
    opened: list[Keys] = []
    with address(request.param, tmp_path) as store:

        def new(timeout: float = 60.0) -> Keys:
            opened.append(Keys(Settings(path=store).keys_place, clock=clock, timeout=timeout))
            return opened[-1]

        yield new
        for keys in opened:
            keys.close()


@pytest.fixture
def keys(another: Open) -> Keys:
    return another()


@pytest.fixture
def in_a_file(tmp_path: Path, clock: Now) -> Iterator[Keys]:
    with closing(Keys(tmp_path / "m.db.keys", clock=clock)) as keys:
        yield keys


def test_the_secret_is_in_no_file(in_a_file: Keys, tmp_path: Path) -> None:
    _, token = in_a_file.create("desk", {"user_id": "ana"})
    secret = token.rpartition("_")[2]
    assert len(secret) == 64
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert secret.encode() not in data
        assert bytes.fromhex(secret) not in data
    assert stat.S_IMODE(os.stat(in_a_file.place).st_mode) == 0o600


def test_a_key_is_found_by_its_token_alone(keys: Keys) -> None:
    made, token = keys.create("desk", {"session_id": 7, "project_id": "p"}, ["read"])
    found = keys.verify(token)
    assert found == made
    assert found is not None
    assert dict(found.scope) == {"app_id": "p", "run_id": "7"}
    other, _ = keys.create("other", None)
    crossed = token.replace(made.id, other.id)
    for wrong in ("", token[:-1], token + "0", token.upper(), crossed, f" {token}", token.replace("rmk", "xxx")):
        assert keys.verify(wrong) is None


def test_secrets_are_compared_in_constant_time(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = keys.create("desk", None)
    compared: list[int] = []
    real = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    keys.verify(token)
    keys.verify(token[:-64] + "0" * 64)
    keys.verify("rmk_" + "0" * 16 + "_" + "0" * 64)
    assert compared == [32, 32, 32], "an unknown id takes as long as a wrong secret"


def test_two_keys_differ(keys: Keys) -> None:
    assert len({keys.create("desk", None)[1] for _ in range(20)}) == 20


def test_expiry(keys: Keys, clock: Now) -> None:
    made, token = keys.create("desk", None, expires=clock.current + timedelta(days=1))
    assert keys.verify(token) is not None
    clock.current += timedelta(days=1)
    assert keys.verify(token) is None
    assert keys.list()[0].state(clock.current) == "expired"
    with keys.holding(made.id) as valid:
        assert not valid
    with pytest.raises(InvalidInput):
        keys.create("desk", None, expires="2020-01-01")


def test_revocation_reaches_other_processes_objects(keys: Keys, another: Open) -> None:
    made, token = keys.create("desk", None)
    running = another()
    assert running.verify(token) is not None
    ended = keys.revoke(made.id)
    assert ended.revoked is not None
    assert running.verify(token) is None
    assert keys.revoke(made.id) == ended, "the first time counts"
    with pytest.raises(NotFound):
        keys.revoke("0" * 16)
    assert keys.usable() == 0
    assert keys.exist(), "what was revoked still says that callers need keys"


def test_a_revocation_waits_for_the_writes_before_it_and_stops_those_after(keys: Keys, another: Open) -> None:
    made, _ = keys.create("desk", None)
    inside, finish, order = threading.Event(), threading.Event(), []

    def write() -> None:
        with another().holding(made.id) as valid:
            assert valid
            inside.set()
            finish.wait(60)
            order.append("written")

    def revoke() -> None:
        another().revoke(made.id)
        order.append("revoked")

    writer, revoker = threading.Thread(target=write), threading.Thread(target=revoke)
    writer.start()
    inside.wait(60)
    revoker.start()
    revoker.join(0.3)
    assert revoker.is_alive(), "it waits for the write in progress"
    finish.set()
    revoker.join(60)
    writer.join(60)
    assert order == ["written", "revoked"]
    with keys.holding(made.id) as valid:
        assert not valid


def test_a_revocation_does_not_wait_for_ever(keys: Keys, another: Open) -> None:
    made, _ = keys.create("desk", None)
    with keys.holding(made.id), pytest.raises(StoreBusy):
        another(0.1).revoke(made.id)
    keys.revoke(made.id)


def revocation_waits(keys: Keys) -> bool:
    """Whether somebody waits to change the keys."""
    if is_database(keys.place):
        return bool(server().execute("SELECT 1 FROM pg_locks WHERE NOT granted"))
    with closing(sqlite3.connect(keys.place, timeout=0)) as raw:
        try:
            raw.execute("SELECT count(*) FROM keys").fetchone()
        except sqlite3.OperationalError as error:
            return is_busy(error)
    return False


def test_while_a_revocation_waits_no_write_begins(keys: Keys, another: Open) -> None:
    """Writes that follow each other without a gap would put a revocation off for ever."""
    made, _ = keys.create("desk", None)
    inside, finish, order = threading.Event(), threading.Event(), []

    def first() -> None:
        with another().holding(made.id):
            inside.set()
            finish.wait(60)
        order.append("first is over")

    def revoke() -> None:
        another().revoke(made.id)
        order.append("revoked")

    def second() -> None:
        with another().holding(made.id) as valid:
            order.append(f"second is let in: {valid}")

    threads = [threading.Thread(target=act) for act in (first, revoke, second)]
    threads[0].start()
    assert inside.wait(60)
    threads[1].start()
    eventually(lambda: revocation_waits(keys), "nobody waits")
    threads[2].start()
    threads[2].join(0.2)
    assert [thread.is_alive() for thread in threads] == [True, True, True]
    finish.set()
    for thread in threads:
        thread.join(60)
    # Who is told first that it is over is for the machine to choose; what the second one saw is not.
    assert sorted(order) == ["first is over", "revoked", "second is let in: False"]


def test_different_keys_do_not_wait_for_each_other_in_a_database(tmp_path: Path) -> None:
    with address("postgres", tmp_path) as store, closing(Keys(store)) as keys, closing(Keys(store)) as other:
        one, two = keys.create("one", None)[0], keys.create("two", None)[0]
        with keys.holding(one.id) as valid:
            other.revoke(two.id)
            assert valid


def test_a_write_ahead_log_would_let_a_write_outlive_its_key(in_a_file: Keys, clock: Now) -> None:
    """The wrong variant: with SQLite's other journal, a revocation does not wait for readers."""
    made, _ = in_a_file.create("desk", None)
    raw = sqlite3.connect(in_a_file.place)
    raw.execute("PRAGMA journal_mode = WAL").fetchall()
    raw.close()
    with Keys(in_a_file.place, clock=clock).holding(made.id) as valid:
        Keys(in_a_file.place, clock=clock, timeout=0.5).revoke(made.id)
        assert valid


@pytest.mark.parametrize(
    ("name", "scope", "rights"),
    [
        ("", None, ["read"]),
        ("a\nb", None, ["read"]),
        ("x" * 201, None, ["read"]),
        ("desk", {}, ["read"]),
        ("desk", {"user_id": ""}, ["read"]),
        ("desk", {"colour": "red"}, ["read"]),
        ("desk", None, []),
        ("desk", None, ["everything"]),
    ],
)
def test_what_no_key_can_be(keys: Keys, name: str, scope: dict[str, str] | None, rights: list[str]) -> None:
    with pytest.raises(InvalidInput):
        keys.create(name, scope, rights)
    assert keys.list() == []


def test_without_any_nobody_is_let_in(keys: Keys) -> None:
    assert keys.verify("rmk_" + "0" * 16 + "_" + "0" * 64) is None
    assert keys.usable() == 0
    with pytest.raises(NotFound):
        keys.revoke("0" * 16)
    assert not keys.exist(), "looking makes none"


def test_a_file_that_is_gone_or_replaced_lets_nobody_in(in_a_file: Keys, tmp_path: Path, clock: Now) -> None:
    made, token = in_a_file.create("desk", None)
    assert in_a_file.verify(token) is not None
    os.rename(in_a_file.place, tmp_path / "away")
    assert in_a_file.verify(token) is None
    with pytest.raises(StoreError), in_a_file.holding(made.id):
        pass
    Keys(in_a_file.place, clock=clock).create("other", None)
    assert in_a_file.verify(token) is None


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to look at" * 50])
def test_a_file_that_is_none_lets_nobody_in(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.db.keys"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        Keys(path).verify("rmk_" + "0" * 16 + "_" + "0" * 64)


def test_another_database_is_not_taken_for_keys(tmp_path: Path) -> None:
    path = tmp_path / "m.db.keys"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE keys (id, name, digest, scope, rights, created, expires, revoked)")
    raw.close()
    for call in (lambda: Keys(path).list(), lambda: Keys(path).create("desk", None)):
        with pytest.raises(StoreCorrupt):
            call()


def test_a_newer_file_is_refused(in_a_file: Keys, clock: Now) -> None:
    in_a_file.create("desk", None)
    raw = sqlite3.connect(in_a_file.place)
    raw.execute("PRAGMA user_version = 9")
    raw.close()
    with pytest.raises(StoreVersionError):
        Keys(in_a_file.place, clock=clock).list()

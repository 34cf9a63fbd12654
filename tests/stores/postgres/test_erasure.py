"""What was erased is in no row of any table, and the search for it can fail."""

from __future__ import annotations

import random

import psycopg
import pytest

from remanence.conformance.stage import BOB, NOW, one, put
from remanence.core.errors import NotFound, StoreReadOnly
from remanence.stores.postgres import PostgresStore
from remanence.stores.postgres.schema import ROLE
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import (
    Enqueue,
    Erase,
    Find,
    Lease,
    Link,
    Lookup,
    Receipt,
    Reindex,
    Revise,
    Settle,
)
from tests.stores.postgres.server import Schemas, Server, schema_of

SECRET = "the blue key \x00 lies under the third stone"


def filled(store: PostgresStore) -> Receipt:
    """Say a secret in every place that keeps text, and erase it."""
    words = ("blue", "key", "stone")
    id = put(store, SECRET, speaker="Zelda", terms=words, meta={"note": SECRET}, vector=Vector("s", b"\x01\x02", 1.0))
    one(store, Revise(id, Draft(SECRET + " now", terms=words)))
    one(store, Reindex(id, 1, ("stones",)))
    fact = put(store, f"fact: {SECRET}", BOB)
    one(store, Link(Edge(id, id, "self")))
    derived = put(store, "Zelda hid a key", sources=(Source(id, 0, 3),), origin="derived:facts")
    one(store, Enqueue("enrich", {"ids": [id, derived]}, f"about {id}"))
    (job,) = one(store, Lease("w"))
    one(store, Settle(job.id, "w", "dead", f"could not read {SECRET}"))
    one(store, Erase((fact,)), BOB)
    receipt: Receipt = one(store, Erase((id,), "asked for"))
    return receipt


def test_nothing_is_left_in_any_table(schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "bystander", terms=("key",))
    receipt = filled(store)
    report = store.verify_erasure(receipt, [SECRET, "Zelda hid a key", "Zelda"])
    assert report.clean, report.findings
    assert report.ids == 2
    assert {"versions", "journal", "jobs", "vocab", "scopes"} <= report.tables.keys()
    assert one(store, Lookup(("stone", "stones", "blue"))) == (None, None, None)
    assert store.check() == []


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE {0}.versions SET text = text || 'the blue key \x1a0000 lies under the third stone'", "phrase"),
        ('UPDATE {0}.versions SET meta = \'{{"x": "the blue key \\u0000 lies under the third stone"}}\'', "phrase"),
        ("UPDATE {0}.jobs SET error = 'lies under the third'", "fragment"),
        ("UPDATE {0}.journal SET other = '{1}'", "id"),
        ("UPDATE {0}.receipts SET reason = 'the blue key \x1a0000 lies under the third stone'", "phrase"),
    ],
)
def test_what_is_left_is_found(statement: str, kind: str, server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "bystander")
    receipt = filled(store)
    server.execute(statement.format(schema_of(store), receipt.ids[0]))
    report = store.verify_erasure(receipt, [SECRET])
    assert not report.clean
    assert kind in {finding.kind for finding in report.findings}


def test_a_fragment_that_somebody_else_holds_proves_nothing(schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "it lies under the third tree")
    assert store.verify_erasure(filled(store), [SECRET]).clean


def test_dead_rows_are_told_of_until_the_tables_are_rewritten(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "bystander")
    assert store.residue_cleared
    receipt = filled(store)
    assert not store.residue_cleared
    assert not store.verify_erasure(receipt).residue_cleared
    assert store.clear_residue()
    assert store.residue_cleared
    assert [record.text for record in one(store, Find(NOW))] == ["bystander"]
    if server.can_restart:
        ((path,),) = server.execute(
            "SELECT current_setting('data_directory') || '/' || pg_relation_filepath(%s::regclass)",
            f"{schema_of(store)}.versions",
        )
        server.execute("CHECKPOINT")
        with open(path, "rb") as file:
            data = file.read()
        assert b"bystander" in data
        assert b"under the third stone" not in data


def test_rows_that_somebody_still_looks_at_are_not_called_gone(server: Server, schemas: Schemas) -> None:
    with Schemas(server, busy_timeout=0.2) as impatient:
        store = impatient.new()
        put(store, "bystander")
        with psycopg.connect(server.url) as looking:
            looking.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            looking.execute("SELECT 1")
            filled(store)
            assert not store.clear_residue()
            assert not store.residue_cleared
        assert store.clear_residue()


def test_only_the_owner_can_rewrite(server: Server, schemas: Schemas) -> None:
    if not server.can_restart:
        pytest.skip("the address of another server's login cannot be made up")
    store = schemas.new()
    filled(store)
    server.execute(f"CREATE ROLE guest LOGIN; GRANT {ROLE} TO guest")
    try:
        url = server.url.replace("postgres:@", "guest:@")
        with (
            PostgresStore(url, schema=schema_of(store)) as guest,
            pytest.raises(StoreReadOnly, match="only the owner"),
        ):
            guest.clear_residue()
        assert not store.residue_cleared
    finally:
        server.execute("DROP ROLE guest")


def test_erased_ids_are_never_taken_again(schemas: Schemas) -> None:
    store = schemas.new()
    id = put(store, "x")
    one(store, Erase((id,)))
    with pytest.raises(NotFound):
        one(store, Erase((id,)))
    again = schemas.again(store)
    assert put(again, "y") > id
    assert again.verify_erasure([id]).clean


def test_lives_are_sound_to_the_last_row(schemas: Schemas) -> None:
    """After random changes the tables still promise each other what they should."""
    from tests.stores.contract.histories import JumpyClock, live

    for seed in (3, 8):
        store = schemas(clock=JumpyClock(seed), random_bits=random.Random(seed).getrandbits)
        live(seed, [store])
        assert store.check() == []
        info = store.info()
        assert info.rows["versions"] >= info.records > 0


def test_a_damaged_store_is_told_of(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "x", terms=("x",))
    name = schema_of(store)
    for statement, told in (
        (f"UPDATE {name}.versions SET terms = '\\x09000000'", "not all in the vocabulary"),
        (f"UPDATE {name}.versions SET closed_at = 0", "closed by halves"),
        (f"DELETE FROM {name}.scopes", "lies in no known scope"),
        (f"DELETE FROM {name}.journal", "has no journal entry of its own"),
    ):
        server.execute(statement)
        assert any(told in sentence for sentence in store.check()), told

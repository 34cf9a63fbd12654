"""The address of a database in place of a file's path: in Python, on the command line, and without the driver."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from remanence import Memory
from remanence.cli.app import root
from remanence.core.errors import MissingExtra
from remanence.runtime.engine import open_store
from remanence.stores.postgres import PostgresStore
from tests.stores.postgres.server import Schemas, schema_of, serve


@pytest.fixture
def url(schemas: Schemas) -> str:
    return f"{serve().url}&schema={schema_of(schemas.new())}"


def test_a_memory_lives_in_a_database(url: str) -> None:
    with Memory(url) as memory:
        memory.add("I moved from Lisbon to Oslo", user_id="ana")
        changed = memory.add("I adopted a cat \x00", user_id="ana")
        memory.add("Bo lives in Porto", user_id="bo")
        memory.flush()
        found = memory.search("where does Ana live?", user_id="ana")["results"]
        assert found[0]["memory"] == "I moved from Lisbon to Oslo"
        assert changed["results"][0]["id"] in {item["id"] for item in memory.get_all(user_id="ana")["results"]}
    with Memory(url) as again:
        assert again.search("cat", user_id="ana")["results"][0]["memory"] == "I adopted a cat \x00"
        assert again.search("Lisbon", user_id="bo")["results"][0]["memory"] == "Bo lives in Porto"
        receipt = again.erase(user_id="ana")
        assert again.verify_erasure(receipt, ["moved from Lisbon to"])["clean"]
        assert again.get_all(user_id="ana")["results"] == []
    store = open_store(url, lambda: pytest.fail("nothing is written"))
    assert isinstance(store, PostgresStore)
    assert store.verify_erasure(receipt["ids"], ["I moved from Lisbon to Oslo"]).clean
    assert store.check() == []
    store.close()


def test_two_memories_share_it(url: str) -> None:
    with Memory(url, user_id="ana") as one, Memory(url, user_id="ana") as other:
        one.add("the key is under the pot")
        assert other.search("key")["results"][0]["memory"] == "the key is under the pot"
        other.add("the key is in the drawer now")
        assert len(one.search("key")["results"]) == 2


def test_the_command_line_takes_the_address(url: str) -> None:
    runner = CliRunner()
    added = runner.invoke(root, ["--path", url, "add", "We live in Lisbon", "--user", "ana"])
    assert added.exit_code == 0, added.output
    found = runner.invoke(root, ["--path", url, "search", "Lisbon", "--user", "ana", "--json"])
    assert json.loads(found.output)["results"][0]["memory"] == "We live in Lisbon"


def test_an_erasure_is_verified_from_the_command_line(url: str) -> None:
    runner = CliRunner()
    runner.invoke(root, ["--path", url, "add", "We live in Lisbon", "--user", "ana"])
    runner.invoke(root, ["--path", url, "erase", "--yes", "--user", "ana"])
    clean = runner.invoke(root, ["--path", url, "verify-erasure", "--text", "We live in Lisbon"])
    assert clean.exit_code == 0, clean.output
    assert "dead rows may lie in the tables' files still" in clean.output
    assert "clean: looked for 0 ids and 1 phrase in " in clean.output
    assert " tables" in clean.output
    runner.invoke(root, ["--path", url, "add", "We live in Lisbon", "--user", "bob"])
    found = runner.invoke(root, ["--path", url, "verify-erasure", "--text", "We live in Lisbon"])
    assert found.exit_code == 3, found.output
    assert "found phrase 'We live in Lisbon' in versions.text" in found.output


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"remanence\[postgres\]"):
        Memory("postgresql://localhost/x")


def test_a_file_loads_no_driver() -> None:
    script = "import sys, remanence as r; r.Memory(':memory:').add('x', user_id='a'); print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""Over a Ray cluster of two machines, of which one is killed while it is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import EmbeddingError, InvalidInput, SpreadError
from remanence.runtime.bulk.on_ray import RaySpread
from remanence.runtime.memory import Memory
from remanence.substrates.embedding import HashEmbedder
from tests.runtime.bulk.cases import Gated, Picky, chat, held, listed
from tests.runtime.bulk.cluster import Nodes, cluster
from tests.stores.postgres.server import Schemas, schema_of, serve

pytestmark = pytest.mark.loopback

Open = Callable[..., Memory]

MESSAGES = 240
SIZE = 20


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster() as made:
        yield made


@pytest.fixture
def spread(nodes: Nodes) -> Iterator[RaySpread]:
    nodes.complete()
    made = RaySpread(nodes.address)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A place where the driver writes."""
    return str(tmp_path / "one.db")


@pytest.fixture
def database() -> Iterator[str]:
    """A place where workers write."""
    with Schemas(serve()) as schemas:
        yield f"{serve().url}&schema={schema_of(schemas.new())}"


@pytest.fixture
def open_() -> Iterator[Open]:
    made: list[Memory] = []

    def new(place: str, **options: Any) -> Memory:
        made.append(Memory(place, **options))
        return made[-1]

    yield new
    for memory in made:
        memory.close()


def in_this_process(path: Path, **options: Any) -> Memory:
    memory = Memory(":memory:", **options)
    with memory.bulk() as bulk:
        bulk.import_(path, size=SIZE)
    return memory


@pytest.mark.parametrize("place", ["file", "database"])
def test_an_import_outlives_a_machine(
    place: str, request: pytest.FixtureRequest, nodes: Nodes, spread: RaySpread, tmp_path: Path, open_: Open
) -> None:
    path = chat(tmp_path / "chat.jsonl", MESSAGES, users=("ana", "bo"))
    memory = open_(request.getfixturevalue(place), embedder=Gated(str(tmp_path)))
    with memory.bulk(spread) as bulk:
        with nodes.losing_one(tmp_path):
            report = bulk.import_(path, size=SIZE)
        assert (report["imported"], report["before"], report["failed"]) == (MESSAGES, 0, [])
        assert bulk.import_(path)["before"] == MESSAGES
    whole = in_this_process(path, embedder="hash")
    for user in ("ana", "bo"):
        found = held(memory.store, user_id=user)
        assert found == held(whole.store, user_id=user)
        assert len(found) == len(set(found)) == MESSAGES // 2
    assert memory.search("letter 17", user_id="bo")["results"]


def test_a_rebuild_outlives_a_machine(
    database: str, nodes: Nodes, spread: RaySpread, tmp_path: Path, open_: Open
) -> None:
    path = chat(tmp_path / "chat.jsonl", MESSAGES)
    before = open_(database, embedder="hash")
    before.import_(path)
    before.close()
    memory = open_(database, embedder=Gated(str(tmp_path)), language="german")
    with memory.bulk(spread) as bulk:
        with nodes.losing_one(tmp_path):
            report = bulk.rebuild(user_id="ana", size=SIZE)
        assert report["rebuilt"] + report["before"] == MESSAGES
        assert report["failed"] == []
    whole = in_this_process(path, embedder="hash", language="german")
    assert held(memory.store, user_id="ana")[:MESSAGES] == held(whole.store, user_id="ana")
    assert memory.jobs(user_id="ana") == []


def test_embedding_anew_outlives_a_machine(
    file: str, nodes: Nodes, spread: RaySpread, tmp_path: Path, open_: Open
) -> None:
    path = chat(tmp_path / "chat.jsonl", MESSAGES)
    before = open_(file, embedder=HashEmbedder(seed=7))
    before.import_(path)
    before.close()
    memory = open_(file, embedder=Gated(str(tmp_path)))
    with memory.bulk(spread) as bulk:
        with nodes.losing_one(tmp_path):
            report = bulk.reembed(user_id="ana", size=SIZE)
        assert report == {"embedded": MESSAGES, "failed": []}
        assert bulk.reembed(user_id="ana")["embedded"] == 0
    whole = in_this_process(path, embedder="hash")
    assert held(memory.store, user_id="ana") == held(whole.store, user_id="ana")


@pytest.mark.parametrize("place", ["file", "database"])
def test_a_text_that_kills_every_process_stops_only_its_part(
    place: str, request: pytest.FixtureRequest, nodes: Nodes, tmp_path: Path, open_: Open
) -> None:
    path = chat(tmp_path / "chat.jsonl", 60)
    where = request.getfixturevalue(place)
    spread = RaySpread(nodes.address, retries=1)
    with open_(where, embedder=Picky("25", "die")).bulk(spread) as bulk:
        report = bulk.import_(path, size=SIZE)
        assert report["imported"] == 40
        (failed,) = report["failed"]
        assert (failed["lines"], failed["count"]) == (list(range(21, 41)), SIZE)
        assert "WorkerCrashedError" in failed["reason"]
    spread.close()
    memory = open_(where, embedder="hash")
    with memory.bulk() as bulk:
        assert bulk.import_(path)["imported"] == 20
    assert len(set(listed(memory, user_id="ana"))) == len(listed(memory, user_id="ana")) == 60


def test_errors_come_back_as_they_are(spread: RaySpread) -> None:
    with pytest.raises(EmbeddingError, match="no such model"):
        spread.result(spread.start(_fail, EmbeddingError("no such model")))
    with pytest.raises(SpreadError, match="ZeroDivisionError: by 0"):
        spread.result(spread.start(_fail, ZeroDivisionError("by 0")))
    first, second = spread.start(_add, 1, 2), spread.start(_add, 3, spread.put(4), light=True)
    assert spread.result(spread.start(_add, first, second)) == 10
    assert spread.first([first]) == first
    with pytest.raises(InvalidInput, match="cannot travel"):
        spread.put(threading.Lock())


def test_work_is_done_by_workers_that_share_a_database(
    database: str, spread: RaySpread, tmp_path: Path, open_: Open
) -> None:
    memory = open_(database, embedder="hash")
    with memory.bulk(spread) as bulk:
        bulk.import_(chat(tmp_path / "chat.jsonl", 60, users=("ana", "bo")), size=SIZE)
        assert bulk.work()["turns"] == 60
    assert memory.jobs(user_id="ana") == memory.jobs(user_id="bo") == []


def test_a_connection_that_is_there_is_used_and_left(spread: RaySpread) -> None:
    other = RaySpread("local")
    assert other.result(other.start(_add, 1, 2)) == 3
    other.close()
    assert spread.result(spread.start(_add, 1, 2)) == 3


def test_no_cluster_at_an_address() -> None:
    with pytest.raises(InvalidInput, match="settings of a local cluster"):
        RaySpread("127.0.0.1:1", cpus=1)
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(SpreadError, match=f"no Ray cluster could be reached at '{address}'"):
            RaySpread(address)


def _fail(error: Exception) -> None:
    raise error


def _add(one: int, other: int) -> int:
    return one + other

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psycopg
import pytest

import remanence
from remanence.bench import postgres_speed
from remanence.bench.postgres_speed import fill, measure, tenants_of, user
from remanence.bench.results import hardware
from remanence.core.errors import InvalidInput
from remanence.runtime.memory import Memory
from tests.stores.postgres.server import serve


@pytest.fixture(scope="module")
def url() -> str:
    return serve().database("speed")


def test_a_run_writes_what_it_measured(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "postgres.json"
    assert postgres_speed.main(["measure", url]) == 2
    assert "holds no tenants; run `fill` first" in capsys.readouterr().err
    assert postgres_speed.main(["fill", url, "--tenants", "6", "--each", "60"]) == 0
    words = ["--searches", "12", "--index-mib", "64", "--clients", "1", "--clients", "2", "--pace", "50"]
    assert postgres_speed.main(["measure", url, *words, "--out", str(out)]) == 0
    data = json.loads(out.read_text(encoding="utf-8"))
    assert (data["schema"], data["version"]) == (postgres_speed.SCHEMA, remanence.__version__)
    assert (data["tenants"], data["memories"], data["kinds"]) == (6, 360, {"turn": 360})
    assert data["hardware"]["cores"] == hardware().cores
    assert data["postgres"].split(".")[0].isdecimal()
    ways = [(one["draw"], one["clients"], one["pace"]) for one in data["rounds"]]
    assert ways == [(draw, *way) for draw in ("uniform", "zipf") for way in ((1, None), (2, None), (2, 50.0))]
    for one in data["rounds"]:
        assert one["searches"]["calls"] == 12
        # As many as there are tenants among those drawn, unless two clients load the same one at once.
        assert 1 / 12 <= one["cold_share"] <= (7 if one["clients"] > 1 else 6) / 12
        assert one["cold"]["calls"] == pytest.approx(12 * one["cold_share"])
        assert one["client_ms"] > 0
        assert one["server_blocks"] > 1
    table = capsys.readouterr().out
    assert "6 tenants, 360 memories" in table
    assert "| zipf | 2 | 50/s each | 64 |" in table


def test_tenants_are_written_in_turn_by_the_ordinary_way(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute('SELECT set_config(\'remanence.scope\', \'{"","","",""}\', false)')
        users = [row[0] for row in connection.execute("SELECT user_id FROM remanence.versions ORDER BY seq")]
    assert users[:150:25] == [user(number) for number in range(6)]
    assert users[150] == user(0)
    assert sorted(users) == sorted(user(number) for number in range(6) for _ in range(60))
    with Memory(url, background=False) as memory:
        assert memory.stats(user_id=user(3))["sessions"] == 3
        assert memory.search("what was said in Oslo", user_id=user(3))["results"]
    with pytest.raises(InvalidInput, match="is not empty"):
        fill(url, 1, 1, say=lambda line: None)


def test_draws_depend_on_their_seed_and_differ_in_shape() -> None:
    drawn = {draw: np.bincount(tenants_of(draw, 50, 5000, 3), minlength=50) for draw in ("uniform", "zipf")}
    assert drawn["uniform"].max() < 2 * drawn["uniform"].min()
    assert drawn["zipf"].max() > 10 * drawn["zipf"].min()
    assert tenants_of("zipf", 50, 20, 3).tolist() == tenants_of("zipf", 50, 20, 3).tolist()
    assert tenants_of("zipf", 50, 20, 3).tolist() != tenants_of("zipf", 50, 20, 4).tolist()


def test_what_cannot_be_measured(url: str) -> None:
    with pytest.raises(InvalidInput, match="no draw 'fair'"):
        tenants_of("fair", 5, 5, 0)
    with pytest.raises(InvalidInput, match="0 searches"):
        measure(url, searches=0)
    with pytest.raises(InvalidInput, match="0 tenants"):
        fill(url, 0, 5, say=lambda line: None)

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from remanence import catalog
from remanence.bench import mechanism_pages, results, witness_results
from remanence.bench.__main__ import main
from remanence.bench.mechanism_pages import INDEX, MARK, TABLE, Parameter, describe, pages, write
from remanence.bench.metrics import latency
from remanence.bench.results import Result
from remanence.bench.runner import OVERALL
from remanence.bench.witness_results import Witnessed
from remanence.catalog import cards, entry_cards, index, publications, status
from remanence.core.card import Card, Evidence
from remanence.core.errors import CatalogError, ImportFormatError, InvalidInput
from tests.architecture.tree import ROOT

MODULE = '''"""What it is.

    y = a | b

More <of> it, and `<code>`.
"""

from remanence.planted.base import Base as Under

CARD = Card(slug="planted")


class Helper:
    """Not this one."""


class Planted(Under):
    """The class.

    >>> Planted()
    """

    card: ClassVar[Card] = CARD

    def __init__(self, *, k: int = 5, which: str | None = None, **options: Any) -> None:
        super().__init__(**options)
'''
BASE = '''"""Base."""

class Base:
    """Base."""

    def __init__(self, *, k: int = 3, store: Store) -> None:
        pass
'''
CARD = Card(
    slug="planted",
    substrate="kv",
    title="A cache",
    paper="hema",
    claim="beats <nothing>",
    idea="Keeps.",
    equation="y = x | z",
    can=frozenset({"update", "forget"}),
    needs=frozenset({"torch"}),
    deviations=("smaller",),
    waivers={"K1": "cannot"},
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A catalog of one mechanism whose module needs a package that is not there; the package's folder."""
    package = tmp_path / "remanence"
    (package / "planted").mkdir(parents=True)
    (package / "planted/planted.py").write_text(MODULE)
    (package / "planted/base.py").write_text(BASE)
    monkeypatch.setattr(mechanism_pages, "PACKAGE", package)
    monkeypatch.setattr(index, "_index", lambda: {"planted": index.Found(CARD, "remanence.planted.planted")})
    return package


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of the planted mechanism: evidence on three seeds."""
    evidence = {seed: Evidence("regret", 0.25 + seed / 10, 0.4, higher_is_better=False) for seed in range(3)}
    found = Witnessed("9.9.9", results.hardware(), {"planted": evidence})
    witness_results.save(found, tmp_path / "results/witnesses.json")
    return tmp_path / "results"


def test_the_committed_pages_are_those_that_are_made() -> None:
    made = pages(ROOT / "results")
    there = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/mechanisms").glob("*.md")}
    assert sorted(there) == sorted(made), "run python -m remanence.bench mechanisms"
    for name, text in made.items():
        assert there[name] == text, f"{name} is out of date: run python -m remanence.bench mechanisms"


def test_every_mechanism_has_a_page_and_every_publication_a_place(tmp_path: Path) -> None:
    made = pages(tmp_path)
    assert set(made) == {f"{slug}.md" for slug in cards()} | {INDEX, TABLE}
    for one in publications():
        assert made[INDEX].count(f"| `{one.key}` | {one.name} |") == (status(one) != "working"), one.key
    for slug in entry_cards():
        assert f"| `{slug}` |" in made[INDEX]


def test_a_page_tells_all_that_a_card_says(planted: Path, folder: Path) -> None:
    page = pages(folder)["planted.md"]
    for told in (
        MARK,
        "# A cache\n",
        "What it is.",
        "Keeps.",
        "```text\ny = x | z\n```",
        "    y = a | b\n",
        r"More \<of> it, and `<code>`.",
        r"`planted` beats \<nothing>.",
        "| can | `forget`, `update` |",
        "| needs | `torch` |",
        "- smaller",
        "- K1: cannot",
        "A Hippocampus-Inspired Extended Memory Architecture",
        "    >>> Planted()",
        "| seed | metric (lower is better) | measured | baseline | holds |",
        "| 0 | regret | 0.25 | 0.4 | yes |",
        "| 2 | regret | 0.45 | 0.4 | **no** |",
        "version 9.9.9",
        "from remanence.planted.planted import Planted",
        "| `which` | `str \\| None` | `None` |",
    ):
        assert told in page, told
    # A Python block, which the documents' tests run: they have every extra.
    assert "```python\nfrom remanence.planted.planted import Planted\n" in page
    assert "| [A cache](planted.md) | kv | HEMA (2025) |" in pages(folder)[INDEX]
    assert "| regret ↓ | 0.35 | 0.4 | 2 of 3 seeds |" in pages(folder)[INDEX]


def test_without_results_a_page_says_so(planted: Path, tmp_path: Path) -> None:
    assert "No measurement" in pages(tmp_path)["planted.md"]
    assert "| – | – | – | – |" in pages(tmp_path)[INDEX]


def test_keywords_are_those_of_the_class_and_of_what_it_passes_on(planted: Path) -> None:
    described = describe("remanence.planted.planted")
    assert (described.headline, described.name) == ("What it is.", "Planted")
    assert described.parameters == (
        Parameter("k", "int", "5"),
        Parameter("which", "str | None", "None"),
        Parameter("store", "Store", ""),
    )
    file = planted / "planted/planted.py"
    file.write_text(MODULE.replace(", **options: Any", ""))
    assert [one.name for one in describe("remanence.planted.planted").parameters] == ["k", "which"]
    file.write_text(MODULE.partition("    def __init__")[0])
    assert [one.name for one in describe("remanence.planted.planted").parameters] == ["k", "store"]
    file.write_text(MODULE.replace("    card: ClassVar[Card] = CARD\n", ""))
    with pytest.raises(CatalogError, match="no class has the line"):
        describe("remanence.planted.planted")


def test_the_keywords_are_those_that_python_sees() -> None:
    import inspect

    for slug in cards():
        seen = inspect.signature(index.get(slug)).parameters.values()
        told = {one.name for one in describe(index.module_of(slug)).parameters}
        assert {one.name for one in seen if one.kind is one.KEYWORD_ONLY} <= told, slug


def measured(system: str, learnt: bool) -> Result:
    figures = {OVERALL: dict.fromkeys((*results.COMPARED, "mrr"), 0.5)}
    values: dict[str, object] = dict.fromkeys(Result.__dataclass_fields__)
    values |= {"system": system, "dataset": "talk", "title": "Talk", "metrics": figures, "tokens": 81.6}
    values |= {
        "latency": latency([0.00125]),
        "learnt_on": learnt,
        "build_seconds": 1.5,
        "fingerprint": "0123",
        "notes": "",
    }
    values |= {"corpora": 1, "documents": 4, "questions": {OVERALL: 2}}
    values |= {"cross_validated": {"recall@10": 0.375} if learnt else {}}
    return Result(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("learnt", "row"),
    [
        (False, "| Talk | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 82 | 1.25 |"),
        (True, "| Talk (development, cross-validated) | 0.500 | 0.375 | 0.500 | 0.500 | 0.500 | 82 | 1.25 |"),
    ],
)
def test_results_on_data_sets_are_shown(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learnt: bool, row: str
) -> None:
    found = [measured("planted", learnt), replace(measured("other", False), title="Not this")]
    monkeypatch.setattr(results, "read_all", lambda folder: found)
    made = pages(tmp_path)
    assert row in made["planted.md"]
    assert "Not this" not in made["planted.md"]
    # The table over all holds both.
    assert "| `planted` |" in made[TABLE]
    assert "| `other` |" in made[TABLE]


def test_pages_of_what_is_no_more_are_removed_and_others_stay(planted: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "docs"
    assert main(["mechanisms", "--results", str(folder), "--out", str(out)]) == 0
    first = {path.name: path.read_text() for path in out.iterdir()}
    assert set(first) == {"planted.md", INDEX, TABLE}
    (out / "gone.md").write_text(f"{MARK}\n")
    (out / "by-hand.md").write_text("# Mine\n")
    write(out, folder)
    assert {path.name: path.read_text() for path in out.iterdir()} == {**first, "by-hand.md": "# Mine\n"}


def test_witnesses_are_measured_kept_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalog, "witness", lambda slug: lambda seed: Evidence("m", seed + 1 / 3, 0.5))
    out = tmp_path / "results/witnesses.json"
    assert main(["witnesses", "--slug", "recall", "--out", str(out)]) == 0
    assert "recall, seed 2" in capsys.readouterr().err
    rows = json.loads(out.read_text())["witnesses"]["recall"]
    assert rows[0] == {"seed": 0, "metric": "m", "value": 0.333333, "baseline": 0.5, "higher_is_better": True}
    found = witness_results.load(out)
    assert [one.holds for one in found.evidence["recall"].values()] == [False, True, True]
    again = tmp_path / "again.json"
    witness_results.save(found, again)
    assert again.read_text() == out.read_text()


def test_all_that_have_a_witness_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "witness", lambda slug: lambda seed: Evidence("m", 1.0, 0.5))
    assert set(witness_results.measure(seeds=[4]).evidence) == {slug for slug in cards() if index.has_witness(slug)}


def test_what_cannot_be_measured_or_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nope"):
        witness_results.measure(["nope"])
    for text in ("[]", "{}", '{"schema": 9}', '{"schema": 1, "witnesses": {"a": [{"seed": 0, "x": 1}]}}', "{"):
        (tmp_path / "witnesses.json").write_text(text)
        with pytest.raises(ImportFormatError, match=r"witnesses\.json"):
            pages(tmp_path)

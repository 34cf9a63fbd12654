"""Cards are read as they are written, nothing is imported for it, and a wrong file is named."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from remanence.catalog import index
from remanence.core.card import Card
from remanence.core.errors import CatalogError, InvalidInput, MissingExtra
from tests.architecture.tree import PACKAGE, package_sources

CARD = """CARD = Card(
    slug="{slug}",
    substrate="records",
    title="A " "title",
    paper="",
    claim=("does " "this"),
    can=frozenset({{"forget", "update"}}),
    needs=frozenset(),
    deviations=("one", "two"),
    waivers={{"R1": "why"}},
)
"""
ENTRY = 'CARD = EntryCard(slug="{slug}", kind="benchmark", title="T", paper="", about="A")\n'
TEXT = '"""Text."""\n\nfrom __future__ import annotations\n\n'


def put(root: Path, place: str, card: str) -> Path:
    path = root / "pack" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT + card + "\n\nclass X:\n    card = CARD\n", encoding="utf-8")
    return root / "pack"


def test_a_card_is_read_as_python_reads_it(tmp_path: Path) -> None:
    package = put(tmp_path, "mechanisms/records/one.py", CARD.format(slug="one"))
    put(tmp_path, "bench/datasets/two.py", ENTRY.format(slug="two"))
    (package / "scenarios").mkdir()
    (package / "scenarios/three.py").write_text(TEXT)
    found = index.read(package)
    namespace: dict[str, object] = {"Card": Card}
    exec(CARD.format(slug="one"), namespace)
    assert found["one"] == index.Found(namespace["CARD"], "pack.mechanisms.records.one")  # type: ignore[arg-type]
    assert list(found) == ["one", "two"]
    assert found["two"].module == "pack.bench.datasets.two"


@pytest.mark.parametrize("slug", sorted(index.cards()))
def test_what_is_read_is_what_the_module_holds(slug: str) -> None:
    assert index.get(slug).card == index.cards()[slug]


def test_every_mechanism_and_every_dataset_is_there() -> None:
    files = {path.stem for path in (PACKAGE / "mechanisms").glob("*/*.py") if path.stem != "__init__"}
    assert set(index.cards()) == files
    datasets = {path.stem for path in (PACKAGE / "bench/datasets").glob("*.py") if not path.stem.startswith("_")}
    assert datasets <= set(index.entry_cards())
    assert index.module_of("locomo") == "remanence.bench.datasets.locomo"


WRONG = {
    "no card": ("mechanisms/records/one.py", "", "CARD = Card"),
    "wrong slug": ("mechanisms/records/one.py", CARD.format(slug="other"), "'one' and 'records'"),
    "wrong folder": ("mechanisms/kv/one.py", CARD.format(slug="one"), "'one' and 'kv'"),
    "no folder": ("mechanisms/one.py", CARD.format(slug="one"), "folder of its substrate"),
    "too deep": ("mechanisms/records/more/one.py", CARD.format(slug="one"), "folder of its substrate"),
    "entry among mechanisms": ("mechanisms/records/one.py", ENTRY.format(slug="one"), "CARD = Card"),
    "mechanism among entries": ("scenarios/one.py", CARD.format(slug="one"), "EntryCard"),
    "no literal": ("mechanisms/records/one.py", CARD.format(slug="one").replace('""', "str()"), "paper of CARD"),
    "a sum": ("mechanisms/records/one.py", CARD.format(slug="one").replace('"A " ', '"A " + '), "title of CARD"),
    "another call": ("mechanisms/records/one.py", "CARD = make()\n", "written out as one literal"),
    "a name": ("mechanisms/records/one.py", "CARD = OTHER\n", "written out as one literal"),
    "lacks a field": ("mechanisms/records/one.py", 'CARD = Card(slug="one")\n', "not complete"),
    "unknown field": ("scenarios/one.py", ENTRY.format(slug="one").replace("about", "abuot"), "abuot"),
    "unknown kind": ("scenarios/one.py", ENTRY.format(slug="one").replace("benchmark", "novel"), "novel"),
    "positional": ("mechanisms/records/one.py", 'CARD = Card("one")\n', "keyword arguments alone"),
    "unpacked": ("mechanisms/records/one.py", 'CARD = Card(**{"slug": "one"})\n', "keyword arguments alone"),
    "no Python": ("mechanisms/records/one.py", 'CARD = Card(slug="one"\n', "cannot be read as Python"),
    "no literal there": ("scenarios/one.py", ENTRY.format(slug="one").replace('"T"', "list()"), "title of CARD"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_named_with_what_to_do(tmp_path: Path, wrong: tuple[str, str, str]) -> None:
    place, card, told = wrong
    with pytest.raises(CatalogError) as caught:
        index.read(put(tmp_path, place, card))
    assert f"pack/{place}" in str(caught.value)
    assert told in str(caught.value)


def test_a_slug_is_given_once(tmp_path: Path) -> None:
    put(tmp_path, "mechanisms/records/one.py", CARD.format(slug="one"))
    package = put(tmp_path, "bench/studies/study.py", ENTRY.format(slug="one"))
    with pytest.raises(CatalogError, match=r"pack/bench/studies/study\.py.*'one'.*pack/mechanisms/records/one\.py"):
        index.read(package)


def test_helpers_beside_mechanisms_need_no_card(tmp_path: Path) -> None:
    assert index.read(put(tmp_path, "mechanisms/records/_shared.py", "")) == {}


SOURCES = {source.path: source.text for source in package_sources() if "CARD" in source.text} | {
    "nothing": TEXT,
    "one line": TEXT + ENTRY.format(slug="a") + "x = 1\n",
    "last line": TEXT + ENTRY.format(slug="a").rstrip(),
    "annotated": TEXT + CARD.format(slug="a").replace("CARD =", "CARD: Card ="),
    "in a docstring": '"""Like this:\n\nCARD = Card(slug="no")\n"""\n' + ENTRY.format(slug="a"),
    "only in a docstring": '"""Like this:\n\nCARD = Card(slug="no")\n"""\nx = 1\n',
    "closed on its line": TEXT + 'CARD = Card(\n    slug="a", can=frozenset({"b"}))\nx = (1,\n)\n',
    "text at the margin": TEXT + 'CARD = Card(\n    slug="""\n)\n""",\n    title="t",\n)\nx = 1\n',
    "another name": TEXT + "CARDS = (1,)\n",
    "compared": TEXT + "CARD == 1\n",
    "twice": TEXT + ENTRY.format(slug="a") + ENTRY.format(slug="b"),
}


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES)
def test_parsing_the_card_alone_gives_the_same(text: str) -> None:
    fast, naive = index.statement(text), index.naive_statement(text)
    assert (fast and ast.dump(fast)) == (naive and ast.dump(naive))


def test_a_formatted_card_is_parsed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "naive_statement", lambda text: pytest.fail("the whole file was parsed"))
    for text in (CARD.format(slug="a"), ENTRY.format(slug="a")):
        assert index.statement(TEXT + text + "\ndef f(x): return (\n    x\n)\n") is not None


def test_reading_imports_nothing_and_asking_imports_one() -> None:
    code = (
        "import sys; import remanence.catalog as c; c.cards(); c.entry_cards(); c.publications()\n"
        "[c.status(one) for one in c.publications()]\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "assert not names & {'numpy', 'Stemmer', 'simsimd', 'click', 'rich'}, names\n"
        "assert not [name for name in sys.modules if name.startswith('remanence.mechanisms')]\n"
        "c.get('recall')\n"
        "made = [name for name in sys.modules if name.count('.') == 3 and name.startswith('remanence.mechanisms.')]\n"
        "assert made == ['remanence.mechanisms.records.recall'], made\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_an_unknown_slug_names_the_nearest() -> None:
    for ask in (index.get, index.module_of, index.has_witness):
        with pytest.raises(InvalidInput, match=r"no 'recal' in the catalog; did you mean recall"):
            ask("recal")
    with pytest.raises(InvalidInput, match="systems --all"):
        index.get("qqqqqq")
    with pytest.raises(InvalidInput, match="locomo"):
        index.get("locomo")


def test_witnesses_are_seen() -> None:
    assert index.has_witness("recall")


@pytest.mark.parametrize("ask", [index.get, index.witness])
def test_a_package_that_is_not_installed_is_named(
    ask: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("remanence.mechanisms.seq", "remanence.witnesses.seq"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"delta_net needs torch.*pip install 'remanence\[torch\]'"):
        ask("delta_net")


def test_a_fault_of_the_package_itself_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(slug="one", substrate="records", title="", paper="", claim="c", needs=frozenset({"torch"}))
    monkeypatch.setattr(index, "_index", lambda: {"one": index.Found(card, "remanence.not_there")})
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        index.get("one")


class TestTheClassOfACard:
    """The class must stand in the module of the card and name that very card."""

    @pytest.fixture
    def module(self, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
        module = types.ModuleType("planted")
        card = Card(slug="one", substrate="records", title="", paper="", claim="c")
        vars(module).update(CARD=card)
        monkeypatch.setitem(sys.modules, "planted", module)
        monkeypatch.setattr(index, "_index", lambda: {"one": index.Found(card, "planted")})
        return module

    def named(self, module: types.ModuleType, name: str, *bases: type, **values: object) -> type:
        made = type(name, bases, {"__module__": "planted", **values})
        setattr(module, name, made)
        return made

    def test_it_is_found_among_others(self, module: types.ModuleType) -> None:
        wanted = self.named(module, "Wanted", card=module.CARD)
        self.named(module, "Heir", wanted)
        self.named(module, "Equal", card=Card(slug="one", substrate="records", title="", paper="", claim="c"))
        vars(module)["Foreign"] = type("Foreign", (), {"__module__": "elsewhere", "card": module.CARD})
        assert index.get("one") is wanted

    def test_none_and_two_are_refused(self, module: types.ModuleType) -> None:
        with pytest.raises(CatalogError, match="none has it"):
            index.get("one")
        self.named(module, "A", card=module.CARD)
        self.named(module, "B", card=module.CARD)
        with pytest.raises(CatalogError, match="A, B has it"):
            index.get("one")

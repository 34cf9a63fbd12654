"""Reads every CARD without importing the file that it stands in, and imports exactly one module when asked for it.

A card is one literal, `CARD = Card(...)` or `CARD = EntryCard(...)`, so that `ast` can read it. Nothing but the
standard library is loaded, whatever the mechanisms themselves need.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from remanence.core.card import Card, EntryCard, Evidence
from remanence.core.errors import CatalogError, InvalidInput, MissingExtra

PACKAGE = Path(__file__).parents[1]
ENTRIES = ("bench/datasets", "bench/studies", "scenarios")
"""Folders in which a file may say by an `EntryCard` which publication it stands for."""

_KINDS: dict[str, type[Card] | type[EntryCard]] = {"Card": Card, "EntryCard": EntryCard}
# Both begin with letters that stand as they are: a search then costs next to nothing.
_BEGIN = re.compile(r"\nCARD\b[^=\n]*=")
_END = re.compile(r"\n\).*")


@dataclass(frozen=True, slots=True)
class Found:
    """A card and the module that it stands in, such as `remanence.mechanisms.records.recall`."""

    card: Card | EntryCard
    module: str


def cards() -> dict[str, Card]:
    """The cards of all mechanisms by slug, in the order of their files. Raises `CatalogError` for a wrong file."""
    return {slug: found.card for slug, found in _index().items() if isinstance(found.card, Card)}


def entry_cards() -> dict[str, EntryCard]:
    """The cards of benchmarks, studies and surveys by slug. Raises `CatalogError` for a wrong file."""
    return {slug: found.card for slug, found in _index().items() if isinstance(found.card, EntryCard)}


def module_of(slug: str) -> str:
    """The name of the module in which a card stands. Raises `InvalidInput` for an unknown slug."""
    found = _index()
    if slug not in found:
        raise unknown(slug, found)
    return found[slug].module


def get(slug: str) -> type[Any]:
    """The class of a mechanism; imports its module and no other mechanism's.

    Raises `InvalidInput` for a slug that is no mechanism's, `MissingExtra` when a package that it needs is not
    installed, `CatalogError` when not exactly one class of the module has the module's card.
    """
    known = cards()
    if slug not in known:
        raise unknown(slug, known)
    module = _imported(module_of(slug), known[slug])
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and vars(value).get("card") is module.CARD
    ]
    if len(classes) != 1:
        names = ", ".join(one.__name__ for one in classes) or "none"
        raise CatalogError(
            f"{module.__name__}: one class must have the line `card: ClassVar[Card] = CARD`, and {names} has it"
        )
    return classes[0]


def has_witness(slug: str) -> bool:
    """Whether a mechanism has a file among the witnesses. Raises `InvalidInput` for a slug that is no mechanism's."""
    known = cards()
    if slug not in known:
        raise unknown(slug, known)
    return (PACKAGE / "witnesses" / known[slug].substrate / f"{slug}.py").is_file()


def witness(slug: str) -> Callable[[int], Evidence]:
    """The witness of a mechanism: seed in, evidence out. Imports its module and no other witness.

    Raises `InvalidInput` for a slug that is no mechanism's, `MissingExtra` when a package that the mechanism needs is
    not installed, `CatalogError` when the mechanism has no witness.
    """
    there = has_witness(slug)
    place = f"{PACKAGE.name}.witnesses.{cards()[slug].substrate}.{slug}"
    path = f"{place.replace('.', '/')}.py"
    if not there:
        raise CatalogError(f"{slug!r} has no witness; add one as witness(seed) -> Evidence in {path}")
    found = getattr(_imported(place, cards()[slug]), "witness", None)
    if not callable(found):
        raise CatalogError(f"{path} lacks the function witness(seed) -> Evidence; add it")
    testify: Callable[[int], Evidence] = found
    return testify


def _imported(place: str, card: Card) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        extras = ",".join(sorted(card.needs))
        if not extras or (error.name or "").startswith(__name__.partition(".")[0]):
            raise
        raise MissingExtra(
            f"{card.slug} needs {error.name}, which is not installed; install it with: "
            f"pip install 'remanence[{extras}]'"
        ) from error


def unknown(name: str, known: Iterable[str]) -> InvalidInput:
    """The error for a name that is none of those known; it tells the nearest ones."""
    near = get_close_matches(name, list(known), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`remanence systems --all` lists all names"
    return InvalidInput(f"there is no {name!r} in the catalog; {hint}")


@lru_cache(maxsize=1)
def _index() -> dict[str, Found]:
    return read(PACKAGE)


def read(package: Path) -> dict[str, Found]:
    """All cards of a package's folder by slug: mechanisms by substrate and name, then the others.

    Raises `CatalogError`, which names the file and what to do, for a mechanism without a card, a card that is no
    literal or lacks something, a slug or substrate that its place contradicts, and a slug that is taken.
    """
    found: dict[str, Found] = {}
    places: dict[str, str] = {}
    for name, card in _cards(package):
        if card.slug in found:
            raise CatalogError(f"{name}: the slug {card.slug!r} is taken by {places[card.slug]}; choose another")
        places[card.slug] = name
        found[card.slug] = Found(card, name.removesuffix(".py").replace("/", "."))
    return found


def statement(text: str) -> ast.Assign | ast.AnnAssign | None:
    """The statement that assigns CARD in a module's source, or None; only its own lines are parsed where possible.

    Equal to `naive_statement` in all but positions, and many times as fast. Raises `SyntaxError`.
    """
    found = _BEGIN.search(text)
    if found is None and not text.startswith("CARD"):
        return None
    # What looks like the statement may stand in a docstring, or end in another way than formatted code does.
    if found and _BEGIN.search(text, found.end()) is None and text.count('"""', 0, found.start()) % 2 == 0:
        begin = found.start() + 1
        stop = text.find("\n", begin)
        if text[:stop].endswith("("):
            end = _END.search(text, begin)
            stop = end.end() if end else -1
        try:
            lines = ast.parse(text[begin:stop] if stop >= 0 else text[begin:]).body
        except SyntaxError:
            lines = []
        if len(lines) == 1 and (only := _only(lines)):
            return only
    return naive_statement(text)


def naive_statement(text: str) -> ast.Assign | ast.AnnAssign | None:
    """The statement that assigns CARD in a module's source, or None. Raises `SyntaxError`."""
    return _only(ast.parse(text).body)


def _only(body: list[ast.stmt]) -> ast.Assign | ast.AnnAssign | None:
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _assigns_card(node):
            return node
    return None


def _assigns_card(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "CARD" for target in targets)


def _cards(package: Path) -> Iterator[tuple[str, Card | EntryCard]]:
    for path, name in _files(package, "mechanisms", "**/*.py"):
        if path.name.startswith("_"):
            continue
        if name.count("/") != 3:
            raise CatalogError(f"{name}: a mechanism is one file in the folder of its substrate; move it there")
        card = _card(path, name)
        if not isinstance(card, Card):
            raise CatalogError(f"{name}: a mechanism says what it is by CARD = Card(...); add it")
        if (card.slug, card.substrate) != (path.stem, path.parent.name):
            raise CatalogError(
                f"{name}: the card says slug {card.slug!r} and substrate {card.substrate!r}; they must be the names of "
                f"file and folder, {path.stem!r} and {path.parent.name!r}"
            )
        yield name, card
    for folder in ENTRIES:
        for path, name in _files(package, folder, "*.py"):
            card = _card(path, name)
            if isinstance(card, Card):
                raise CatalogError(f"{name}: Card(...) is for mechanisms; use EntryCard(...) here")
            if card is not None:
                yield name, card


def _files(package: Path, folder: str, pattern: str) -> Iterator[tuple[Path, str]]:
    """Files of a folder, sorted, each with its name from the package on: `remanence/scenarios/dice.py`."""
    skip = len(str(package.parent)) + 1
    for path in sorted((package / folder).glob(pattern)):
        yield path, str(path)[skip:].replace("\\", "/")


def _card(path: Path, name: str) -> Card | EntryCard | None:
    source = path.read_bytes()
    if b"CARD" not in source:
        return None
    try:
        found = statement(source.decode("utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CatalogError(f"{name} cannot be read as Python: {error}") from error
    if found is None:
        return None
    call = found.value
    kind = _KINDS.get(call.func.id) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else None
    if not isinstance(call, ast.Call) or kind is None:
        raise CatalogError(f"{name}: CARD must be Card(...) or EntryCard(...), written out as one literal")
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise CatalogError(f"{name}: CARD takes keyword arguments alone, as in slug={path.stem!r}; name each of them")
    try:
        return kind(**{str(keyword.arg): _value(keyword.value, name, keyword.arg) for keyword in call.keywords})
    except (TypeError, InvalidInput) as error:
        raise CatalogError(f"{name}: CARD is not complete or not right: {error}") from error


def _value(node: ast.expr, name: str, argument: str | None) -> Any:
    try:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "frozenset":
            return frozenset(*map(ast.literal_eval, node.args))
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise CatalogError(
            f"{name}: {argument} of CARD is no literal; write the value itself, so that it can be read without "
            "importing the file"
        ) from error

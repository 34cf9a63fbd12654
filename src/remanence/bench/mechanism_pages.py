"""A page of documentation per mechanism, and one over all: made from cards, docstrings and committed results.

The same sources give the same text. What a mechanism's page says beyond its results is read from source by `ast`, so
that a mechanism which needs a package that is not installed has its page too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remanence.bench import results, witness_results
from remanence.bench.results import Result
from remanence.bench.runner import OVERALL, WITHIN_BUDGET
from remanence.bench.witness_results import Witnessed
from remanence.catalog import Publication, cards, entry_cards, module_of, publication, publications, status
from remanence.catalog.index import PACKAGE
from remanence.core.card import ENTRY_KINDS, SUBSTRATES, Card, Evidence
from remanence.core.errors import CatalogError

RESULTS = Path("results")
FOLDER = Path("docs/mechanisms")
INDEX = "index.md"
TABLE = "measured.md"
MARK = "<!-- made by python -m remanence.bench mechanisms, do not edit -->"
_METRICS = ("recall@5", "recall@10", "ndcg@10", "mrr", WITHIN_BUDGET)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A keyword of a constructor, as it stands in the source."""

    name: str
    annotation: str
    default: str


@dataclass(frozen=True, slots=True)
class Described:
    """What a mechanism's file says besides its card. Docstrings are dedented; `about` lacks the first line."""

    headline: str
    about: str
    name: str
    docstring: str
    parameters: tuple[Parameter, ...]


def pages(folder: Path = RESULTS) -> dict[str, str]:
    """File names and texts of all pages, with the results of a folder: `witnesses.json`, `<data set>-<slug>.json`.

    Raises `CatalogError` for a mechanism whose class cannot be found, `ImportFormatError` for a file that is no result.
    """
    file = folder / witness_results.FILE.name
    witnessed = witness_results.load(file) if file.exists() else None
    measured = results.read_all(folder)
    made = {
        f"{slug}.md": _page(card, describe(module_of(slug)), witnessed, [one for one in measured if one.system == slug])
        for slug, card in cards().items()
    }
    return {**made, INDEX: _index(witnessed), TABLE: _table_of_all(measured)}


def write(out: Path = FOLDER, folder: Path = RESULTS) -> list[Path]:
    """Write all pages under `out`, and remove those of mechanisms that are no more."""
    made = pages(folder)
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("*.md"):
        if stale.name not in made and MARK in stale.read_text(encoding="utf-8"):
            stale.unlink()
    for name, text in made.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in made]


def describe(module: str) -> Described:
    """Read a mechanism's module: its docstring, the class that bears its card, and how that is made.

    Raises `CatalogError` when no class of it has a line `card = CARD`.
    """
    tree = _parsed(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(map(_bears_card, node.body)):
            headline, _, about = (ast.get_docstring(tree) or "").partition("\n")
            return Described(
                headline=headline,
                about=about.strip("\n"),
                name=node.name,
                docstring=ast.get_docstring(node) or "",
                parameters=tuple(_parameters(node, tree)),
            )
    raise CatalogError(f"{module}: no class has the line `card: ClassVar[Card] = CARD`; add it")


def _parsed(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _bears_card(node: ast.stmt) -> bool:
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    value = node.value if isinstance(node, ast.AnnAssign | ast.Assign) else None
    return isinstance(target, ast.Name) and target.id == "card" and isinstance(value, ast.Name) and value.id == "CARD"


def _parameters(cls: ast.ClassDef, tree: ast.Module) -> Iterator[Parameter]:
    """The keywords of a class's constructor; those of its bases where it has none, or passes on what it is given."""
    seen: set[str] = set()
    inherits = True
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            inherits = node.args.kwarg is not None
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                seen.add(argument.arg)
                yield Parameter(
                    argument.arg,
                    ast.unparse(argument.annotation) if argument.annotation else "",
                    ast.unparse(default) if default else "",
                )
    for base in cls.bases if inherits else ():
        found = _class(base.id, tree) if isinstance(base, ast.Name) else None
        if found:
            for parameter in _parameters(*found):
                if parameter.name not in seen:
                    seen.add(parameter.name)
                    yield parameter


def _class(name: str, tree: ast.Module) -> tuple[ast.ClassDef, ast.Module] | None:
    """A class of a module, or one that it imports from another module of the package, with the module it stands in."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, tree
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("remanence."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _class(alias.name, _parsed(str(node.module)))
    return None


def _page(card: Card, described: Described, witnessed: Witnessed | None, measured: Sequence[Result]) -> str:
    paper = publication(card.paper) if card.paper else None
    parts = [
        MARK,
        f"# {card.title}",
        _prose(described.headline),
        _prose(card.idea),
        _facts(card, paper),
    ]
    if card.equation:
        parts += ["## The formula", f"```text\n{card.equation}\n```"]
    if described.about:
        parts += ["## How it works", _markdown(described.about)]
    parts += [
        "## What it claims, and what is measured",
        f"`{card.slug}` {_prose(card.claim)}.",
        _witness(card, witnessed),
    ]
    if measured:
        parts += ["On public data, as [Measured](../benchmarks.md) tells in full:", _measured(measured)]
    parts += ["## Using it", _usage(card, described)]
    parts += _list("Where it differs from the publication", card.deviations)
    parts += _list("Rules that do not apply", [f"{rule}: {reason}" for rule, reason in sorted(card.waivers.items())])
    parts.append("[All mechanisms](index.md)")
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(card: Card, paper: Publication | None) -> str:
    source = card.source or (paper.source if paper else "")
    facts = {
        "slug": f"`{card.slug}`",
        "substrate": card.substrate,
        "publication": f"{paper.title} ({paper.year})" if paper else "the project's own",
        "public code": f"[{source}](https://github.com/{source})" if source else "none known",
        "can": _names(card.can) or "–",
        "needs": _names(card.needs) or "nothing but the base install",
    }
    return _table(["", ""], [[name, value] for name, value in facts.items()])


def _witness(card: Card, witnessed: Witnessed | None) -> str:
    evidence = witnessed.evidence.get(card.slug) if witnessed else None
    if witnessed is None or not evidence:
        return "No measurement of its witness is committed yet."
    rows = [
        [str(seed), one.metric, _number(one.value), _number(one.baseline), "yes" if one.holds else "**no**"]
        for seed, one in sorted(evidence.items())
    ]
    better = "higher" if next(iter(evidence.values())).higher_is_better else "lower"
    machine = witnessed.hardware
    return "\n\n".join(
        [
            _table(["seed", f"metric ({better} is better)", "measured", "baseline", "holds"], rows),
            f"Measured by version {witnessed.version} on {machine.system}, {machine.cpu}, Python {machine.python}, "
            f"NumPy {machine.numpy}; `remanence witness {card.slug}` measures it anew.",
        ]
    )


def _measured(measured: Sequence[Result]) -> str:
    rows = []
    for one in measured:
        found = one.metrics[OVERALL]
        # Weights that were learnt on these questions flatter; what held-out questions show is told where it is known.
        cells = [f"{one.cross_validated.get(name, found[name]):.3f}" for name in _METRICS]
        learnt = " (development, cross-validated)" if one.cross_validated else " (development)" if one.learnt_on else ""
        rows.append([f"{one.title}{learnt}", *cells, f"{one.tokens:.0f}", f"{one.latency.p50:.2f}"])
    return _table(["data set", *_METRICS, "tokens", "p50 ms"], rows)


def _usage(card: Card, described: Described) -> str:
    make = f"from {module_of(card.slug)} import {described.name}\n\nmemory = {described.name}()"
    parts = [f"```python\n{make}\n```", _markdown(described.docstring)]
    if described.parameters:
        rows = [[f"`{one.name}`", _code(one.annotation), _code(one.default)] for one in described.parameters]
        parts.append(_table(["keyword", "type", "default"], rows))
    parts.append(
        f"`remanence show {card.slug}` tells what its card says, `remanence check {card.slug}` puts it to the rules of "
        f"`{card.substrate}`."
    )
    return "\n\n".join(part for part in parts if part)


def _index(witnessed: Witnessed | None) -> str:
    working, others = cards(), entry_cards()
    planned = [one for one in publications() if status(one) != "working"]
    partly = sum(status(one) == "partly" for one in planned)
    parts = [
        MARK,
        "# Mechanisms",
        "Every published memory method that the package holds, by what its memory is made of. Each has a card, keeps "
        "the contract of its substrate, and has a witness: the smallest experiment in which its claim shows against a "
        "baseline. `remanence systems` lists the same; [one table](measured.md) holds what all of them find.",
        f"{len(working)} mechanisms work. Of {len(publications())} publications, {len(planned) - partly} are planned "
        f"and {partly} there in part.",
        "## Working",
        _table(
            ["mechanism", "substrate", "publication", "can", "needs", "witness", "measured", "baseline", "holds"],
            [_row(card, witnessed) for card in sorted(working.values(), key=_place)],
        ),
    ]
    if others:
        rows = [[f"`{card.slug}`", card.kind, card.title, _named(card.paper), card.about] for card in others.values()]
        parts += ["## Benchmarks and studies", _table(["name", "kind", "what", "publication", "about"], rows)]
    parts.append("## Planned")
    for substrate in SUBSTRATES:
        parts += _planned(substrate, [one for one in planned if one.substrates[:1] == (substrate,)])
    for kind in ENTRY_KINDS:
        parts += _planned(kind, [one for one in planned if not one.substrates and one.kinds[0] == kind])
    return "\n\n".join(parts) + "\n"


def _table_of_all(measured: Sequence[Result]) -> str:
    parts = [
        MARK,
        "# Measured",
        "Every record mechanism and every baseline on the same data with the same static embedder, without a language "
        "model, each with its own defaults. Units differ, from single facts to whole episodes; what the measures are, "
        "and how they stay fair to both, [the guide](../guides/benchmarks.md#measures) says. Where the engine's "
        "weights were learnt on a set, its cross-validated figure stands in the first two tables.",
    ]
    if measured:
        parts += [results.overview(measured, "recall@5"), results.overview(measured, WITHIN_BUDGET)]
        parts.append(results.render(measured, brief=True).strip())
    else:
        parts.append("Nothing is measured yet: `remanence bench locomo --systems all --results results`.")
    return "\n\n".join([*parts, "[All mechanisms](index.md)"]) + "\n"


def _place(card: Card) -> tuple[int, str]:
    return SUBSTRATES.index(card.substrate), card.slug


def _row(card: Card, witnessed: Witnessed | None) -> list[str]:
    evidence = list(witnessed.evidence.get(card.slug, {}).values()) if witnessed else []
    return [
        f"[{card.title}]({card.slug}.md)",
        card.substrate,
        _named(card.paper),
        _names(card.can) or "–",
        _names(card.needs) or "–",
        *(_means(evidence) if evidence else ["–", "–", "–", "–"]),
    ]


def _means(evidence: Sequence[Evidence]) -> list[str]:
    count = len(evidence)
    value, baseline = sum(one.value for one in evidence) / count, sum(one.baseline for one in evidence) / count
    arrow = "↑" if evidence[0].higher_is_better else "↓"
    holds = sum(one.holds for one in evidence)
    return [f"{evidence[0].metric} {arrow}", _number(value), _number(baseline), f"{holds} of {count} seeds"]


def _planned(heading: str, found: Sequence[Publication]) -> list[str]:
    if not found:
        return []
    rows = [
        [
            f"`{one.key}`",
            one.name,
            one.title,
            str(one.year),
            ", ".join(also for also in (*one.kinds, *one.substrates) if also not in (heading, "system")) or "–",
            f"[{one.source}](https://github.com/{one.source})" if one.source else "–",
        ]
        for one in found
    ]
    return [f"### {heading}", _table(["key", "name", "title", "year", "also", "public code"], rows)]


def _named(key: str) -> str:
    if not key:
        return "–"
    paper = publication(key)
    return f"{paper.name} ({paper.year})"


def _names(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _list(heading: str, lines: Sequence[str]) -> list[str]:
    return [f"## {heading}", "\n".join(f"- {_prose(line)}" for line in lines)] if lines else []


def _number(value: float) -> str:
    return f"{value:.4g}"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _markdown(docstring: str) -> str:
    """A docstring as Markdown: formulas are indented there already, examples become so."""
    made = []
    for paragraph in re.split(r"\n\s*\n", docstring):
        if re.match(r">{3} ", paragraph):
            made.append("\n".join(f"    {line}" for line in paragraph.splitlines()))
        else:
            made.append("\n".join(one if one.startswith("    ") else _prose(one) for one in paragraph.splitlines()))
    return "\n\n".join(made)


def _prose(text: str) -> str:
    """Text in which nothing outside of code is taken for HTML."""
    parts = text.split("`")
    return "`".join(part if number % 2 else part.replace("<", "\\<") for number, part in enumerate(parts))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

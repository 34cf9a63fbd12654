"""`remanence systems`, `show`, `witness` and `check`: which mechanisms there are, and whether they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from remanence.catalog import listing
from remanence.catalog.bibliography import KINDS, STATUSES
from remanence.cli import output
from remanence.cli.options import Settings, common
from remanence.core.card import SUBSTRATES

__all__ = ["check", "show", "systems", "witness"]

SEEDS: Final = (0, 1, 2)


@click.command()
@click.option("--substrate", type=click.Choice(SUBSTRATES), help="Only what is made of this.")
@click.option("--can", multiple=True, metavar="ABILITY", help="Only what can do this, e.g. forget; may be repeated.")
@click.option("--needs", multiple=True, metavar="NEED", help="Only what needs this, e.g. llm; may be repeated.")
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind.")
@click.option("--status", type=click.Choice(STATUSES), help="working (if left out), partly or planned.")
@click.option("--all", "everything", is_flag=True, help="What is there and what is planned.")
@common("json")
@click.pass_obj
def systems(
    settings: Settings, /, can: tuple[str, ...], needs: tuple[str, ...], everything: bool, **options: Any
) -> None:
    """List mechanisms, benchmarks and studies.

    With --all, also the publications that are still to come.
    """
    wanted = options.pop("status")
    if everything and wanted:
        raise output.Refusal("--all and --status contradict each other; give one of them")
    rows = listing.listed()
    found = listing.select(rows, status=None if everything else wanted or "working", can=can, needs=needs, **options)
    if settings.json:
        output.document([asdict(row) for row in found])
        return
    if found:
        output.table(
            {"slug": "left", "kind": "left", "substrate": "left", "title": "text", "paper": "left", "can": "left",
             "needs": "left", "status": "left"},
            (
                [row.slug, ", ".join(row.kinds), ", ".join(row.substrates), row.title,
                 f"{row.paper} ({row.year})" if row.paper else "", ", ".join(row.can), ", ".join(row.needs), row.status]
                for row in found
            ),
        )  # fmt: skip
    else:
        output.line("nothing found")
    number = listing.counts(rows)
    output.line(
        f"{output.count_of(number['mechanisms'], 'mechanism')} and {number['other']:,} benchmarks and studies work; "
        f"{number['planned']:,} of {output.count_of(number['publications'], 'publication')} are planned"
    )


@click.command()
@click.argument("slug")
@common("json")
@click.pass_obj
def show(settings: Settings, /, slug: str) -> None:
    """Tell what is known about a mechanism, a benchmark or a publication.

    SLUG is a name that `remanence systems --all` lists.
    """
    found = listing.describe(slug)
    if settings.json:
        output.document(found)
        return
    paper = found["publication"] or {}
    is_mechanism = "claim" in found
    output.details(
        {
            "slug": found["slug"],
            "title": found["title"],
            "status": found["status"],
            "kind": found.get("kind") or ", ".join(paper["kinds"]),
            "substrate": found.get("substrate") or ", ".join(paper.get("substrates", ())),
            "publication": f"{paper['title']} ({paper['year']})" if paper else "the project's own",
            "source": found.get("source") or paper.get("source"),
            "realised by": ", ".join(paper.get("realised_by", ())),
            "idea": found.get("idea") or found.get("about"),
            "equation": found.get("equation"),
            "claim": found.get("claim"),
            "can": ", ".join(found.get("can", ())),
            "needs": ", ".join(found.get("needs", ())),
            "witness": ("yes" if found["witness"] else "none yet") if is_mechanism else None,
            "module": found.get("module"),
        }
    )
    _list("deviations", found.get("deviations", ()))
    _list("waivers", [f"{rule}: {reason}" for rule, reason in found.get("waivers", {}).items()])


def _list(heading: str, lines: Any) -> None:
    if lines:
        output.line(f"{heading}:")
    for one in lines:
        output.line(f"  - {one}")


@click.command()
@click.argument("slug")
@click.option("--seed", "seeds", type=int, multiple=True, metavar="N", help="May be repeated; 0, 1 and 2 if left out.")
@common("json")
@click.pass_obj
def witness(settings: Settings, /, slug: str, seeds: tuple[int, ...]) -> None:
    """Measure whether a mechanism's claim shows.

    Runs its smallest experiment against a baseline, once per seed. Ends with status 1 when the claim does not show on
    every one.
    """
    from remanence import catalog
    from remanence.catalog import cards

    measure = catalog.witness(slug)
    claim = cards()[slug].claim
    rows: list[dict[str, Any]] = []
    if not settings.json:
        output.line(f"{slug} {claim}")
    with output.working() as say:
        for seed in seeds or SEEDS:
            say(f"seed {seed}")
            evidence = measure(seed)
            rows.append({"seed": seed, **asdict(evidence), "holds": evidence.holds})
    holds = all(row["holds"] for row in rows)
    if settings.json:
        output.document({"slug": slug, "claim": claim, "holds": holds, "evidence": rows})
    else:
        output.table(
            {"seed": "right", "metric": "left", "measured": "right", "baseline": "right", "better is": "left",
             "holds": "left"},
            map(_row, rows),
        )  # fmt: skip
    if not holds:
        raise click.exceptions.Exit(1)


def _row(row: Mapping[str, Any]) -> list[str]:
    better = "higher" if row["higher_is_better"] else "lower"
    values = [f"{row['value']:.4g}", f"{row['baseline']:.4g}"]
    return [str(row["seed"]), row["metric"], *values, better, "yes" if row["holds"] else "NO"]


@click.command()
@click.argument("subject", metavar="SLUG|FILE.py")
@click.option("--rule", "rules", multiple=True, metavar="ID", help="Only this rule; may be repeated.")
@common("json")
@click.pass_obj
def check(settings: Settings, /, subject: str, rules: tuple[str, ...]) -> None:
    """Put a mechanism to the rules of its substrate.

    A mechanism of the catalog by its slug, or one's own by its file. Ends with status 1 when a rule does not hold.
    """
    from remanence.catalog import get
    from remanence.conformance import check as conform

    with output.working() as say:
        say(f"checking {subject}")
        report = conform(Path(subject) if subject.endswith(".py") else get(subject), only=rules or None)
    if settings.json:
        output.document(json.loads(report.to_json()))
    else:
        output.line(str(report))
    if not report.ok:
        raise click.exceptions.Exit(1)

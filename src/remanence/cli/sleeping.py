"""`remanence sleep`, `quarantine`, `release` and `audit`."""

from __future__ import annotations

from typing import Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, where
from remanence.cli.working import finish_soon

__all__ = ["audit", "quarantine", "release", "sleep"]

_DONE = {
    "expire": ("expired", "would expire"),
    "merge": ("merged", "would be merged"),
    "wake": ("back from the archive", "would come back from the archive"),
    "archive": ("archived", "would be archived"),
    "close": ("deleted from the archive", "would be deleted from the archive"),
    "note": ("notes written", "notes would be written"),
}
_LIMITS = ("junk", "duplicates", "contradictions", "stale", "unsupported", "suspects")


@click.command()
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option("--merge/--no-merge", "duplicates", default=True, help="Merge what says the same. Default: do.")
@click.option("--ttl/--no-ttl", "ttl", default=True, help="Let expire what has an end in its metadata. Default: do.")
@click.option(
    "--forget",
    type=click.Choice(("off", "archive", "close")),
    default="off",
    show_default=True,
    help="Put away what nobody asks for (archive), and let go of it after a second period (close).",
)
@click.option("--notes/--no-notes", "abstract", default=True, help="Write notes of what comes back. Default: do.")
@click.option(
    "--keep",
    type=click.Choice(("facts", "held", "nothing")),
    default="facts",
    show_default=True,
    help="What never fades: the words behind all facts, behind those that hold now, or nothing.",
)
@click.option("--scale", type=float, default=30.0, show_default=True, metavar="DAYS", help="How long a memory lasts.")
@click.option("--threshold", type=float, default=0.1, show_default=True, metavar="R", help="What is left when it goes.")
@click.option(
    "--archived-days", type=float, default=90.0, show_default=True, metavar="DAYS", help="Before --forget close."
)
@click.option("--seed", type=int, metavar="N", help="Draw lots by what is left, instead of the threshold.")
@common()
@click.pass_obj
def sleep(settings: Settings, /, **options: Any) -> None:
    """Consolidate: merge repetitions, end what ran out, write notes of what comes back.

    Nothing is destroyed; each step is one change that `undo` takes back.
    """
    with settings.memory() as memory:
        report = memory.sleep(**options)
        finish_soon(memory)
    if settings.json:
        output.document(report)
        return
    for step in report["steps"]:
        if not step["count"]:
            continue
        change = f"  change {step['change']}" if step["change"] else ""
        output.line(f"{step['count']:,} {_DONE[step['step']][report['dry_run']]}{change}")
        for row in step["rows"]:
            output.line(f"  {row['id'] or 'new'}  {output.one_line(row['memory'])}{_because(row)}")
    for row in report["unread"]:
        output.note(f"{row['id']}: {row['reason']}")
    shares = report["duplicates"]
    output.line(
        f"duplicates: {shares['before']:.1%} before, {shares['after']:.1%} after, "
        f"of {output.count_of(shares['memories'], 'memory')}"
    )


@click.command()
@click.argument("memory_ids", nargs=-1)
@click.option("--origin", metavar="NAME", help="All of this origin: tool, import:mem0, or import:* for all imports.")
@click.option("--source", metavar="TEXT", help="All whose metadata names this source.")
@click.option("--reason", default="", metavar="TEXT", help="Kept with each memory.")
@where
@common()
@click.pass_obj
def quarantine(settings: Settings, /, memory_ids: tuple[str, ...], **options: Any) -> None:
    """Believe memories no longer, and nothing that rests on them alone.

    They are kept, and found only by a filter on their trust. `release` and `undo` take it back.
    """
    with settings.memory() as memory:
        result = memory.quarantine(memory_ids or None, **options)
    if settings.json:
        output.document(result)
        return
    output.line(
        f"{output.count_of(len(result['quarantined']), 'memory')} in quarantine, "
        f"{len(result['derived']):,} that rest on them alone"
    )
    if result["supported"]:
        output.line(f"{len(result['supported']):,} rest on others besides and stay: {' '.join(result['supported'])}")
    if result["change"] is not None:
        output.line(f"change {result['change']}")


@click.command()
@click.argument("memory_ids", nargs=-1)
@click.option("--origin", metavar="NAME", help="All of this origin.")
@click.option("--source", metavar="TEXT", help="All whose metadata names this source.")
@where
@common()
@click.pass_obj
def release(settings: Settings, /, memory_ids: tuple[str, ...], **options: Any) -> None:
    """Believe memories again that are in quarantine, and what rests on them."""
    with settings.memory() as memory:
        result = memory.release(memory_ids or None, **options)
    if settings.json:
        output.document(result)
        return
    output.line(f"released {output.count_of(len(result['released']), 'memory')}")
    if result["change"] is not None:
        output.line(f"change {result['change']}")


def _limits(function: Any) -> Any:
    for name in reversed(_LIMITS):
        text = f"End with status 1 when more than this share is {_MEANT[name]}."
        function = click.option(f"--max-{name}", f"max_{name}", type=float, metavar="SHARE", help=text)(function)
    return function


_MEANT = {
    "junk": "junk",
    "duplicates": "repetition",
    "contradictions": "contradicted",
    "stale": "stale",
    "unsupported": "derived without support",
    "suspects": "an instruction in data",
}


@click.command()
@click.argument("file", required=False)
@click.option(
    "--format",
    type=click.Choice(("auto", "mem0", "mcp", "langgraph")),
    default="auto",
    show_default=True,
    help="What FILE is: mem0's memories as JSON, the MCP memory server's JSON lines, items of a LangGraph store.",
)
@click.option("--examples", type=int, default=3, show_default=True, metavar="N", help="Of each class.")
@click.option(
    "--stale-days", type=float, default=365.0, show_default=True, metavar="DAYS", help="Stale, unless confirmed."
)
@_limits
@common()
@click.pass_obj
def audit(
    settings: Settings, /, file: str | None, format: str, examples: int, stale_days: float, **limits: float | None
) -> None:
    """Measure junk, repetition, contradiction and the like.

    Of a scope of the store, or of FILE, which another tool exported. Nothing is changed.
    """
    from remanence.core.clock import utc_now
    from remanence.runtime.audit import audit_file, exceeded

    report: dict[str, Any]
    if file is not None:
        report = audit_file(file, format=format, stale_days=stale_days, examples=examples, now=utc_now())
    else:
        with settings.memory() as memory:
            report = memory.audit(stale_days=stale_days, examples=examples)
    over = exceeded(report, {name.removeprefix("max_"): most for name, most in limits.items()})
    if settings.json:
        output.document({**report, "exceeded": over})
    else:
        _show(report)
    for text in over:
        output.note(text)
    if over:
        raise click.exceptions.Exit(1)


def _show(report: dict[str, Any]) -> None:
    output.line(f"{output.count_of(report['memories'], 'memory')} from {report['source']}")
    rows = []
    for name, rate in report["rates"].items():
        shown = "unknown" if rate is None else f"{rate:.1%}"
        sorts = ", ".join(f"{sort} {count}" for sort, count in report["junk"].items()) if name == "junk" else ""
        rows.append([name.replace("_", " "), "" if rate is None else f"{report['counts'][name]:,}", shown, sorts])
    output.table({"": "left", "count": "right", "share": "right", "sorts": "left"}, rows)
    for name, examples in report["examples"].items():
        output.line(name.replace("_", " "))
        for example in examples:
            output.line(f"  {example['id']}  {output.one_line(example['memory'])} ({example['why']})")


def _because(row: dict[str, Any]) -> str:
    if "into" in row:
        return f" ({row['why']} as {row['into']})"
    return f" ({row['retention']:.0%} left after {row['days']:g} days)" if "retention" in row else ""

"""`remanence rebuild`, `reembed` and `stats`."""

from __future__ import annotations

from typing import Any

import click

from remanence.cli import output
from remanence.cli.options import FAILED, Settings, common, ray

__all__ = ["rebuild", "reembed", "stats"]


@click.command()
@ray
@common()
@click.pass_obj
def rebuild(settings: Settings, /, ray: str | None) -> None:
    """Derive search terms and vectors anew.

    They come from the texts of all versions, as --language and --embedder have it. Nothing that was said is touched.
    With --ray, one that was stopped goes on from there when run again.
    """
    if ray is not None:
        with settings.memory() as memory, memory.bulk(ray) as bulk, output.progress("rebuilding") as progress:
            report = bulk.rebuild(progress=progress)
        _show(settings, report, f"rebuilt {output.count_of(report['rebuilt'], 'version')}")
        return
    with settings.memory() as memory, output.progress("rebuilding") as progress:
        done = memory.rebuild(progress=progress)
    if settings.json:
        output.document({"rebuilt": done})
    else:
        output.line(f"rebuilt {output.count_of(done, 'version')}")


@click.command()
@ray
@common()
@click.pass_obj
def reembed(settings: Settings, /, ray: str | None) -> None:
    """Compute the vectors that are missing.

    They come from the texts and from the model that --embedder names.
    """
    if ray is not None:
        with settings.memory() as memory, memory.bulk(ray) as bulk, output.progress("embedding") as progress:
            report = bulk.reembed(progress=progress)
        _show(settings, report, f"embedded {output.count_of(report['embedded'], 'version')}")
        return
    with settings.memory() as memory, output.progress("embedding") as progress:
        done = memory.reembed(progress=progress)
    if settings.json:
        output.document({"embedded": done})
    else:
        output.line(f"embedded {output.count_of(done, 'version')}")


def _show(settings: Settings, report: dict[str, Any], line: str) -> None:
    """The answer of bulk work; status 3 where some of it failed."""
    if settings.json:
        output.document(report)
    else:
        output.line(line)
        for failed in report["failed"]:
            output.note(f"failed: {failed['id']}: {failed['reason']}")
    if report["failed"]:
        raise click.exceptions.Exit(FAILED)


@click.command()
@common()
@click.pass_obj
def stats(settings: Settings, /) -> None:
    """Count what is there, by kind."""
    with settings.memory() as memory:
        found = memory.stats()
    if settings.json:
        output.document(found)
    else:
        output.details({name.replace("_", " "): value for name, value in found.items() if name != "indexes"})

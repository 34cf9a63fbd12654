"""`remanence rebuild`, `reembed` and `stats`."""

from __future__ import annotations

import click

from remanence.cli import output
from remanence.cli.options import Settings, common

__all__ = ["rebuild", "reembed", "stats"]


@click.command()
@common()
@click.pass_obj
def rebuild(settings: Settings, /) -> None:
    """Derive search terms and vectors anew.

    They come from the texts of all versions, as --language and --embedder have it. Nothing that was said is touched.
    """
    with settings.memory() as memory, output.progress("rebuilding") as progress:
        done = memory.rebuild(progress=progress)
    if settings.json:
        output.document({"rebuilt": done})
    else:
        output.line(f"rebuilt {output.count_of(done, 'version')}")


@click.command()
@common()
@click.pass_obj
def reembed(settings: Settings, /) -> None:
    """Compute the vectors that are missing.

    They come from the texts and from the model that --embedder names.
    """
    with settings.memory() as memory, output.progress("embedding") as progress:
        done = memory.reembed(progress=progress)
    if settings.json:
        output.document({"embedded": done})
    else:
        output.line(f"embedded {output.count_of(done, 'version')}")


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

"""`remanence migrate`."""

from __future__ import annotations

from typing import Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common
from remanence.core.clock import utc_now
from remanence.core.errors import StoreError

__all__ = ["migrate"]

DIFFERS = 3
"""Exit status when the stores differ in the end."""


@click.command()
@click.argument("source")
@click.argument("target")
@common("json")
@click.pass_obj
def migrate(settings: Settings, /, source: str, target: str) -> None:
    """Bring all of the store SOURCE into the store TARGET, and compare both.

    Each is a file or postgresql://user@host/database. The source stays as it is and may be in use; a migration that
    was stopped goes on from there when run again. Ends with status 3 when the stores differ in the end.
    """
    from remanence.runtime.engine import open_store
    from remanence.runtime.migrating import migrate as run

    origin, place = open_store(source, utc_now), open_store(target, utc_now)
    try:
        path = getattr(origin, "path", None)
        if path is not None and not path.exists():
            raise StoreError(f"there is no store at {path}; name the file, the folder or the address of one")
        with output.progress("migrating") as progress:
            report = run(origin, place, progress=progress)
    finally:
        origin.close()
        place.close()
    if settings.json:
        output.document(report)
    else:
        _show(report)
    if not report["verified"]:
        raise click.exceptions.Exit(DIFFERS)


def _show(report: dict[str, Any]) -> None:
    counts = [output.count_of(report["adopted"], "memory"), output.count_of(report["replayed"], "later change")]
    output.line(f"moved {' and '.join(counts)}")
    for line in report["scopes"]:
        for difference in line["differences"]:
            output.line(f"differs in {' '.join(f'{name}={id}' for name, id in line['scope'].items())}: {difference}")
    if report["receipts_left"]:
        output.note(f"{output.count_of(report['receipts_left'], 'receipt')} of erasures stay in the source")
    scopes, versions = len(report["scopes"]), sum(line["versions"] for line in report["scopes"])
    verdict = "verified" if report["verified"] else "NOT THE SAME"
    output.line(f"{verdict}: compared {output.count_of(versions, 'version')} in {output.count_of(scopes, 'scope')}")

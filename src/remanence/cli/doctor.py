"""`remanence doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from remanence.cli import output
from remanence.cli.options import Settings, common

__all__ = ["doctor"]

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


@click.command()
@common("path", "embedder", "json")
@click.pass_obj
def doctor(settings: Settings, /) -> None:
    """Examine installation, disk and store.

    Ends with status 1 when something is wrong.
    """
    from remanence.cli.diagnosis import examine

    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not settings.json:
            output.line(f"{MARKS[finding.state]:<6}{finding.name:<11}{finding.text}")
    wrong = sum(finding.state == "wrong" for finding in findings)
    if settings.json:
        output.document({"ok": not wrong, "checks": [asdict(finding) for finding in findings]})
    elif not wrong:
        output.line("all is well")
    if wrong:
        raise click.exceptions.Exit(1)

"""`remanence doctor`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain

import click

from remanence.cli import output
from remanence.cli.options import Settings, common

__all__ = ["doctor"]

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


@click.command()
@common("path", "embedder", "json")
@click.option(
    "--llm",
    "llm",
    metavar="[openai:MODEL]",
    is_flag=False,
    flag_value="",
    help="Try a language model too, by a handful of small requests: this one, or else what $REMANENCE_LLM names.",
)
@click.pass_obj
def doctor(settings: Settings, /, llm: str | None) -> None:
    """Examine installation, disk and store, and a language model if one is to be used.

    Ends with status 1 when something is wrong.
    """
    from remanence.cli.diagnosis import examine, examine_llm

    findings = []
    for finding in chain(examine(settings), () if llm is None else examine_llm(llm)):
        findings.append(finding)
        if not settings.json:
            output.line(f"{MARKS[finding.state]:<6}{finding.name:<10} {finding.text}")
    wrong = sum(finding.state == "wrong" for finding in findings)
    if settings.json:
        output.document({"ok": not wrong, "checks": [asdict(finding) for finding in findings]})
    elif not wrong:
        output.line("all is well")
    if wrong:
        raise click.exceptions.Exit(1)

"""`remanence erase`, `verify-erasure` and `receipts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from remanence.cli import output
from remanence.cli.options import Settings, common, ids, limit, yes

if TYPE_CHECKING:
    from remanence.runtime.memory import Memory

__all__ = ["erase", "receipts", "verify_erasure"]

FOUND = 3
"""Exit status of `verify-erasure` when something is still there."""


@click.command()
@click.argument("memory_ids", nargs=-1)
@click.option("--reason", default="", metavar="TEXT", help="Kept on the receipt.")
@yes
@common()
@click.pass_obj
def erase(settings: Settings, /, memory_ids: tuple[str, ...], reason: str, yes: bool) -> None:
    """Destroy memories for good.

    Text, history, vectors, index and journal go. Without ids the whole scope is erased. Prints the id of a
    receipt, with which `remanence verify-erasure` checks the files.
    """
    with settings.memory() as memory:
        number = len(memory_ids) or memory.stats()["records"]
        output.confirm(
            f"Erase {output.count_of(number, 'memory')}{settings.arguments}? This cannot be undone.", yes=yes
        )
        receipt = memory.erase(memory_ids or None, reason=reason)
    if settings.json:
        output.document(receipt)
        return
    derived = len(receipt["derived"])
    others = f" and {derived:,} derived from them" if derived else ""
    output.line(f"erased {output.count_of(len(receipt['ids']), 'memory')}{others}")
    output.line(f"receipt {receipt['id']}")
    output.line(
        f"check it: remanence verify-erasure {receipt['id']}{settings.arguments} --text 'words that must be gone'"
    )


@click.command("verify-erasure")
@click.argument("receipt_id", required=False)
@click.option("--text", "phrases", multiple=True, metavar="PHRASE", help="Words that must be gone; may be repeated.")
@common()
@click.pass_obj
def verify_erasure(settings: Settings, /, receipt_id: str | None, phrases: tuple[str, ...]) -> None:
    """Search the files for what must be gone.

    That is what a receipt says was erased, and the words given by --text. Ends with status 3 when anything is
    found. Without a receipt only the phrases are looked for.
    """
    if receipt_id is None and not phrases:
        raise click.UsageError("name a receipt, or words with --text")
    with settings.memory() as memory:
        receipt = () if receipt_id is None else _receipt(memory, receipt_id)
        report = memory.verify_erasure(receipt, phrases)
    if settings.json:
        output.document(report)
    else:
        _show(report)
    if not report["clean"]:
        raise click.exceptions.Exit(FOUND)


@click.command()
@limit("How many at most; 100 if left out.")
@click.option("--after", metavar="RECEIPT", help="Only those after this receipt.")
@ids
@common()
@click.pass_obj
def receipts(settings: Settings, /, limit: int | None, after: str | None, only_ids: bool) -> None:
    """List the receipts of erasures, oldest first."""
    with settings.memory() as memory:
        found = memory.receipts(limit=limit, after=after)
    if settings.json:
        output.document(found)
    elif only_ids:
        for receipt in found:
            output.line(receipt["id"])
    elif not found:
        output.line("nothing found")
    else:
        output.table(
            {"receipt": "left", "at": "left", "memories": "right", "derived": "right", "by": "left", "reason": "text"},
            (
                [
                    receipt["id"],
                    output.moment(receipt["at"]),
                    f"{len(receipt['ids']):,}",
                    f"{len(receipt['derived']):,}",
                    receipt["actor"],
                    receipt["reason"],
                ]
                for receipt in found
            ),
        )


def _receipt(memory: Memory, receipt_id: str) -> Mapping[str, Any]:
    for receipt in memory.receipts(receipt_id=receipt_id):
        return receipt
    raise output.Failure(f"there is no receipt {receipt_id} in this scope; `remanence receipts` lists them")


def _show(report: Mapping[str, Any]) -> None:
    for finding in report["findings"]:
        where = finding["place"] if finding.get("offset") is None else f"{finding['place']}, byte {finding['offset']:,}"
        form = f" as {finding['form']}" if finding.get("form") else ""
        output.line(f"found {finding['kind']} {output.one_line(finding['what'])!r} in {where}{form}")
    if not report.get("residue_cleared", True):
        output.line(
            "erased bytes may lie in the file still: other processes were reading it; the next erasure wipes them"
            if "files" in report
            else "dead rows may lie in the tables' files still: PostgresStore.clear_residue writes them anew"
        )
    kind = "file" if "files" in report else "table"
    sizes = report[f"{kind}s"]
    searched = f"{sum(sizes.values()):,} bytes of {output.count_of(len(sizes), kind)}"
    looked = f"{output.count_of(report['ids'], 'id')} and {output.count_of(report['phrases'], 'phrase')}"
    verdict = "clean" if report["clean"] else "NOT CLEAN"
    output.line(f"{verdict}: looked for {looked} in {searched}")

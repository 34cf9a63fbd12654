"""`python -m benchmarks.peers.table`: docs/benchmarks-peers.md from results/peers.json, and from nothing else."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "peers.json"
PAGE = ROOT / "docs" / "benchmarks-peers.md"
SCHEMA = 1

Found = Mapping[str, Any]
Cell = Callable[[Found], str]


class Notes:
    """Footnotes in the order in which the cells ask for them; the same text is one note."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def mark(self, text: str) -> str:
        """The mark that stands in the cell."""
        if text not in self._texts:
            self._texts.append(text)
        return f"[{self._texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        """All notes, one line each."""
        return [f"- [{number}] {text}" for number, text in enumerate(self._texts, start=1)]


def cell(found: Found, shape: Cell, notes: Notes) -> str:
    """What was found in one cell; "cannot" and a note with the reason where there is no figure."""
    if "cannot" in found:
        return f"cannot {notes.mark('`' + found['cannot'].replace('`', '´').replace('|', '¦') + '`')}"
    return shape(found)


def times(found: Found) -> str:
    """Median and 95th percentile, in milliseconds."""
    return f"{found['p50']:.1f} / {found['p95']:.1f}"


def rounds(found: Found) -> str:
    """The median of single adds in each round, in milliseconds."""
    return ", ".join(f"{one:.1f}" for one in found["add_p50_of_rounds"])


def killed(found: Found, notes: Notes) -> str:
    """Acknowledged adds that are found afterwards, and what went wrong."""
    kept = found["acknowledged"] - found["lost"]
    text = f"{kept:,} of {found['acknowledged']:,}; opens {found['opened_after']} of {found['trials']} times"
    if found["last_not_found_by_search"]:
        text += f"; last add not found by search {found['last_not_found_by_search']} times"
    return text + errors(found, notes)


def writers(found: Found, notes: Notes) -> str:
    """Attempted, acknowledged, lost and failed adds of two processes."""
    text = f"{found['acknowledged']} of {found['attempted']} acknowledged, {found['lost']} of them lost"
    if found["writers_opened"] < 2:
        text += f"; {2 - found['writers_opened']} of 2 processes refused"
    if found["failed"]:
        text += f"; {found['failed']} raised"
    return text + errors(found, notes)


def errors(found: Found, notes: Notes) -> str:
    """A note for each kind of error that was seen."""
    return "".join(f" {notes.mark(f'`{_plain(text)}` ({count}×)')}" for text, count in found["errors"].items())


def reading(found: Found, notes: Notes) -> str:
    """Adds that another process found at once; for LanceDB also with its strong consistency."""
    text = f"{found['found']} of {found['of']}"
    if found["listed"] != found["found"]:
        text += f"; {found['listed']} when all are listed"
    strong = found.get("strong")
    if strong is None:
        return text
    also = cell(strong, lambda one: f"{one['found']} of {one['of']}", notes)
    return f"{text}; {also} with `read_consistency_interval=0`"


def deleted(found: Found, notes: Notes) -> str:
    """Texts that are left after the delete."""
    text = f"{found['after_delete']} of {found['of']}"
    if found["by"] == "versions":
        text += f" {notes.mark('its files are compressed; counted is what its own older versions still show')}"
    return text


def purged(found: Found, notes: Notes) -> str:
    """Texts that are left after what the system documents for removing them; a dash where none was left before."""
    if not found["after_delete"]:
        return "–"
    return cell(found["after_purge"], lambda one: f"{one['left']} of {found['of']}", notes)


def rows(data: Found, notes: Notes) -> list[tuple[str, list[str]]]:
    """Each row's title and its cells, in the order of the systems."""
    systems = list(data["systems"].values())
    records = f"{data['records']:,}"

    def of(measure: str, shape: Cell) -> list[str]:
        return [cell(system[measure], shape, notes) for system in systems]

    return [
        ("one add, ms p50 / p95", of("speed", lambda one: times(one["add"]))),
        ("… p50 in each round", of("speed", rounds)),
        ("a plain `fsync` between those, ms", of("speed", lambda one: times(one["fsync"]))),
        ("writes through to the disk per add", of("syncs", lambda one: f"{one['per_add']:.1f}")),
        (f"bulk add of {records}, turns/s", of("speed", lambda one: f"{one['bulk_per_second']:,.0f}")),
        ("then, before searching, s", of("speed", lambda one: f"{one['prepare_seconds']:.1f}")),
        (f"search among {records}, ms p50 / p95", of("speed", lambda one: times(one["search"]))),
        ("search on LoCoMo, ms p50 / p95", of("locomo", lambda one: times(one["search"]))),
        ("recall@10 on LoCoMo's evidence", of("locomo", lambda one: f"{one['recall@10']:.3f}")),
        ("import, ms", of("import", lambda one: f"{one['ms']:,.0f}")),
        (
            f"fresh process: open {records} and answer, ms",
            of("speed", lambda one: f"{one['first_answer_ms']:,.0f}"),
        ),
        (
            "most memory of that process, MB",
            of("speed", lambda one: f"{one['peak_rss_bytes'] / 1e6:,.0f}"),
        ),
        (
            "on disk, bytes per turn",
            of("speed", lambda one: f"{one['disk_bytes'] / (data['records'] + data['adds']):,.0f}"),
        ),
        (
            "installed, MB (packages)",
            of("installed", lambda one: f"{one['megabytes']:,.0f} ({one['packages']})"),
        ),
        ("found after `kill -9`", of("killed", lambda one: killed(one, notes))),
        ("two processes add at once", of("two_writers", lambda one: writers(one, notes))),
        ("found at once by another process", of("read_your_writes", lambda one: reading(one, notes))),
        (
            "deleted texts still in the files",
            of("deleted", lambda one: deleted(one, notes)),
        ),
        ("… after what removes them", of("deleted", lambda one: purged(one, notes))),
    ]


def render(data: Found) -> str:
    """The page. Raises `ValueError` for a file of another schema."""
    if data.get("schema") != SCHEMA:
        raise ValueError(f"schema {data.get('schema')!r} is not {SCHEMA}; run python -m benchmarks.peers.run again")
    notes = Notes()
    systems = list(data["systems"].values())
    body = rows(data, notes)
    table = [["", *(system["title"] for system in systems)], ["---", *("---:" for _ in systems)]]
    table += [[title, *cells] for title, cells in body]
    machine = data["hardware"]
    versions = [
        f"- {system['title']}: "
        + (f"remanence {data['version']}, " if name == "remanence" else "")
        + ", ".join(f"{package} {version}" for package, version in system["versions"].items())
        for name, system in data["systems"].items()
    ]
    loads = [found["load_before"] for system in systems for found in system.values() if _has_load(found)]
    questions = next((one["locomo"] for one in systems if "questions" in one["locomo"]), None)
    locomo = (
        f"LoCoMo: {questions['turns']:,} turns, {questions['questions']:,} questions, data `{questions['data']}`. "
        if questions
        else ""
    )
    lines = [
        "<!-- made by python -m benchmarks.peers.table, do not edit -->",
        "",
        "# Side by side with peers",
        "",
        "The same turns with the same embedder (the static one, through each system's own embedding hook), on the same"
        " machine, measured next to each other, each system in processes of its own. How each is used, and how each"
        " figure is taken, is in [benchmarks/peers](../benchmarks/peers/README.md).",
        "",
        *("| " + " | ".join(row) + " |" for row in table),
        "",
        *notes.lines(),
        "",
        "## What to know when reading it",
        "",
        "- Remanence's weights were learnt on these questions of LoCoMo. What weights reach that were learnt without"
        " the question's fold stands in [the measured tables](benchmarks.md), as `recall`, cross-validated. The"
        " vectors are a small static table's; another encoder changes all these figures.",
        "- The systems search differently: Remanence fuses lexical, dense and conversational channels, LanceDB fuses"
        " full text and vectors, the others compare vectors. mem0's keyword and entity signals need models that are"
        " fetched from the network, and are off.",
        "- LangGraph's store of this version does not read the `fields` of its index, which its documentation shows:"
        " it embeds the whole value as JSON, so its vectors are not quite those of the others.",
        "- Adds that write through follow the disk, whose `fsync` varies several-fold within minutes and was not"
        " equally fast for all: compare the row of the plain `fsync` first. Shown are medians of rounds in which"
        " the systems took turns.",
        "- Remanence goes on working out facts in a thread after many turns were added; its searches and single adds"
        " were timed while it did. "
        + cell(
            data["systems"].get("remanence", {}).get("locomo", {"cannot": "not measured"}),
            lambda one: f"For LoCoMo's turns that work takes {one['settle_seconds']:.0f} s when it is waited for.",
            notes,
        ),
        "- `kill -9` ends a process, not the machine. After a power failure only what was written through to the disk"
        " (`fsync`) is sure to be there: an add without any is fast, and is not durable in that sense.",
        f"- The SQLite of this Python {_overwriting(systems)} what is deleted, for the systems that use it; others are"
        " compiled otherwise.",
        "- Remanence's `delete` keeps the text for its history, and `undo` brings it back; `erase` is what removes it.",
        "- The machine was not idle: the load before each measure was between"
        f" {min(loads):.1f} and {max(loads):.1f} on {machine['cores']} cores. Ratios say more than milliseconds.",
        "",
        "## Measured with",
        "",
        *versions,
        "",
        f"{locomo}{data['queries']} timed searches and {data['adds']} timed adds among the generated turns, seed"
        f" {data['seed']}, embedder `{data['embedder']}`. Python {systems[0]['python']}, SQLite {systems[0]['sqlite']},"
        f" {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}. Network while"
        f" measuring: {data['network']}.",
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.table", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    chosen = parser.parse_args(arguments)
    chosen.page.write_text(render(json.loads(chosen.results.read_text(encoding="utf-8"))), encoding="utf-8")
    return 0


def _has_load(found: Any) -> bool:
    return isinstance(found, Mapping) and "load_before" in found


def _overwriting(systems: Sequence[Found]) -> str:
    return "overwrites" if systems[0]["sqlite_overwrites_deleted"] else "does not overwrite"


def _plain(text: str) -> str:
    return text.replace("`", "´").replace("|", "¦")


if __name__ == "__main__":
    sys.exit(main())

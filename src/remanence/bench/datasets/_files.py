"""Finding and reading data files, with errors that say what was expected where."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remanence.core.errors import ImportFormatError, InvalidTime, NotFound

ENVIRONMENT = "REMANENCE_BENCH_DATA"

_EVIDENCE = re.compile(r"D?\s*:?\s*(\d+)\s*:\s*(\d+)(?:\s*-\s*D?\s*(\d+)\s*:\s*(\d+))?")


class DatasetMissing(NotFound):
    """The files of a data set are not where they were looked for."""


def find(data_dir: Path, folder: str, *patterns: str) -> list[Path]:
    """Files matching one of the glob patterns in `data_dir/folder`, or in `data_dir` itself, sorted by name.

    `data_dir` may also be one matching file. Raises `DatasetMissing` when nothing matches.
    """
    if data_dir.is_file() and any(data_dir.match(pattern) for pattern in patterns):
        return [data_dir]
    for place in (data_dir / folder, data_dir):
        found = {path for pattern in patterns for path in place.glob(pattern) if path.is_file()}
        if found:
            return sorted(found, key=_natural)
    raise missing(data_dir, *(f"{folder}/{pattern}" for pattern in patterns))


def missing(data_dir: Path, *expected: str) -> DatasetMissing:
    """The error for absent files: names the folder searched, what was expected, and both ways to point elsewhere."""
    wanted = " or ".join(expected)
    return DatasetMissing(
        f"no {wanted} under {str(data_dir)!r}; point --data or the environment variable {ENVIRONMENT} at the folder "
        "that holds it (docs/guides/benchmarks.md lists where each data set comes from)"
    )


def read_json(path: Path) -> Any:
    """Parse one JSON file; a file that is not JSON is an `ImportFormatError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ImportFormatError(f"{path.name} is not valid JSON ({error}); fetch the file again") from error


def read_jsonl(path: Path) -> list[Any]:
    """Parse one JSON value per non-empty line; the error names file and line."""
    rows: list[Any] = []
    # Not splitlines(): JSON strings may hold U+2028 unescaped.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ImportFormatError(f"{path.name}, line {number}: not valid JSON ({error})") from error
    return rows


def wall_clock(text: str, form: str) -> datetime:
    """Read a date in a `strptime` form; the wall clock is taken as UTC."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidTime(f"date {text!r} does not have the form {form!r}") from error


def turn_ids(evidence: list[str], known: dict[str, int]) -> frozenset[str]:
    """Turn ids named by evidence strings in the LoCoMo layout, `D<session>:<turn>`.

    The strings are hand-made: several ids in one ("D8:6; D9:17"), ranges ("D12:3-D12:5", expanded when both ends lie
    in one session), stray colons ("D:11:26"), a missing D ("23:29"), zero padding. Ids that are not in `known` are
    dropped.
    """
    found: set[str] = set()
    for piece in evidence:
        for match in _EVIDENCE.finditer(piece):
            session, first = int(match[1]), int(match[2])
            found.add(f"D{session}:{first}")
            if match[3] is not None:
                found.add(f"D{int(match[3])}:{int(match[4])}")
                if int(match[3]) == session:
                    found.update(f"D{session}:{turn}" for turn in range(first, int(match[4])))
    return frozenset(found & known.keys())


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path)) if part]

"""What the witnesses measured, as one file that can be committed: every mechanism's claim beside its baseline.

The file says by which version and on which kind of machine it was measured. Nothing in it depends on how long it took.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import remanence
from remanence import catalog
from remanence.bench.datasets._files import read_json
from remanence.bench.results import Hardware, hardware
from remanence.catalog import cards, has_witness
from remanence.core.card import Evidence
from remanence.core.errors import ImportFormatError

SCHEMA = 1
SEEDS = (0, 1, 2)
FILE = Path("results/witnesses.json")
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Witnessed:
    """Evidence by slug and seed, and where it comes from."""

    version: str
    hardware: Hardware
    evidence: Mapping[str, Mapping[int, Evidence]]


def measure(
    slugs: Sequence[str] | None = None,
    *,
    seeds: Sequence[int] = SEEDS,
    report: Callable[[str], None] = lambda line: None,
) -> Witnessed:
    """Run the witness of each mechanism that has one, or of those named, on each seed.

    Raises `InvalidInput` for a slug that is no mechanism's, `CatalogError` for one without a witness.
    """
    chosen = [slug for slug in cards() if has_witness(slug)] if slugs is None else slugs
    evidence: dict[str, dict[int, Evidence]] = {}
    for slug in chosen:
        witness = catalog.witness(slug)
        evidence[slug] = {}
        for seed in seeds:
            report(f"{slug}, seed {seed}")
            evidence[slug][seed] = witness(seed)
    return Witnessed(remanence.__version__, hardware(), evidence)


def save(found: Witnessed, path: Path) -> None:
    """Write the file, making its folder if need be."""
    rows = {slug: [_row(seed, one) for seed, one in by_seed.items()] for slug, by_seed in found.evidence.items()}
    data = {"schema": SCHEMA, "version": found.version, "hardware": asdict(found.hardware), "witnesses": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> Witnessed:
    """Read such a file. Raises `ImportFormatError` for any other."""
    data = read_json(path)
    try:
        if data.pop("schema") != SCHEMA:
            raise ValueError("its schema is another one")
        evidence = {
            slug: {
                row["seed"]: Evidence(**{name: value for name, value in row.items() if name != "seed"}) for row in rows
            }
            for slug, rows in data["witnesses"].items()
        }
        return Witnessed(data["version"], Hardware(**data["hardware"]), evidence)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImportFormatError(
            f"{path.name} holds no results of witnesses as schema {SCHEMA} has them ({error!r}); "
            "measure again with python -m remanence.bench witnesses"
        ) from error


def _row(seed: int, one: Evidence) -> dict[str, str | int | float | bool]:
    return {
        "seed": seed,
        "metric": one.metric,
        "value": round(float(one.value), _DIGITS),
        "baseline": round(float(one.baseline), _DIGITS),
        "higher_is_better": one.higher_is_better,
    }

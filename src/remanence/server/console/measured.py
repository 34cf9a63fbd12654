"""The catalog as the console shows it, with the results that are committed beside the package, where they are there.

Results lie in `results/`, in the package or in the checkout that it runs from. An installation without them has the
claims alone, and says so.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from remanence.catalog import cards, entry_cards
from remanence.catalog.listing import counts, describe, listed
from remanence.core.errors import CatalogError

__all__ = ["entry", "folder", "listing"]

_PACKAGE: Final = Path(__file__).parents[2]
_NAME: Final = "results"
_WITNESSES: Final = "witnesses.json"


def folder() -> Path | None:
    """Where the committed results are; None where none came along."""
    checkout = _PACKAGE.parents[1]
    if (_PACKAGE / _NAME).is_dir():
        return _PACKAGE / _NAME
    return checkout / _NAME if (checkout / "pyproject.toml").is_file() and (checkout / _NAME).is_dir() else None


def listing() -> dict[str, Any]:
    """Every entry in one row: `slug`, `title`, `paper`, `year`, `kinds`, `substrates`, `status`, `can`, `needs`.

    What works has its claim, or what it is about, as `text`, the mean `evidence` of its witness, and how many
    `results` there are.
    """
    mechanisms, others = cards(), entry_cards()
    found = _results(folder())
    rows = []
    all_rows = listed()
    for one in all_rows:
        slug = one.slug
        working = one.status == "working"
        card, other = (mechanisms.get(slug), others.get(slug)) if working else (None, None)
        rows.append(
            {
                "slug": slug,
                "title": one.title,
                "paper": one.paper,
                "year": one.year,
                "kinds": list(one.kinds),
                "substrates": list(one.substrates),
                "status": one.status,
                "can": list(one.can),
                "needs": list(one.needs),
                "text": card.claim if card else other.about if other else "",
                "evidence": _mean(found["witnesses"].get(slug)) if card else None,
                "results": len(_measured(found, slug)) if working else 0,
            }
        )
    return {"count": counts(all_rows), "measured": folder() is not None, "results": rows}


def entry(slug: str) -> dict[str, Any]:
    """All that is known about one name, with `evidence` per seed and `results` per data set or system.

    Raises `InvalidInput` for a name that is none.
    """
    found = _results(folder())
    return {
        **describe(slug),
        "evidence": found["witnesses"].get(slug, []),
        "evidence_from": found["from"],
        "results": _measured(found, slug),
        "measured": folder() is not None,
    }


def _measured(found: dict[str, Any], slug: str) -> list[dict[str, Any]]:
    return [row for row in found["results"] if slug in (row["system"], row["dataset"])]


def _mean(rows: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    if not rows:
        return None
    value, baseline = (sum(row[name] for row in rows) / len(rows) for name in ("value", "baseline"))
    return {
        "metric": rows[0]["metric"],
        "value": value,
        "baseline": baseline,
        "seeds": len(rows),
        "holds": all(row["holds"] for row in rows),
    }


@lru_cache(maxsize=2)
def _results(place: Path | None) -> dict[str, Any]:
    """What the files of a folder say. Raises `CatalogError`, which names the file, for one that is not what it should
    be."""
    found: dict[str, Any] = {"witnesses": {}, "from": None, "results": []}
    for path in [] if place is None else sorted(place.glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if path.name == _WITNESSES:
                found["from"] = {"version": data["version"], "hardware": data["hardware"]}
                for slug, rows in data["witnesses"].items():
                    found["witnesses"][slug] = [row | {"holds": _holds(row)} for row in rows]
            elif isinstance(data, dict) and {"system", "dataset", "metrics"} <= data.keys():
                found["results"].append(_result(data))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CatalogError(f"{_NAME}/{path.name} is no file of results: {error!r}") from error
    return found


def _result(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "system": data["system"],
        "dataset": data["dataset"],
        "title": data["title"],
        "version": data["version"],
        "hardware": data["hardware"],
        "questions": data["questions"]["overall"],
        "learnt_on": data.get("learnt_on", False),
        "metrics": data["metrics"]["overall"],
        "cross_validated": data.get("cross_validated"),
    }


def _holds(row: dict[str, Any]) -> bool:
    better: bool = row["value"] > row["baseline"] if row["higher_is_better"] else row["value"] < row["baseline"]
    return better

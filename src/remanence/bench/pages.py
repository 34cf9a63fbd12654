"""The page of documentation that is made from the committed results."""

from __future__ import annotations

from pathlib import Path

from remanence.bench import ablation, results, speed, suite
from remanence.bench.datasets._files import read_json
from remanence.bench.studies import truth
from remanence.core.errors import InvalidInput

RESULTS = Path("results")
PAGE = Path("docs/benchmarks.md")
ABLATION, SPEED, TRUTH = "ablation.json", "speed.json", "truth.json"


def fill(page: str, folder: Path) -> str:
    """The page with its parts made anew from the result files of a folder; a part without a file stays as it is.

    Raises `InvalidInput` when a part's markers are missing, `ImportFormatError` for a file that cannot be read.
    """
    # The mechanisms have pages of their own: docs/mechanisms.
    found = [one for one in results.read_all(folder) if one.system in suite.SYSTEMS]
    if found:
        page = between(page, "retrieval", results.render(found))
    if (folder / SPEED).exists():
        page = between(page, "speed", speed.render(speed.load(folder / SPEED)))
    if (folder / ABLATION).exists():
        page = between(page, "ablation", ablation.render(ablation.load(folder / ABLATION)))
    if (folder / TRUTH).exists():
        page = between(page, "truth", truth.render(read_json(folder / TRUTH)["figures"]))
    return page


def between(page: str, name: str, text: str) -> str:
    """The page with what stands between its two `name` markers replaced. Raises `InvalidInput` without them."""
    begin, end = f"<!-- {name}: made by python -m remanence.bench tables -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise InvalidInput(f"the page lacks the lines {begin!r} and {end!r}; put them where the part belongs")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"

"""`python -m remanence.bench baselines --data DIR`: the baselines on every data set, as a table on standard output."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from remanence.bench import baselines, datasets, results, runner
from remanence.core.errors import RemanenceError
from remanence.stores.embedders.static import StaticEmbedder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 when the data is missing or not readable."""
    parser = argparse.ArgumentParser(prog="python -m remanence.bench", description=__doc__)
    parser.add_argument("command", choices=["baselines"])
    parser.add_argument("--data", type=Path, help=f"folder with the data sets (default: ${datasets.ENVIRONMENT})")
    parser.add_argument("--set", action="append", choices=datasets.names(), help="only this data set; may be repeated")
    parser.add_argument("--results", type=Path, help="also write one JSON file per system and data set here")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    embedder = functools.cache(StaticEmbedder)
    machine = results.hardware()
    try:
        for name in chosen.set or datasets.names():
            dataset = datasets.load(name, chosen.data)
            found = []
            for system, make in baselines.baselines(embedder).items():
                space = embedder().space.key if system in ("dense", "rrf") else None
                run = runner.run(dataset, make())
                found.append(results.from_run(run, seed=chosen.seed, hardware=machine, embedder=space))
                if chosen.results:
                    results.write(found[-1], chosen.results)
            print(results.render(found), flush=True)
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

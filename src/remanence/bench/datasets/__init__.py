"""Data sets for evidence recall: readers of public ones, none of which ships with Remanence, and generated ones.

Each module in this package that defines `NAME` and `load` is a data set; there is no list to keep. Point `--data` or
the environment variable `REMANENCE_BENCH_DATA` at a folder with the files (docs/guides/benchmarks.md). A module that
says `GENERATED = True` needs no files.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from types import ModuleType

from remanence.bench.datasets._files import ENVIRONMENT, DatasetMissing
from remanence.bench.datasets._model import Corpus, Dataset, Document, Question
from remanence.core.errors import InvalidInput

__all__ = ["ENVIRONMENT", "Corpus", "Dataset", "DatasetMissing", "Document", "Question", "data_folder", "load", "names"]


def names(*, generated: bool | None = None) -> tuple[str, ...]:
    """The names of all data sets, sorted; or of those that are, or are not, generated."""
    return tuple(
        name for name, module in sorted(_modules().items()) if generated is None or _is_generated(module) is generated
    )


def load(name: str, data_dir: Path | str | None = None) -> Dataset:
    """Read a data set from `data_dir` (default: `$REMANENCE_BENCH_DATA`).

    Raises `InvalidInput` for an unknown name, `DatasetMissing` when the folder or its files are not there, and
    `ImportFormatError` when a file is not what its name says.
    """
    modules = _modules()
    if name not in modules:
        raise InvalidInput(f"unknown data set {name!r}; choose one of {', '.join(sorted(modules))}")
    module = modules[name]
    dataset = module.load() if _is_generated(module) else module.load(data_folder(data_dir))
    if not isinstance(dataset, Dataset):
        raise TypeError(f"load() of data set {name!r} returned {type(dataset).__name__}, not Dataset")
    return dataset


def data_folder(data_dir: Path | str | None = None) -> Path:
    """The folder to read from: the argument, else `$REMANENCE_BENCH_DATA`, else `DatasetMissing`."""
    chosen = data_dir if data_dir is not None else os.environ.get(ENVIRONMENT) or None
    if chosen is None:
        raise DatasetMissing(
            f"no benchmark data: pass --data DIR or set {ENVIRONMENT} to a folder with locomo/, realtalk/, … "
            "(docs/guides/benchmarks.md lists where each data set comes from)"
        )
    folder = Path(chosen)
    if not folder.exists():
        raise DatasetMissing(f"the benchmark data folder {str(chosen)!r} does not exist; check --data or {ENVIRONMENT}")
    return folder


def _is_generated(module: ModuleType) -> bool:
    return bool(getattr(module, "GENERATED", False))


def _modules() -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"{__name__}.{info.name}")
            found[module.NAME] = module
    return found

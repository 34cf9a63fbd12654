"""Triples that a language model once read in the passages of a data set, as an extractor.

HippoRAG's repository (OSU-NLP-Group/HippoRAG, MIT) has the answers of gpt-3.5-turbo for the 1,890 passages of its
MuSiQue tuning set: with them the whole method can be run and scored without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from remanence.bench.datasets import data_folder
from remanence.bench.datasets._files import find, read_json
from remanence.core.errors import ImportFormatError, NotFound
from remanence.kernels.openie import Extraction

FOLDER = "hipporag"
FILES = "openie_musique*.json"


class CachedOpenIE:
    """Extractions by the text of the passage, read from a file at the first call.

    Args:
        data_dir: the folder with the benchmark's data, or the file itself; `$REMANENCE_BENCH_DATA` if left out.
        pattern: which files of its folder `hipporag` to read.

    """

    def __init__(self, data_dir: Path | str | None = None, *, pattern: str = FILES) -> None:
        self._data_dir = data_dir
        self._pattern = pattern
        self._known: dict[str, Extraction] | None = None

    def __call__(self, texts: Sequence[str]) -> list[Extraction]:
        """What was read in each text (title, line break, text).

        Raises `DatasetMissing` where there is no file, `ImportFormatError` for one of another form, and `NotFound` for
        a text that is not in it.
        """
        if self._known is None:
            paths = find(data_folder(self._data_dir), FOLDER, self._pattern)
            self._known = {text: found for path in paths for text, found in _read(path).items()}
        try:
            return [self._known[text] for text in texts]
        except KeyError as error:
            raise NotFound(
                f"no cached triples for the passage {str(error.args[0])[:80]!r}; this cache ({self._pattern}) fits the "
                "passages of MuSiQue-train as title, line break, text; use the rules for others"
            ) from error

    def __len__(self) -> int:
        """How many passages are known; 0 before the first call."""
        return len(self._known or ())


def _read(path: Path) -> dict[str, Extraction]:
    content = read_json(path)
    try:
        return {
            str(row["passage"]): Extraction(
                tuple(map(str, row["extracted_entities"])),
                # Answers of two, four or more parts are no triples.
                tuple((str(one[0]), str(one[1]), str(one[2])) for one in row["extracted_triples"] if len(one) == 3),
            )
            for row in content["docs"]
        }
    except (KeyError, TypeError) as error:
        raise ImportFormatError(
            f"{path.name} is no file of cached triples ({type(error).__name__}: {error}); expected "
            "docs: [{passage, extracted_entities, extracted_triples}]"
        ) from error

"""Work out the related words of the shipped static embedder, once for all processes that use them.

    python tools/relate_words.py

Run it again after `tools/distill_static_embedder.py`, and when the analyzer or its stemmers change; until then the
words are worked out at first use, which costs a tenth of a second and a quarter of a millisecond per word.
"""

from __future__ import annotations

import json

import numpy as np

from remanence.kernels.analyzer import Analyzer
from remanence.kernels.related import RelatedTerms
from remanence.stores.embedders.static import DEFAULT_TABLE, StaticEmbedder, relatives_of


def main() -> None:
    """Write the file beside the table."""
    analyzer = Analyzer()
    config = json.loads((DEFAULT_TABLE / "config.json").read_text(encoding="utf-8"))
    found = RelatedTerms(StaticEmbedder().words, analyzer).all()
    np.savez_compressed(
        relatives_of(DEFAULT_TABLE),
        made_for=np.frombuffer(f"{config['fingerprint']} {analyzer.fingerprint}".encode(), np.uint8),
        terms=np.frombuffer("\n".join(found.terms).encode(), np.uint8),
        starts=found.starts,
        near=found.near,
        cosines=found.cosines,
    )
    size = relatives_of(DEFAULT_TABLE).stat().st_size
    print(f"{len(found.terms):,} terms, {len(found.near):,} relatives, {size:,} bytes")


if __name__ == "__main__":
    main()

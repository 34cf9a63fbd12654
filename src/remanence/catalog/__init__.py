"""The catalog: which mechanisms and benchmarks there are, and the publications that they come from.

Everything here is read from files and computed; no list of mechanisms is kept.

>>> from remanence.catalog import cards, get
>>> cards()["recall"].substrate
'records'
>>> get("recall").__name__
'Recall'
"""

from __future__ import annotations

from remanence.catalog.bibliography import Publication, Status, publication, publications, realised_by, status
from remanence.catalog.index import cards, entry_cards, get, has_witness, module_of, witness

__all__ = [
    "Publication",
    "Status",
    "cards",
    "entry_cards",
    "get",
    "has_witness",
    "module_of",
    "publication",
    "publications",
    "realised_by",
    "status",
    "witness",
]

"""Parts of what a scan returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from remanence.substrates.records.model import is_derived
from remanence.substrates.records.operations import Columns


def only(columns: Columns, derived: bool) -> Columns:
    """The rows that were derived from others, or those that were not. Closings and late vectors stay as they are."""
    if not any(origin is not None for origin in columns.origins):
        return columns if not derived else pick(columns, np.zeros(0, np.intp))
    found = {origin: is_derived(origin) for origin in set(columns.origins)}
    keep = np.fromiter((found[origin] is derived for origin in columns.origins), bool, len(columns.ids))
    return columns if keep.all() else pick(columns, np.flatnonzero(keep))


def pick(columns: Columns, rows: NDArray[np.intp]) -> Columns:
    """The rows named, in the order named."""
    listed = rows.tolist()
    starts, ends = columns.term_offsets[:-1][rows], columns.term_offsets[1:][rows]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(ends - starts)])
    # Position i of the kept terms lies as far behind its row's start there as here.
    terms = columns.terms[np.repeat(starts - offsets[:-1], ends - starts) + np.arange(offsets[-1])]
    return replace(
        columns,
        ids=[columns.ids[row] for row in listed],
        versions=columns.versions[rows],
        kinds=[columns.kinds[row] for row in listed],
        scope_of=columns.scope_of[rows],
        speakers=[columns.speakers[row] for row in listed],
        roles=[columns.roles[row] for row in listed],
        origins=[columns.origins[row] for row in listed],
        hidden=columns.hidden[rows],
        event_at=columns.event_at[rows],
        valid_from=columns.valid_from[rows],
        valid_to=columns.valid_to[rows],
        recorded_at=columns.recorded_at[rows],
        closed_at=columns.closed_at[rows],
        ended_at=columns.ended_at[rows],
        terms=terms,
        term_offsets=offsets,
        vectors=None if columns.vectors is None else columns.vectors[rows],
        scales=columns.scales[rows],
    )

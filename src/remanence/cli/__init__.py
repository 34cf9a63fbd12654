"""The `remanence` command: parse, call, print. No logic lives here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (default: that of this process) and end the process with its exit status.

    0: done. 1: it could not be done, one line on standard error says why. 2: the command line cannot be used.
    3: `verify-erasure` found something, or some of bulk work failed. 130: interrupted.
    """
    try:
        from remanence.cli.app import root

        root.main(args=None if arguments is None else list(arguments), prog_name="remanence")
    except KeyboardInterrupt:
        sys.exit(130)

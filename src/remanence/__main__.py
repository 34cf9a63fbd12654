"""`python -m remanence` is the `remanence` command."""

from __future__ import annotations

from remanence.cli import main

if __name__ == "__main__":
    main()

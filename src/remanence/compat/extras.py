"""What the compatibility modules share: the error for a package that is not there."""

from __future__ import annotations

from remanence.core.errors import MissingExtra

__all__ = ["missing"]


def missing(module: str, package: str, error: ImportError, *, extra: str = "peers") -> MissingExtra:
    """The error to raise when `module` cannot be imported because `package` is not installed."""
    return MissingExtra(
        f"{module} needs {package}, which is not installed ({error}); install it with: pip install 'remanence[{extra}]'"
    )

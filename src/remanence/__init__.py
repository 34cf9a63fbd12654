"""Remanence: the memory layer for AI.

>>> from remanence import Memory
>>> memory = Memory()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remanence.runtime.memory import Memory as Memory

__version__ = "0.1.0"
__all__ = ["Memory", "__version__"]


def __getattr__(name: str) -> Any:
    # Memory pulls in numpy; `import remanence` alone stays in the low milliseconds.
    if name == "Memory":
        from remanence.runtime.memory import Memory

        return Memory
    raise AttributeError(f"module 'remanence' has no attribute {name!r}")

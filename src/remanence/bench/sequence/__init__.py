"""Training and comparing sequence mechanisms: `python -m remanence.bench.sequence --help` (extra `torch`)."""

from __future__ import annotations

from remanence.core.errors import MissingExtra

try:
    import torch  # noqa: F401 - only to see that it is there
except ImportError as error:
    raise MissingExtra(
        f"remanence.bench.sequence needs torch, which is not installed ({error}); install it with: "
        "pip install 'remanence[torch]'"
    ) from error

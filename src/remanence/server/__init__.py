"""The memory as a server: REST, and what other modules of this layer mount on it.

Nothing heavy is loaded with this package; `create_app` and `serve` load the web framework when they are called.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

from remanence.core.errors import MissingExtra
from remanence.server.settings import Settings

if TYPE_CHECKING:
    from remanence.runtime.memory import Memory

__all__ = ["Settings", "create_app", "require_extra", "serve"]

NEEDED: Final = ("fastapi", "uvicorn", "prometheus_client", "opentelemetry")


def require_extra() -> None:
    """Raise `MissingExtra` when a package of the extra `server` is not installed."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"a server needs the package {name}: pip install 'remanence[server]'")


def create_app(settings: Settings | None = None, *, memory: Memory | None = None) -> Any:
    """The application, a `fastapi.FastAPI`, for any ASGI server. Nothing is opened before the first request.

    Args:
        settings: where the memory lies and who may use it; from the environment if left out.
        memory: an open memory instead of the one that the settings name; the caller closes it.

    Raises:
        MissingExtra: the extra `server` is not installed.
        InvalidInput: settings that cannot be used.

    """
    require_extra()
    from remanence.server import run

    return run.create_app(settings or Settings.from_environment(), memory)


def serve(settings: Settings) -> None:
    """Listen until told to end. Errors as `create_app`; a public address without a usable key is `InvalidInput`."""
    require_extra()
    from remanence.server import run

    run.listen(settings)

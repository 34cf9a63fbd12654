"""Bulk work over the processes and machines of a Ray cluster (extra: `ray`).

Ray starts a task again when its process or its machine dies, as often as it is told to, and makes a result that was
lost with a machine again. Nothing is reported to Ray's makers, and no dashboard is started.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from remanence.core.errors import InvalidInput, MissingExtra, RemanenceError, SpreadError
from remanence.core.ids import os_bits
from remanence.runtime.bulk.spread import LOCAL, words

__all__ = ["RaySpread"]

_RETRIES: Final = 3
_REACHED: Final = 10.0
"""Seconds within which something has to answer at an address: Ray itself would go on trying for minutes."""
_SHORT: Final = 24
"""Characters that the path of temporary folders may have: those of sockets below it may have 107."""
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
# A cluster of one machine has nothing to say to others; Ray reads this when it is loaded.
_LOOPBACK: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_TOKEN: Final = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class RaySpread:
    """Tasks on a Ray cluster. An application that is connected to one already goes on using that connection.

    Args:
        address: `host:port` of a cluster, "auto" for the one of this machine, `ray://host:port` for one reached through
            Ray's client, or "local": a cluster of this machine alone, listening on its loopback interface, which ends
            with `close`.
        cpus: processes of a local cluster; one for each core if left out.
        retries: times that a task is started again after those who ran it died. One that kills every process fails
            then, and with it its part of the work.
        temp_dir: folder of a local cluster's sockets and logs, at most about 40 characters long; one that goes with the
            cluster if left out.

    Raises:
        MissingExtra: Ray is not installed.
        SpreadError: there is no cluster at the address, or a local one could not be started.

    """

    apart = True

    def __init__(
        self, address: str = LOCAL, *, cpus: int | None = None, retries: int = _RETRIES, temp_dir: str | None = None
    ) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        with _environment({**_QUIET, **_LOOPBACK, **_locked()} if address == LOCAL else _QUIET):
            self._ray = _load()
            self._own = not self._ray.is_initialized()
            if self._own:
                self._connect(address, cpus, temp_dir)
        self._retries = retries
        self._remote: dict[tuple[Callable[..., Any], bool], Any] = {}

    @property
    def slots(self) -> int:
        """The processors of all machines that are there now."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def put(self, value: object) -> Any:
        """A ticket for a value, which is serialised once."""
        try:
            return self._ray.put(value)
        except TypeError as error:
            raise InvalidInput(
                f"this cannot travel to other processes: {words(error)}; "
                "an embedder of your own has to be one that Python can serialise, or be named"
            ) from error

    def start(self, function: Callable[..., Any], *arguments: Any, light: bool = False) -> Any:
        """Let the cluster run a function of a module that all its machines have."""
        task = self._remote.get((function, light))
        if task is None:
            settings = {"num_cpus": 0 if light else 1, "max_retries": self._retries}
            task = self._remote[function, light] = self._ray.remote(**settings)(function)
        return task.remote(*arguments)

    def first(self, tickets: Sequence[Any]) -> Any:
        """The ticket that is done first."""
        return self._ray.wait(list(tickets), num_returns=1, fetch_local=False)[0][0]

    def result(self, ticket: Any) -> Any:
        """The value, or the error of the function or of those who ran it."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return self._ray.get(ticket)
        except RayTaskError as error:
            if isinstance(error.cause, RemanenceError):
                raise error.cause from error
            raise SpreadError(words(error.cause)) from error
        except RayError as error:
            raise SpreadError(words(error)) from error

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        if self._own:
            self._own = False
            self._ray.shutdown()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _connect(self, address: str, cpus: int | None, temp_dir: str | None) -> None:
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if address == LOCAL:
            if temp_dir is None and len(tempfile.gettempdir()) <= _SHORT:
                # Where Ray would put them, logs stay for ever.
                self._folder = tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True)
                temp_dir = self._folder.name
            settings |= {"include_dashboard": False, "num_cpus": cpus, "_temp_dir": temp_dir}
        elif cpus is not None or temp_dir is not None:
            raise InvalidInput(f"cpus and temp_dir are settings of a local cluster; the one at {address!r} has its own")
        try:
            _knock(address)
            self._ray.init(address=address, **settings)
        except (RuntimeError, ValueError, OSError) as error:
            raise SpreadError(
                f"no Ray cluster could be reached at {address!r}: {words(error)}; "
                "start one with `ray start --head`, or use 'local'"
            ) from error


def _locked() -> dict[str, str]:
    """A token for a cluster of one machine, unless somebody chose: Ray would leave one in the user's home."""
    if any(name in os.environ for name in _TOKEN):
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": f"{os_bits(256):064x}"}


def _knock(address: str) -> None:
    """Raise `OSError` if nothing listens at an address of the form host:port, with or without `ray://`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED).close()


def _load() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra(
            "spreading work over a Ray cluster needs the package ray: pip install 'remanence[ray]'"
        ) from error
    return ray


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that hold while Ray is loaded and its processes are started."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""A Ray cluster of two machines, as far as Ray can tell, on the loopback interface of this one."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.runtime.bulk.cases import wait_for

# Ray reads these when it is loaded: nothing is reported, and nothing but the loopback interface is used.
SETTINGS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
}
_NODE: Final = {"num_cpus": 1, "object_store_memory": 80 * 1024**2, "node_ip_address": "127.0.0.1"}
# Ray waits for half a minute before it believes that a machine is dead.
_SOON: Final = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}
_PATIENCE: Final = 30.0


class Nodes:
    """The cluster. Its second machine can be killed, and comes back for the next test."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._second: Any = None

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def complete(self) -> str:
        """Make sure of the second machine; its id."""
        if self._second is None:
            self._second = self._cluster.add_node(**_NODE)
            self._cluster.wait_for_nodes()
        return str(self._second.node_id)

    def kill(self) -> None:
        """End the processes of the second machine that are Ray's own, without a word."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    @contextmanager
    def losing_one(self, folder: Path) -> Iterator[None]:
        """Kill the second machine while the block runs, once it is at its second task; see `cases.Gated`."""
        (folder / f"{self.complete()}.gate").touch()
        failed: list[BaseException] = []

        def watch() -> None:
            try:
                wait_for(folder / "stopped")
                # Ray's process of the machine alone would leave its workers alive for a while.
                os.kill(int((folder / "stopped").read_text()), signal.SIGKILL)
                self.kill()
            except BaseException as error:
                failed.append(error)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            watcher.join()
        assert not failed, failed


@contextmanager
def cluster() -> Iterator[Nodes]:
    """The first machine of a cluster; the second comes when it is asked for."""
    # Paths of sockets may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        values = {**SETTINGS, "RAY_TMPDIR": folder}
        before = {name: os.environ.get(name) for name in values}
        os.environ.update(values)
        (Path(folder) / "ray").mkdir()
        try:
            from ray.cluster_utils import Cluster

            made = Cluster(
                initialize_head=True, head_node_args={**_NODE, "include_dashboard": False, "_system_config": _SOON}
            )
            try:
                yield Nodes(made)
            finally:
                made.shutdown()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

"""PgBouncer between a store and the server of the tests, where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.stores.postgres.server import Server

_PORT = 6432
_PATIENCE = 60.0


class Pooler:
    """A running PgBouncer with a socket in a folder. `url` is that of the server's default database through it."""

    def __init__(self, program: str, server: Server, folder: Path, pool_mode: str, settings: dict[str, str]) -> None:
        found = conninfo_to_dict(server.url)
        target = {key: found[key] for key in ("host", "port") if found.get(key)}
        own = {
            "unix_socket_dir": folder,
            "listen_port": _PORT,
            "auth_type": "trust",
            "auth_file": folder / "users",
            "logfile": folder / "log",
            "pool_mode": pool_mode,
            **settings,
        }
        lines = [
            "[databases]",
            f"* = {' '.join(f'{key}={value}' for key, value in target.items())}",
            "[pgbouncer]",
            *(f"{key} = {value}" for key, value in own.items()),
        ]
        (folder / "ini").write_text("\n".join(lines))
        (folder / "users").write_text(f'"{found["user"]}" "secret"\n')
        self._folder = folder
        self._command = [program, "-q", str(folder / "ini")]
        if os.geteuid() == 0:
            # It refuses to run as root, and has to reach the socket of the server.
            name = pwd.getpwuid((folder.parent / "data").stat().st_uid).pw_name if server.can_restart else "nobody"
            shutil.chown(folder, name)
            self._command += ["-u", name]
        self.url = (
            f"postgresql://{found['user']}:secret@/{found['dbname']}?host={quote(str(folder), safe='')}&port={_PORT}"
        )
        self.start()

    def start(self) -> None:
        """Start it, again after `kill`."""
        log = self._folder / "log"
        for left in (log, self._folder / f".s.PGSQL.{_PORT}"):
            left.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE
        # The socket is there before anybody listens at it.
        while not (log.exists() and "process up" in log.read_text()):
            running = self._process.poll() is None and time.monotonic() < deadline
            assert running, log.exists() and log.read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it without any goodbye."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def pooling(server: Server, pool_mode: str, **settings: str) -> Iterator[Pooler]:
    """A PgBouncer in front of the server. Skips the test where none is installed."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    near = Path(server.folder) if server.can_restart else None
    folder = Path(tempfile.mkdtemp(prefix="bouncer-", dir=near))
    try:
        pooler = Pooler(program, server, folder, pool_mode, settings)
        try:
            yield pooler
        finally:
            pooler.kill()
    finally:
        shutil.rmtree(folder)

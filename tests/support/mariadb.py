"""A real MariaDB server on loopback, for as long as a test needs one."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

DATABASE, USER, PASSWORD = "metadata", "pipeline", "not-in-any-file"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Server:
    """Where it listens."""

    port: int
    socket: Path

    def query(self, sql: str) -> str:
        """Runs SQL as the server's owner; returns what the client prints."""
        words = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch", "--skip-column-names"]
        return subprocess.run([*words, "-e", sql], capture_output=True, text=True, check=True, timeout=30).stdout


@contextlib.contextmanager
def mariadb_server(folder: Path) -> Iterator[Server]:
    """Starts a server with an empty database and a user for it; skips the test where there is no MariaDB."""
    if not all(shutil.which(tool) for tool in ("mariadbd", "mariadb-install-db", "mariadb")):
        pytest.skip("MariaDB is not installed (Debian package mariadb-server)")
    data, log = folder / "data", folder / "log"
    as_user = [f"--user={'root' if os.getuid() == 0 else os.getlogin()}"]
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            *as_user,
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A socket's path may have 107 bytes, which a test's folder can exceed: it is named as seen from the data folder.
    path = Path(os.path.relpath(data / "s"))
    on_loopback = ["--bind-address=127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={data}", "--socket=s", f"--port={port}", *on_loopback, *as_user],
            stdout=output,
            stderr=output,
        )
    server = Server(port, path)
    try:
        _wait(server, process, log)
        server.query(
            f"CREATE DATABASE {DATABASE}; CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
            f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'127.0.0.1';"
        )
        yield server
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            server.query("SELECT 1")
            return
        except subprocess.CalledProcessError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mariadbd did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.2)

"""A Redis server for one cell: own port, own directory, no persistence."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from tests.benchmarks.processes import free_port, wait_for


def program() -> str:
    """Path of `redis-server`.

    Raises:
        SystemExit: there is none here; the sentence says how to get it.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise SystemExit(
            "redis-server is not on PATH; install Debian's package (apt-get install redis-server), "
            "or leave the Redis peers out: --peers taskq,huey-sqlite,executor,pool"
        )
    return found


def start(directory: Path) -> str:
    """Start a server and return its URL. It ends with the cell's process group."""
    port = free_port()
    subprocess.Popen(
        [
            program(),
            *("--port", str(port)),
            *("--bind", "127.0.0.1"),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--dir", str(directory)),
            *("--logfile", str(directory / "redis.log")),
        ],
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: _answers(port), "redis-server answers", 10)
    return f"redis://127.0.0.1:{port}/0"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
    except OSError:
        return False

"""A broker on a TCP port for tests: started, killed and started again on the same directory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]


class BrokerProcess:
    """`python -m taskq.broker` in the foreground; clients need `TASKQ_AUTHKEY_FILE=key_file`.

    Args:
        directory: its broker directory.
        durability: see `taskq broker`.
    """

    def __init__(self, directory: Path, durability: str = "os") -> None:
        self.directory = directory
        self.durability = durability
        self.key_file = directory / "key"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.place: tuple[str, int] = ("127.0.0.1", probe.getsockname()[1])
        self.url = f"tcp://127.0.0.1:{self.place[1]}"
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it can be reached."""
        reader, writer = os.pipe()
        command = [sys.executable, "-m", "taskq.broker", "--dir", str(self.directory)]
        command += ["--durability", self.durability, "--listen", self.url]
        with open(self.directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(writer)], cwd=ROOT, stderr=log, pass_fds=[writer]
            )
        os.close(writer)
        with open(reader) as pipe:
            line = pipe.readline()
        if line != "ready\n":
            raise AssertionError(line + (self.directory / "broker.log").read_text())

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def __enter__(self) -> BrokerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

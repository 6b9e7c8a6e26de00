"""A broker as a process of its own: started, killed and started again on the same directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from taskq.backends.channel import Channel
from taskq.backends.embedded import EmbeddedBroker
from taskq.backends.port import Broker
from taskq.protocol.operating import Ping
from tests.kit import processes

PATIENCE = 30.0  # seconds for the end of a broker

# SQLite folds its log every so many pages; a small number makes it do so within a short test
_WITH_SMALL_LOG = """
import sys
from taskq.broker.__main__ import main
from taskq.journal import sqlite
sqlite.CHECKPOINT_PAGES = int(sys.argv.pop(1))
sys.exit(main())
"""


class BrokerProcess:
    """`python -m taskq.broker` in the foreground; as a context manager it is started and killed.

    Args:
        directory: its broker directory.
        listen: `unix`, `tcp` for a free port on loopback (clients need the key: see `key_file`), or
            an address.
        durability: `fsync`, `os` or `none`.
        settings: more of `BrokerSettings`.
        log: the file of its standard error; default: `broker.log` in the directory.
        small_log: fold the journal's log after so many pages; default: as the product does.
        environment: variables besides those of this process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        listen: str = "unix",
        durability: str = "os",
        log: Path | None = None,
        small_log: int | None = None,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.directory = directory
        self.key_file = directory / "key"
        self.log = log or directory / "broker.log"
        self.listen = f"tcp://127.0.0.1:{processes.free_port()}" if listen == "tcp" else listen
        self.process: subprocess.Popen[bytes]
        self._environment = dict(environment or {})
        program = ["-m", "taskq.broker"]
        if small_log is not None:
            program = ["-c", _WITH_SMALL_LOG, str(small_log)]
        self._command = [sys.executable, "-P", *program]
        self._settings = {"directory": str(directory), "durability": durability, **settings}
        self._ready: int | None = None
        self._channels: list[Channel] = []

    # --- what it is ---------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process; that of the command where it was started under one."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix:{self.directory / 'sock'}" if self.listen == "unix" else self.listen

    @property
    def address(self) -> str | tuple[str, int]:
        """Where its socket is."""
        if self.listen == "unix":
            return str(self.directory / "sock")
        host, _, port = self.listen.removeprefix("tcp://").rpartition(":")
        return host, int(port)

    @property
    def key(self) -> bytes:
        """Its authentication key."""
        return self.key_file.read_bytes().strip()

    @property
    def output(self) -> str:
        """What it has logged."""
        return self.log.read_text()

    @property
    def is_running(self) -> bool:
        """Whether the process that was started last has not ended."""
        return self.process.poll() is None

    # --- what is done with it -----------------------------------------------------------------

    def start(self, *under: str) -> None:
        """Start it, as an argument of the command `under`, and wait until it serves."""
        self.launch(*under)
        self.wait_until_ready()

    def launch(self, *under: str) -> None:
        """Start it, and do not wait."""
        self._hang_up()  # on its predecessor
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process, self._ready = processes.start(
                lambda fd: [*under, *self._command, self._as_json(fd)], log, self._environment
            )

    def _as_json(self, ready_fd: int) -> str:
        # not by `BrokerSettings`: a test may want the broker to refuse them
        return json.dumps({**self._settings, "listen": self.listen, "ready_fd": ready_fd})

    def wait_until_ready(self) -> None:
        """Wait until a launched one serves; fails if it ends instead."""
        assert self._ready is not None
        reader, self._ready = self._ready, None
        line = processes.ready_line(reader)
        assert line == "ready", f"{line}\n{self.output}"

    def connect(self) -> Channel:
        """A connection that does not survive its broker."""
        channel = EmbeddedBroker(self.directory, autostart=False).connect(patience=0)
        channel.call(Ping())
        self._channels.append(channel)
        return channel

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.wait()

    def close(self) -> None:
        """End everything."""
        self._hang_up()
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None
        if hasattr(self, "process") and self.is_running:
            self.signal(signal.SIGCONT)
            self.kill()

    def _hang_up(self) -> None:
        while self._channels:
            self._channels.pop().close()

    def __enter__(self) -> BrokerProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def stop_broker(broker: Broker) -> None:
    """End a broker that its clients have started, and wait for its end."""
    pid = broker.call(Ping()).pid
    broker.close()
    if pid != os.getpid():
        processes.end(pid)

"""A broker process to do harm to: traced, struck at a system call, started again where it died."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from taskq.backends.channel import Channel
from taskq.backends.embedded import EmbeddedBroker
from taskq.errors import BrokerUnavailable
from taskq.protocol.base import Request
from taskq.protocol.operating import Ping

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0

# SQLite folds its log every so many pages; a small number makes it do so within a short test
_WITH_SMALL_LOG = """
import sys
from taskq.broker.__main__ import main
from taskq.journal import sqlite
sqlite.CHECKPOINT_PAGES = int(sys.argv.pop(1))
sys.exit(main())
"""


@cache
def why_no_tracing() -> str:
    """Why system calls cannot be traced on this machine; empty where they can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "needs strace, which this machine lacks"
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            command = ["strace", "-o", os.devnull, "-p", str(sleeper.pid)]
            tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            assert tracer.stderr is not None
            told = tracer.stderr.readline()
            tracer.terminate()
            tracer.communicate()
        finally:
            sleeper.kill()
    return "" if told.rstrip().endswith("attached") else f"strace may not attach: {told.strip()}"


needs_strace = pytest.mark.skipif(bool(why_no_tracing()), reason=why_no_tracing())


class Victim:
    """A broker on one directory, with one process at a time.

    Args:
        base: for its directory, its log and the traces.
        durability: as of the broker.
        small_log: fold the log after so many pages; default: as the product does.
    """

    def __init__(self, base: Path, durability: str = "fsync", small_log: int | None = None) -> None:
        self.base = base
        self.directory = base / "broker"
        self.log = base / "log"
        self.trace = base / "trace"
        program = ["-m", "taskq.broker"]
        if small_log is not None:
            program = ["-c", _WITH_SMALL_LOG, str(small_log)]
        self._command = [sys.executable, *program, "--dir", str(self.directory)]
        self._command += ["--durability", durability]
        self._process: subprocess.Popen[bytes] | None = None
        self._tracer: subprocess.Popen[str] | None = None
        self._channels: list[Channel] = []

    @property
    def pid(self) -> int:
        """The process; a tracer's where the broker was started under one."""
        assert self._process is not None
        return self._process.pid

    def start(self, *under: str) -> None:
        """Start a broker, as an argument of the command `under`, and wait until it serves."""
        self._hang_up()  # on its predecessor
        reader, writer = os.pipe()
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*under, *self._command, "--ready-fd", str(writer)],
                cwd=ROOT,
                stderr=log,
                pass_fds=(writer,),
            )
        os.close(writer)
        with open(reader) as pipe:
            line = pipe.readline()
        assert line == "ready\n", line + self.log.read_text()

    def connect(self) -> Channel:
        """A connection that does not survive its broker."""
        channel = EmbeddedBroker(self.directory, autostart=False).connect(patience=0)
        channel.call(Ping())
        self._channels.append(channel)
        return channel

    def attach(self, *options: str) -> None:
        """Trace from here on, with these options of strace."""
        command = ["strace", "-f", "-o", str(self.trace), *options, "-p", str(self.pid)]
        self._tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._tracer.stderr is not None
        told = self._tracer.stderr.readline()
        assert "attached" in told, told

    def ended(self) -> int:
        """Wait for the end of the process, and of its tracer; its exit code."""
        assert self._process is not None
        code = self._process.wait(TIMEOUT)
        if self._tracer is not None:
            self._tracer.communicate(timeout=TIMEOUT)  # it ends with what it traces
            self._tracer = None
        return code

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self.ended()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self.ended()

    def close(self) -> None:
        """End everything."""
        self._hang_up()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _hang_up(self) -> None:
        while self._channels:
            self._channels.pop().close()


def is_answered(channel: Channel, request: Request[Any]) -> bool:
    """Whether a reply came; a broker that is gone gives none."""
    try:
        channel.call(request)
    except BrokerUnavailable:
        return False
    return True

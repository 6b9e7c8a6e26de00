"""A broker that dies, or whose calls fail, at a chosen system call (strace)."""

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
from taskq.errors import BrokerUnavailable
from taskq.protocol.base import Request
from tests.kit.broker import PATIENCE, BrokerProcess


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
            line = tracer.stderr.readline()
            tracer.terminate()
            tracer.communicate()
        finally:
            sleeper.kill()
    return "" if line.rstrip().endswith("attached") else f"strace may not attach: {line.strip()}"


needs_strace = pytest.mark.skipif(bool(why_no_tracing()), reason=why_no_tracing())


class TracedBroker(BrokerProcess):
    """A broker that can be traced.

    Args:
        base: for its directory, its log and the traces.
        durability: as of the broker.
        small_log: see `BrokerProcess`.
    """

    def __init__(self, base: Path, durability: str = "fsync", small_log: int | None = None) -> None:
        super().__init__(
            base / "broker", durability=durability, log=base / "log", small_log=small_log
        )
        self.base = base
        self.trace = base / "trace"
        self._tracer: subprocess.Popen[str] | None = None

    def attach(self, *options: str) -> None:
        """Trace from here on, with these options of strace."""
        command = ["strace", "-f", "-o", str(self.trace), *options, "-p", str(self.pid)]
        self._tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._tracer.stderr is not None
        line = self._tracer.stderr.readline()
        assert "attached" in line, line

    def wait(self) -> int:
        """Wait for the end of the process, and of its tracer; its exit code."""
        code = super().wait()
        if self._tracer is not None:
            self._tracer.communicate(timeout=PATIENCE)  # it ends with what it traces
            self._tracer = None
        return code


def is_answered(channel: Channel, request: Request[Any]) -> bool:
    """Whether a reply came; a broker that is gone gives none."""
    try:
        channel.call(request)
    except BrokerUnavailable:
        return False
    return True

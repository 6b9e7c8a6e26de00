"""Processes: start one and wait until it is ready, and what the kernel says of one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.kit.files import ROOT
from tests.kit.waiting import wait_until


@dataclass(frozen=True)
class Usage:
    """What a process uses. `memory`: resident bytes without a file behind them; `peak`: the most
    bytes that were ever resident."""

    descriptors: int
    threads: int
    memory: int
    peak: int


def start(
    command: Callable[[int], Sequence[str]],
    output: IO[bytes],
    environment: Mapping[str, str] | None = None,
    **how: Any,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command of taskq that tells through a pipe when it is ready.

    Args:
        command: gives the program and its arguments for the descriptor that it writes to.
        output: where its standard error goes.
        environment: variables besides those of this process.
        how: more arguments of `Popen`.

    Returns:
        The process, and the descriptor to read its one line from (see `ready_line`).
    """
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            command(writer),
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stderr=output,
            pass_fds=(writer,),
            **how,
        )
    finally:
        os.close(writer)
    return process, reader


def ready_line(reader: int) -> str:
    """What a started process writes when it is ready, or cannot be; empty if it just ended."""
    with os.fdopen(reader) as pipe:
        return pipe.readline().rstrip("\n")


def is_alive(pid: int) -> bool:
    """Whether that process runs; a zombie does not."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for_end(pid: int, timeout: float = 20.0) -> None:
    """Wait until a process has ended that need not be a child of this one."""
    wait_until(lambda: not is_alive(pid), timeout)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to one process.

    Raises:
        ValueError: the number means more than one process, such as 0 (the group of the caller).
    """
    if pid <= 1:
        raise ValueError(f"{pid} is not the number of one process")
    os.kill(pid, number)


def end(pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to a process that may have gone already, and wait for its end."""
    with suppress(ProcessLookupError):
        send(pid, number)
    wait_for_end(pid)


def children_of(pid: int) -> list[int]:
    """The direct children of a process. Linux only."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it ended while we looked
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return sorted(found)


def usage_of(pid: int) -> Usage:
    """What a process uses now. Linux only."""
    proc = Path(f"/proc/{pid}")
    status = dict(
        line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line
    )
    return Usage(
        descriptors=len(os.listdir(proc / "fd")),
        threads=int(status["Threads"]),
        memory=int(status["RssAnon"].split()[0]) * 1024,
        peak=int(status["VmHWM"].split()[0]) * 1024,
    )


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])

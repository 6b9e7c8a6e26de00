"""Processes of the benchmarks: free ports, waiting, and what /proc tells of a process."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL = 0.002  # seconds between two looks at a counter, at least
PRECISION = 0.01  # of the time that has passed: looking more often would only disturb
SHARE = 20  # a look that takes long is repeated after so many times its length,
COARSENESS = 0.05  # but no later than that share of the time that has passed


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(predicate: Callable[[], bool], what: str, timeout: float = 100.0) -> None:
    """Ask until the answer is yes.

    Raises:
        TimeoutError: it was no for `timeout` seconds.
    """
    start = time.monotonic()
    while True:
        began = time.monotonic()
        if predicate():
            return
        if began > start + timeout:
            raise TimeoutError(f"{what}: not so within {timeout:.0f} s")
        ended = time.monotonic()
        sparing = min(SHARE * (ended - began), COARSENESS * (ended - start))
        time.sleep(max(POLL, PRECISION * (ended - start), sparing))


@dataclass(frozen=True)
class Usage:
    """What a process has used. `cpu`: seconds on a core; `switches`: times that it was woken."""

    cpu: float
    switches: int


def usage(pid: int) -> Usage:
    """CPU time (all threads, in nanoseconds' resolution) and voluntary context switches."""
    cpu = 0
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text().split()[0])
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                switches += int(line.split()[1])
    return Usage(cpu / 1e9, switches)


def resident(pid: int) -> int:
    """Resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional(pid: int) -> int:
    """Proportional set size in bytes: what is shared with others counts in shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    raise RuntimeError(f"the kernel does not tell the PSS of process {pid}")


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found

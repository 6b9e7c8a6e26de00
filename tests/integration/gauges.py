"""What the kernel says that a process uses: descriptors, threads, resident memory. Linux only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Of one process. `memory`: resident bytes that no file is behind; `peak`: the most bytes that
    were ever resident."""

    descriptors: int
    threads: int
    memory: int
    peak: int


def usage_of(pid: int) -> Usage:
    """What a process uses now."""
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


def children_of(pid: int) -> list[int]:
    """The direct children of a process that has one thread."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

"""The recorded history of a chaos run: what producers, tasks and the chaos itself have noted.

Each process appends to files of its own, one write a line, so SIGKILL leaves whole lines behind.
Times are `time.monotonic`, which all processes of the machine share.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import msgspec

VARIABLE = "TASKQ_CHAOS"  # the directory of the history


class Notes:
    """One process's file of one kind; opened again in a forked child."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._pid = 0
        self._fd = -1

    def write(self, *words: object) -> None:
        """Append one line."""
        if self._pid != os.getpid():
            path = Path(os.environ[VARIABLE], f"{self._kind}-{os.getpid()}")
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._pid = os.getpid()  # last: another thread may look at it
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())


@dataclass
class Run:
    """One execution. `ended`: `ok`, `failed`, or nothing, if its process did not live to tell."""

    id: str
    fence: int
    pid: int
    parent: int
    began: float
    ended: str = ""


@dataclass(frozen=True)
class Ending:
    """What the broker says of one message: its state, and what its result says of itself."""

    state: str
    number: int = -1
    fence: int = -1


@dataclass
class History:
    """All of it.

    Args:
        acknowledged: the number that each acknowledged id was called with.
        runs: by id, in the order in which they began.
        endings: by id.
        killed: when children and launchers, by process id, got SIGKILL.
        stopped: from when to when they were stopped.
        due: when each acknowledged id may begin, at the earliest.
        cancelled: ids that somebody has asked to cancel.
        audited: ids that the second group has finished.
        awaited: what `await` gave for an id: the number of the call, or the error.
        lost_calls: how many calls killed producers may have had on the way.
        accepted: how many messages the broker has ever accepted.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    killed: dict[int, float] = field(default_factory=dict)
    stopped: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    audited: set[str] = field(default_factory=set)
    awaited: dict[str, str] = field(default_factory=dict)
    lost_calls: int = 0
    accepted: int = 0


def read(directory: Path) -> History:
    """Acknowledgements and runs from the files of a directory."""
    history = History()
    for path in directory.glob("acked-*"):
        for line in path.read_text().splitlines():
            id, number, due = line.split()
            history.acknowledged[id] = int(number)
            history.due[id] = min(float(due), history.due.get(id, inf))
    history.cancelled = {line for path in directory.glob("cancelled-*") for line in _lines(path)}
    history.audited = {line for path in directory.glob("audited-*") for line in _lines(path)}
    history.awaited = dict(
        line.split(maxsplit=1) for path in directory.glob("awaited-*") for line in _lines(path)
    )
    for path in directory.glob("runs-*"):
        open_runs: dict[tuple[str, str], Run] = {}
        for line in path.read_text().splitlines():
            kind, id, fence, *rest = line.split()
            if kind == "began":
                pid = int(path.name.partition("-")[2])
                run = Run(id, int(fence), pid, int(rest[0]), float(rest[1]))
                open_runs[id, fence] = run
                history.runs.setdefault(id, []).append(run)
            else:
                open_runs[id, fence].ended = kind
    for runs in history.runs.values():
        runs.sort(key=lambda run: run.began)
    return history


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def save(history: History, path: Path) -> None:
    """Write it down, to be judged again."""
    path.write_bytes(msgspec.json.encode(history))


def load(path: Path) -> History:
    """What `save` has written."""
    return msgspec.json.decode(path.read_bytes(), type=History)


def now() -> float:
    """The time of a note."""
    return time.monotonic()

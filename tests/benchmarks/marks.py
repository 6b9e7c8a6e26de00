"""Counts in shared memory which task ran how often, for every contender alike.

One byte a number, in shared memory that the cell makes and all of its processes map: it costs a task
about 0.1 µs, and shows what a broker's own counters could hide, losses and duplicates.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

VARIABLE = "BENCH_MARKS"


def _opened() -> mmap.mmap | None:
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def make(path: Path, count: int) -> None:
    """Make the file of `count` zeros and name it in the environment."""
    global _marks
    path.write_bytes(bytes(max(count, 1)))
    os.environ[VARIABLE] = str(path)
    _marks = _opened()  # a process pool's workers are forked from us


class Marks:
    """The marks as the cell reads them."""

    def __init__(self, path: Path, count: int) -> None:
        self._count = count
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _bytes(self, count: int | None) -> bytes:
        return self._map[: self._count if count is None else count]

    def ran(self, count: int | None = None) -> int:
        """How many of the first `count` numbers (default: of all) ran at least once."""
        data = self._bytes(count)
        return len(data) - data.count(0)

    def lost(self, count: int | None = None) -> int:
        """How many of them never ran."""
        return self._bytes(count).count(0)

    def duplicates(self, count: int | None = None) -> int:
        """How many runs there were beyond the first one of each."""
        data = self._bytes(count)
        return sum(data) - (len(data) - data.count(0))


_marks = _opened()


def mark(n: int) -> None:
    """Number `n` runs; a negative one is not counted."""
    if n >= 0 and _marks is not None:
        _marks[n] += 1

"""When which task ended, in shared memory: one double a number, on the clock `time.monotonic`.

Linux's monotonic clock is the same one in all processes.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

_view: memoryview[float] | None = None


def _opened() -> memoryview[float]:
    with (Path(os.environ["BENCH_MEMORY"]) / "stamps").open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("d")


def stamp(n: int) -> None:
    """Number `n` ends now; a negative one is not noted."""
    global _view
    if n < 0:
        return
    if _view is None:
        _view = _opened()
    _view[n] = time.monotonic()


class Stamps:
    """The stamps as the cell reads them. Made before the first task stamps.

    Args:
        count: the numbers are below that.
    """

    def __init__(self, count: int) -> None:
        (Path(os.environ["BENCH_MEMORY"]) / "stamps").write_bytes(bytes(8 * max(count, 1)))
        self._view = _opened()

    def __getitem__(self, n: int) -> float:
        """When that number ended; 0.0 for not yet."""
        return self._view[n]

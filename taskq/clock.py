"""A monotonic clock that starts at Unix time.

Changes of the wall clock affect neither leases nor backoff. `CLOCK_BOOTTIME` (Linux) also counts the
time during which the machine was suspended.
"""

from __future__ import annotations

import time


def _steady() -> float:
    return time.clock_gettime(_BOOTTIME)


_BOOTTIME: int = getattr(time, "CLOCK_BOOTTIME", -1)
steady = time.monotonic if _BOOTTIME < 0 else _steady


class Clock:
    """Unix time in seconds that never goes back.

    Args:
        not_before: earliest start, in Unix time, whatever the wall clock says.
    """

    __slots__ = ("_offset",)

    def __init__(self, not_before: float = 0.0) -> None:
        self._offset = max(time.time(), not_before) - steady()

    def now(self) -> float:
        """The current Unix time in seconds, counted from the start of this clock."""
        return self._offset + steady()

    def ahead(self) -> float:
        """Seconds by which it is ahead of the wall clock as that is set now."""
        wall = time.time()  # read first: what is turned by it is never early
        return self.now() - wall

"""The engine's clock: Unix time at the start, and from there on a clock that nobody sets.

A wall clock that is set forwards or backwards by a day moves neither leases nor backoff.
`CLOCK_BOOTTIME` (Linux) also counts the time in which the machine was suspended.
"""

from __future__ import annotations

import time


def _steady() -> float:
    return time.clock_gettime(_BOOTTIME)


_BOOTTIME: int = getattr(time, "CLOCK_BOOTTIME", -1)
steady = time.monotonic if _BOOTTIME < 0 else _steady


class Clock:
    """Unix time in seconds that only ever moves forwards, at the speed of real time.

    Args:
        not_before: begin no earlier than that Unix time, even if the wall clock says so.
    """

    __slots__ = ("_offset",)

    def __init__(self, not_before: float = 0.0) -> None:
        self._offset = max(time.time(), not_before) - steady()

    def now(self) -> float:
        """The current time in seconds since the epoch, as the start of this clock saw it."""
        return self._offset + steady()

"""One child's shared memory: what it is running, until when, and which tasks shall stop.

The child writes, the launcher reads, even when the child holds the GIL or is dead. Each value is one
aligned 8-byte word with a single writer, so no lock is needed.
"""

from __future__ import annotations

import mmap

_RUNNING, _STARTED, _FAILED, _CANCELS, _RING = 0, 1, 2, 3, 8
_RING_SIZE = 56
_DEADLINE, _ARMED = 0, 1
_WORDS = _RING + _RING_SIZE


class Slot:
    """`ints` and `floats` are the raw words; the child's hot path writes `ints[RUNNING]` itself."""

    RUNNING = _RUNNING
    STARTED = _STARTED
    FAILED = _FAILED
    CANCELS = _CANCELS

    __slots__ = ("_memory", "floats", "ints")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, (_WORDS + 2) * 8)
        view = memoryview(self._memory)
        self.ints = view[: _WORDS * 8].cast("q")
        self.floats = view[_WORDS * 8 :].cast("d")

    @property
    def running(self) -> int:
        """The receipt of the task that is running, or 0."""
        return self.ints[_RUNNING]

    @property
    def started(self) -> int:
        """How many tasks this child has started."""
        return self.ints[_STARTED]

    @property
    def deadline(self) -> float:
        """When the running task is to be killed, by `time.monotonic`; 0 for never."""
        return self.floats[_DEADLINE]

    @deadline.setter
    def deadline(self, when: float) -> None:
        self.floats[_DEADLINE] = when

    @property
    def armed(self) -> float:
        """When the launcher will look at `deadline` by itself; 0 for never."""
        return self.floats[_ARMED]

    @armed.setter
    def armed(self, when: float) -> None:
        self.floats[_ARMED] = when

    def cancel(self, receipt: int) -> None:
        """Ask the task of that receipt to stop, whether it runs or has not begun."""
        count = self.ints[_CANCELS]
        self.ints[_RING + count % _RING_SIZE] = receipt
        self.ints[_CANCELS] = count + 1

    def is_cancelled(self, receipt: int) -> bool:
        """Whether that task has been asked to stop; remembers the latest 56 requests."""
        return self.ints[_CANCELS] != 0 and receipt in self.ints[_RING:]

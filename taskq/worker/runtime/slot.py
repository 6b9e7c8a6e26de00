"""One child's shared memory: what it runs and until when, and the cancellations sent to it.

The launcher reads it even when the child holds the GIL or is dead. Each value is one aligned 8-byte
word with a single writer at a time, so no lock is needed.

A slot has one `Cell` for each task that runs at the same time, and a ring through which the launcher
posts receipts that are cancelled, whether their tasks run already or not. A word of the ring belongs
to the launcher while it is 0 and to the child while it is not: nothing posted is overwritten.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque

RING = 512  # cancellations that wait for the child; it holds fewer receipts than that

_STARTED, _FAILED, _ARMED, _IN_HAND, _EARLY_RUNNING, _EARLY_WAITING, _HEADER = range(7)
_BEGAN, _ENDED, _CANCELLED, _DEADLINE, _CELL = 0, 1, 2, 3, 4


class Cell:
    """One of the tasks that run at the same time in a child.

    `ints` and `floats` are the raw words; the hot path of the child writes `BEGAN`, `ENDED` and
    `DEADLINE` itself. Deliveries begin in the order of their receipts, so `BEGAN` divides what has
    begun from what has not.
    """

    BEGAN = _BEGAN
    ENDED = _ENDED
    DEADLINE = _DEADLINE

    __slots__ = ("floats", "ints")

    def __init__(self, ints: memoryview[int], floats: memoryview[float]) -> None:
        self.ints = ints
        self.floats = floats

    @property
    def began(self) -> int:
        """The receipt of the task that began last, or 0."""
        return self.ints[_BEGAN]

    @property
    def running(self) -> int:
        """The receipt of the task that runs, or 0."""
        began = self.ints[_BEGAN]
        return began if began != self.ints[_ENDED] else 0

    @property
    def deadline(self) -> float:
        """When the running task is to be killed, by `time.monotonic`; 0 for never."""
        return self.floats[_DEADLINE]

    @deadline.setter
    def deadline(self, when: float) -> None:
        self.floats[_DEADLINE] = when


class Slot:
    """See the module. `words` are the raw integers.

    Args:
        cells: tasks that run at the same time.
    """

    STARTED = _STARTED
    FAILED = _FAILED

    __slots__ = ("_floats", "_post_at", "_unsent", "cells", "ring", "words")

    def __init__(self, cells: int = 1) -> None:
        ring = _HEADER + cells * _CELL
        view = memoryview(mmap.mmap(-1, (ring + RING) * 8))
        self.words = view.cast("q")
        self._floats = view.cast("d")
        starts = range(_HEADER, ring, _CELL)
        self.cells = [
            Cell(self.words[at : at + _CELL], self._floats[at : at + _CELL]) for at in starts
        ]
        self.ring = self.words[ring:]
        self._post_at = 0
        self._unsent: deque[int] = deque()

    @property
    def running(self) -> list[int]:
        """The receipts of the tasks that run."""
        return [receipt for cell in self.cells if (receipt := cell.running)]

    @property
    def began(self) -> int:
        """The newest receipt whose task has begun, or 0."""
        return max(cell.began for cell in self.cells)

    @property
    def started(self) -> int:
        """How many tasks this child has started."""
        return self.words[_STARTED]

    @property
    def in_hand(self) -> int:
        """How many deliveries the child held when it was to stop; 0 again when all are settled."""
        return self.words[_IN_HAND]

    @in_hand.setter
    def in_hand(self, count: int) -> None:
        self.words[_IN_HAND] = count

    @property
    def early_running(self) -> int:
        """How many tasks with `ack="early"` ran when the child was to stop."""
        return min(self.words[_EARLY_RUNNING], len(self.running))

    @early_running.setter
    def early_running(self, count: int) -> None:
        self.words[_EARLY_RUNNING] = count

    @property
    def early_waiting(self) -> int:
        """How many such deliveries it held then that had not begun; fewer as they begin."""
        return self.words[_EARLY_WAITING]

    @early_waiting.setter
    def early_waiting(self, count: int) -> None:
        self.words[_EARLY_WAITING] = count

    @property
    def armed(self) -> float:
        """When the launcher will look at the deadlines by itself; 0 for never."""
        return self._floats[_ARMED]

    @armed.setter
    def armed(self, when: float) -> None:
        self._floats[_ARMED] = when

    @property
    def deadline(self) -> float:
        """The earliest deadline of a running task, by `time.monotonic`; 0 if there is none."""
        return min((cell.deadline for cell in self.cells if cell.deadline), default=0.0)

    def post(self, receipt: int) -> None:
        """Send a cancellation. Where the child has not read the last `RING` of them it is kept."""
        self._unsent.append(receipt)
        self.flush()

    def flush(self) -> bool:
        """Send what was kept; whether all of it is sent."""
        while self._unsent and not self.ring[self._post_at]:
            self.ring[self._post_at] = self._unsent.popleft()
            self._post_at = (self._post_at + 1) % RING
        return not self._unsent


class Cancellations:
    """The child's view of what the launcher posts.

    A process that a task has forked only looks: what is posted belongs to the child.

    Attributes:
        ring: the words of the ring; `ring[at]` is not 0 when something is new.
        receipts: deliveries in hand that are cancelled.
    """

    __slots__ = ("_cells", "_lock", "_pid", "at", "receipts", "ring")

    def __init__(self, slot: Slot) -> None:
        self._cells = slot.cells
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.ring = slot.ring
        self.at = 0
        self.receipts: set[int] = set()

    def read(self) -> None:
        """Take in what is new."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            while receipt := self.ring[self.at]:
                self.receipts.add(receipt)
                for cell in self._cells:
                    if cell.began == receipt:
                        cell.ints[_CANCELLED] = receipt
                self.ring[self.at] = 0
                self.at = (self.at + 1) % RING

    def has(self, cell: Cell, receipt: int) -> bool:
        """Whether the task that runs in that cell under that receipt is cancelled."""
        if self.ring[self.at]:
            self.read()
        return (
            receipt in self.receipts
            or cell.ints[_CANCELLED] == receipt
            or (os.getpid() != self._pid and receipt in self.ring)
        )

    def keep(self, held: set[int], newest: int) -> None:
        """Forget receipts that are not in hand; those above `newest` may be on their way."""
        with self._lock:
            self.receipts = {each for each in self.receipts if each in held or each > newest}

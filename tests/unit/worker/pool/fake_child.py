"""A child that is no process, for tests of the launcher and its supervisor."""

from __future__ import annotations

import signal
from typing import Any

from taskq.worker.pool import notes
from taskq.worker.runtime.slot import Cell, Slot
from taskq.worker.settings import WorkerSettings


class FakeChild:
    """A child that does what it is told; `die` ends it."""

    made: list[FakeChild] = []

    def __init__(self, settings: WorkerSettings, worker: str, consumer: str, **more: Any) -> None:
        self.consumer = consumer
        self.slot = Slot()
        self.pid = 1000 + len(self.made)
        self.ready_at: float | None = None
        self.left_at: float | None = None
        self.asked = self.drained = self.cut = self.closed = self.mute = False
        self.terminating: set[int] = set()
        self.timed_out = self.terminated = 0
        self.loaded = self.told_to_go = False
        self.frozen: list[bool] = []  # what it answers when it is to stand still
        self.exit_code: int | None = None
        self.pending: list[notes.Note] = []
        self.signals: list[signal.Signals] = []
        self.made.append(self)

    @property
    def ready(self) -> bool:
        return self.ready_at is not None

    def notes(self) -> list[notes.Note]:
        pending, self.pending = self.pending, []
        return pending

    def go(self) -> None:
        self.told_to_go = True

    def stop(self) -> None:
        self.asked = True

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)

    def is_frozen(self) -> bool:
        self.signals.append(signal.SIGSTOP)
        return not self.frozen or self.frozen.pop(0)

    def thaw(self) -> None:
        self.signals.append(signal.SIGCONT)

    def close(self) -> None:
        self.closed = True

    def die(self, code: int) -> None:
        self.exit_code = code

    def runs(self, receipt: int) -> None:
        self.slot.cells[0].ints[Cell.BEGAN] = receipt
        self.slot.words[Slot.STARTED] += 1

    def ends(self) -> None:
        cell = self.slot.cells[0]
        cell.ints[Cell.ENDED] = cell.began

"""The memory that a child shares with its launcher."""

from __future__ import annotations

import os

from taskq.worker.runtime.slot import Slot


def test_it_is_shared_across_a_fork() -> None:
    slot = Slot()
    pid = os.fork()
    if pid == 0:
        slot.ints[Slot.RUNNING] = 2**62
        slot.deadline = 12.5
        os._exit(0)
    os.waitpid(pid, 0)
    assert slot.running == 2**62
    assert slot.deadline == 12.5


def test_cancel_requests_are_remembered() -> None:
    slot = Slot()
    assert not slot.is_cancelled(1)
    slot.cancel(7)
    slot.cancel(8)
    assert slot.is_cancelled(7)
    assert slot.is_cancelled(8)
    assert not slot.is_cancelled(9)


def test_the_latest_cancel_requests_survive_many() -> None:
    slot = Slot()
    for receipt in range(1, 1001):
        slot.cancel(receipt)
    assert slot.is_cancelled(1000)
    assert slot.is_cancelled(951)
    assert not slot.is_cancelled(1)


def test_the_words_do_not_overlap() -> None:
    slot = Slot()
    for receipt in range(1, 200):
        slot.cancel(receipt)
    slot.ints[Slot.RUNNING], slot.ints[Slot.STARTED] = 11, 12
    slot.deadline, slot.armed = 1.5, 2.5
    assert (slot.running, slot.started, slot.deadline, slot.armed) == (11, 12, 1.5, 2.5)
    assert slot.is_cancelled(199)

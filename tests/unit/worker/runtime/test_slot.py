"""The memory that a child shares with its launcher."""

from __future__ import annotations

import os
from functools import partial

from taskq.worker.runtime.slot import RING, Cancellations, Cell, Slot


def test_it_is_shared_across_a_fork() -> None:
    slot = Slot()
    pid = os.fork()
    if pid == 0:
        slot.cells[0].ints[Cell.BEGAN] = 2**62
        slot.cells[0].deadline = 12.5
        os._exit(0)
    os.waitpid(pid, 0)
    assert slot.running == [2**62]
    assert slot.deadline == 12.5


def test_what_has_begun_is_divided_from_what_has_not() -> None:
    slot = Slot(cells=2)
    one, other = slot.cells
    one.ints[Cell.BEGAN], other.ints[Cell.BEGAN] = 7, 8
    assert (slot.running, slot.began) == ([7, 8], 8)
    one.ints[Cell.ENDED] = 7
    assert (slot.running, slot.began) == ([8], 8)


def test_every_cancellation_arrives() -> None:
    slot = Slot()
    inbox = Cancellations(slot)
    posted = set(range(1, RING * 5))
    for receipt in sorted(posted):
        slot.post(receipt)
    while not slot.flush():
        inbox.read()
    inbox.read()
    assert inbox.receipts == posted


def test_a_cancellation_is_seen_by_the_task_that_runs() -> None:
    slot = Slot()
    inbox = Cancellations(slot)
    slot.cells[0].ints[Cell.BEGAN] = 7
    cancelled = partial(inbox.has, slot.cells[0], 7)
    assert not cancelled()
    slot.post(8)
    assert not cancelled()
    slot.post(7)
    assert cancelled()


def test_a_process_that_the_task_has_forked_sees_it_too_and_takes_nothing_away() -> None:
    slot = Slot()
    inbox = Cancellations(slot)
    cancelled = partial(inbox.has, slot.cells[0], 7)
    slot.post(7)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if cancelled() else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert cancelled()


def test_what_is_no_longer_in_hand_is_forgotten_but_for_what_may_be_on_its_way() -> None:
    slot = Slot()
    inbox = Cancellations(slot)
    for receipt in (5, 6, 9):
        slot.post(receipt)
    inbox.read()
    inbox.keep({6, 7}, newest=7)
    assert inbox.receipts == {6, 9}


def test_the_words_do_not_overlap() -> None:
    slot = Slot(cells=2)
    for receipt in range(1, 200):
        slot.post(receipt)
    for number, cell in enumerate(slot.cells):
        cell.ints[Cell.BEGAN], cell.deadline = 11 + number, 1.5 + number
    slot.words[Slot.STARTED], slot.armed = 13, 2.5
    assert [(cell.running, cell.deadline) for cell in slot.cells] == [(11, 1.5), (12, 2.5)]
    assert (slot.started, slot.armed, slot.deadline) == (13, 2.5, 1.5)
    inbox = Cancellations(slot)
    inbox.read()
    assert inbox.receipts == set(range(1, 200))

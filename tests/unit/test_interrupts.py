"""A shield, and who asks for an exception in its thread."""

from __future__ import annotations

import threading

import pytest

from taskq.errors import TaskTimeout
from taskq.interrupts import own_shield


def test_what_was_asked_for_is_raised_once_at_the_next_checkpoint() -> None:
    shield = own_shield()
    shield.ask(TaskTimeout)
    with shield.lock:
        with pytest.raises(TaskTimeout):
            shield.checkpoint()
        shield.checkpoint()


def test_what_was_taken_back_is_not_raised() -> None:
    shield = own_shield()
    shield.ask(TaskTimeout)
    with shield.lock:
        assert shield.take() is TaskTimeout
        shield.checkpoint()


def test_a_sleeping_thread_is_woken_and_leaves_no_lock_taken() -> None:
    condition, shields = threading.Condition(), []
    is_there, ended = threading.Event(), threading.Event()

    def sleep() -> None:
        shield = own_shield()
        shields.append(shield)
        with shield.lock, condition:
            is_there.set()
            with pytest.raises(TaskTimeout):
                shield.sleep(condition, 60.0)
        ended.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    assert is_there.wait(10)
    shields[0].ask(TaskTimeout)
    assert ended.wait(10)
    thread.join()
    assert condition.acquire(blocking=False)
    assert shields[0].lock.acquire(blocking=False)


def test_each_thread_has_its_own() -> None:
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(own_shield()))
    thread.start()
    thread.join()
    assert others[0] is not own_shield()
    assert own_shield() is own_shield()

"""Sleeping that a signal or a stop can end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from taskq.worker.runtime.waking import Poller, Waker


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


def test_a_readable_descriptor_ends_the_rest(waker: Waker) -> None:
    readable, writable = os.pipe()
    os.write(writable, b"x")
    assert Poller(waker, lambda: False).until(readable)
    os.close(readable)
    os.close(writable)


def test_time_ends_the_rest(waker: Waker) -> None:
    assert not Poller(waker, lambda: False).until(None, 0.001)


def test_a_stop_that_came_before_the_rest_is_not_overslept(waker: Waker) -> None:
    assert not Poller(waker, lambda: True).until(None)


def test_a_stop_from_another_thread_ends_the_rest(waker: Waker) -> None:
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        waker.wake()

    thread = threading.Thread(target=stop)
    thread.start()
    assert not Poller(waker, stopped.is_set).until(None)
    thread.join()


def test_a_wake_up_without_a_stop_is_slept_on(waker: Waker) -> None:
    waker.wake()
    assert not Poller(waker, lambda: False).until(None, 0.001)


def test_a_signal_ends_the_rest(waker: Waker) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: came.append(number))
    try:
        waker.install()
        signal.raise_signal(signal.SIGUSR2)
        assert not Poller(waker, lambda: bool(came)).until(None)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR2, before)


def test_the_end_of_the_launcher_is_noticed(waker: Waker) -> None:
    ours, theirs = socket.socketpair()
    gone: list[bool] = []
    rest = Poller(waker, lambda: False, theirs.fileno(), lambda: gone.append(True))
    ours.close()
    assert not rest.until(None)
    assert gone == [True]
    theirs.close()


def test_a_descriptor_that_a_task_has_closed_is_noticed_under_its_next_file(waker: Waker) -> None:
    ours, theirs = socket.socketpair()
    fd = theirs.fileno()
    rest = Poller(waker, lambda: False, fd)
    assert not rest.is_cut_off
    theirs.close()
    assert rest.is_cut_off
    os.dup2(ours.fileno(), fd)
    assert rest.is_cut_off
    os.close(fd)
    ours.close()


def test_a_full_pipe_blocks_nobody(waker: Waker) -> None:
    for _ in range(100_000):
        waker.wake()
    waker.clear()
    assert not Poller(waker, lambda: False).until(waker.fileno(), 0.001)


def test_who_wakes_a_closed_waker_writes_into_no_other_file() -> None:
    waker = Waker()
    waker.close()
    readable, writable = os.pipe()  # gets the numbers that are free again
    try:
        waker.wake()
        os.set_blocking(readable, False)
        with pytest.raises(BlockingIOError):
            os.read(readable, 1)
    finally:
        os.close(readable)
        os.close(writable)

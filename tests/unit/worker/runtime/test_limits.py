"""Alarms and the memory reader."""

from __future__ import annotations

import mmap
import signal
import threading

import pytest

from taskq.errors import TaskTimeout
from taskq.interrupts import own_shield
from taskq.worker.runtime.limits import SignalAlarm, ThreadAlarm, memory_reader


@pytest.fixture
def alarm() -> SignalAlarm:
    before = signal.getsignal(signal.SIGALRM)
    yield SignalAlarm()  # type: ignore[misc]
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_the_alarm_ends_a_system_call(alarm: SignalAlarm) -> None:
    alarm.start(0.01)
    with pytest.raises(TaskTimeout, match=r"0\.01 s"):
        signal.pause()


def test_a_handler_that_a_task_has_left_there_does_not_stop_the_alarm(alarm: SignalAlarm) -> None:
    signal.signal(signal.SIGALRM, lambda signum, frame: None)
    alarm.start(0.01)
    with pytest.raises(TaskTimeout):
        signal.sigtimedwait([], 5)


def test_a_signal_that_comes_after_the_stop_does_nothing(alarm: SignalAlarm) -> None:
    alarm.start(1000)
    alarm.stop()
    signal.raise_signal(signal.SIGALRM)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_thread_alarm_raises_in_its_thread() -> None:
    def spin() -> None:
        while True:
            pass

    ThreadAlarm().start(0.01)
    with pytest.raises(TaskTimeout):
        spin()


def test_a_stopped_thread_alarm_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: timers.append(timer))
    alarm = ThreadAlarm()
    alarm.start(1000)
    alarm.stop()
    (timer,) = timers
    timer.function(*timer.args)  # the timer's thread was a moment too late


def test_a_timer_that_is_too_late_does_not_ring_for_the_next_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: timers.append(timer))
    alarm = ThreadAlarm()
    alarm.start(1000)
    alarm.stop()
    alarm.start(1000)
    timers[0].function(*timers[0].args)
    alarm.stop()


def test_a_thread_alarm_waits_until_the_thread_has_left_its_shield(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[threading.Timer] = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: timers.append(timer))
    ThreadAlarm().start(1000)
    (timer,) = timers
    ringing = threading.Thread(target=timer.function, args=timer.args)
    done = []
    with pytest.raises(TaskTimeout):  # noqa: PT012
        with own_shield().lock:
            ringing.start()
            ringing.join(0.05)
            done.append(ringing.is_alive())
        while True:
            pass
    ringing.join()
    assert done == [True]


def test_memory_grows_with_what_is_held() -> None:
    read = memory_reader()
    before = read()
    # of the kernel: what Python has freed before may be used again
    with mmap.mmap(-1, 50 * 2**20) as held:
        held.write(b"x" * (50 * 2**20))
        assert read() - before > 25 * 2**20

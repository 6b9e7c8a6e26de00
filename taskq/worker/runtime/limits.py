"""Limits on what a task may use: time, by an exception, and a child's memory."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol

from taskq.errors import TaskTimeout
from taskq.interrupts import Shield, own_shield

GRACE = 1.0  # seconds that a task gets to end after TaskTimeout, before its process is killed


class Alarm(Protocol):
    """Raises `TaskTimeout` in the thread that started it, unless it is stopped before."""

    def start(self, seconds: float) -> None:
        """Ring after so many seconds."""
        ...

    def stop(self) -> None:
        """Cancel it."""
        ...


def late(timeout: float) -> str:
    """The text of a `TaskTimeout`."""
    return f"the attempt ran longer than its timeout of {timeout:g} s"


class SignalAlarm:
    """The alarm of a child's main thread: SIGALRM also ends a system call that blocks."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._armed = False

    def start(self, seconds: float) -> None:
        """Ring after so many seconds."""
        # again each time: a task may have put its own handler there
        signal.signal(signal.SIGALRM, self._ring)
        self._seconds = seconds
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def stop(self) -> None:
        """Cancel it."""
        # the flag first: a signal that has come and is not handled yet then does nothing
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise TaskTimeout(late(self._seconds))


class ThreadAlarm:
    """The alarm of a worker thread: cannot end a system call, only Python code.

    CPython raises a bare class in another thread, so the message is a fixed one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._round: object = None  # of the timer that may ring

    def start(self, seconds: float) -> None:
        """Ring after so many seconds."""
        shield, self._round = own_shield(), object()
        timer = threading.Timer(seconds, self._ring, [self._round, threading.get_ident(), shield])
        timer.daemon = True
        self._timer = timer
        with shield.lock:  # a ring waits until the timer is started
            timer.start()

    def stop(self) -> None:
        """Cancel it; nothing arrives any more, unless it arrives right here."""
        timer = self._timer
        if timer is None:
            return
        with self._lock:
            self._round = None
        shield = own_shield()
        # an exception that is set is waited for. To take it back, by setting none, would leave CPython
        # 3.11 looking for one at every call of a function, and for ever at one that is traced
        with shield.lock:
            shield.checkpoint()
        timer.cancel()
        self._timer = None

    def _ring(self, round_: object, thread: int, shield: Shield) -> None:
        """Raise in the thread, but not inside what it shields."""
        with self._lock:
            # a timer that is too late to be cancelled must not ring for the next task
            if self._round is not round_:
                return
            shield.ask(TaskTimeout)
        with shield.lock:
            error = shield.take()
            if error is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(error)
                )


def memory_reader() -> Callable[[], int]:
    """A function that gives the resident memory of this process in bytes.

    Where there is no /proc it is the peak, which is what `getrusage` knows.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        page = os.sysconf("SC_PAGE_SIZE")
        return lambda: int(statm.read_bytes().split()[1]) * page
    unit = 1 if sys.platform == "darwin" else 1024
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

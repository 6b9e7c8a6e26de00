"""Exceptions that another thread raises in this one, and the code in which none may arrive.

A timeout in a worker thread is an exception that CPython raises wherever that thread is. Inside the
`memory:` broker it would leave a lock taken, or a change half made. So each thread has a `Shield`:
the broker holds it while it works, and the alarm takes it before it raises.
"""

from __future__ import annotations

import threading


class Shield:
    """The shield of one thread.

    The thread holds `lock` by a `with` statement, which CPython does not interrupt between taking a
    lock and entering the block, and calls `checkpoint` first.

    Attributes:
        lock: held by the thread, or by the one that raises an exception in it.
    """

    __slots__ = ("_error", "_sleeps_on", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._error: type[BaseException] | None = None
        self._sleeps_on: threading.Condition | None = None

    # --- in its thread, with the lock held --------------------------------------------------

    def checkpoint(self) -> None:
        """Raise what was asked for. Nothing arrives from here on until the lock is released.

        An exception that was set before the lock was taken arrives here at the latest: CPython looks
        for one whenever a Python function begins.
        """
        error = self.take()
        if error is not None:
            raise error

    def sleep(self, condition: threading.Condition, seconds: float) -> None:
        """Wait for a condition that this thread has locked; `ask` ends the wait."""
        self._sleeps_on = condition  # before the look at what was asked: `ask` does it in reverse
        try:
            self.checkpoint()
            condition.wait(seconds)
            self.checkpoint()
        finally:
            self._sleeps_on = None

    # --- for the thread that interrupts -----------------------------------------------------

    def ask(self, error: type[BaseException]) -> None:
        """Have the thread raise `error` at its next checkpoint, or in its sleep."""
        self._error = error
        condition = self._sleeps_on
        if condition is not None:
            with condition:
                condition.notify_all()

    def take(self) -> type[BaseException] | None:
        """What was asked for and is not raised yet; call it with the lock held."""
        error, self._error = self._error, None
        return error


class _Threads(threading.local):
    def __init__(self) -> None:
        self.shield = Shield()


_threads = _Threads()


def own_shield() -> Shield:
    """The shield of this thread."""
    return _threads.shield

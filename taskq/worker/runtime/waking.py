"""Sleeping in a way that a signal can end: the self-pipe of a process's main thread."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress


class Waker:
    """Every signal that has a Python handler makes `fileno` readable.

    Without it a signal between the look at a flag and the system call that sleeps would be noticed
    only when the call returns.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def install(self) -> None:
        """Take the process's signals; main thread only."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def uninstall(self) -> None:
        """Give them back and close the pipe."""
        signal.set_wakeup_fd(-1)
        self.close()

    def close(self) -> None:
        """Close the pipe; for a forked child, which must not touch its parent's."""
        # first out of reach: another file may get the same numbers, and `wake` would write into it
        descriptors = self._read, self._write
        self._read = self._write = -1
        for fd in descriptors:
            with suppress(OSError):
                os.close(fd)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._read

    def wake(self) -> None:
        """End the sleep, from any thread."""
        with suppress(OSError):
            os.write(self._write, b"\0")

    def clear(self) -> None:
        """Forget the wake-ups that have been noticed."""
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass


class Poller:
    """How a consumer waits for a descriptor or a time, until it has to stop.

    `stopped` is asked after every wake-up. `parent`: a descriptor that is readable when the launcher
    is gone; then `orphaned` is called.
    """

    def __init__(
        self,
        waker: Waker,
        stopped: Callable[[], bool],
        parent: int | None = None,
        orphaned: Callable[[], None] = lambda: None,
    ) -> None:
        self._waker = waker
        self._stopped = stopped
        self._parent = parent
        self._parent_file = None if parent is None else _file_of(parent)
        self._orphaned = orphaned
        self._poll = select.poll()
        self._poll.register(waker.fileno(), select.POLLIN)
        if parent is not None:
            self._poll.register(parent, select.POLLIN)

    @property
    def is_cut_off(self) -> bool:
        """Whether a task has closed `parent`; another file may have its number now."""
        return self._parent is not None and _file_of(self._parent) != self._parent_file

    def until(self, fd: int | None, seconds: float | None = None) -> bool:
        """Wait; returns whether `fd` has become readable (False: stopped, or the time is over)."""
        if fd is not None:
            self._poll.register(fd, select.POLLIN)
        try:
            while not self._stopped():
                ready = self._poll.poll(None if seconds is None else seconds * 1000)
                if not ready:
                    return False
                fds = [which for which, _ in ready]
                # a task may have closed every descriptor: then this process is of no more use
                invalid = any(event & select.POLLNVAL for _, event in ready)
                if self._parent in fds or invalid:
                    self._orphaned()
                    return False
                if fd in fds:
                    return True
                self._waker.clear()
            return False
        finally:
            if fd is not None:
                self._poll.unregister(fd)


def _file_of(fd: int) -> tuple[int, int] | None:
    """Which file that is; `None` if it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino

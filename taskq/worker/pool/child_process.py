"""A child as the launcher sees it: its process, its socket, its slot and its state."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from taskq.worker.pool import child as child_process
from taskq.worker.pool.notes import Note, NoteReader
from taskq.worker.pool.stacks import Stacks
from taskq.worker.runtime.slot import Slot
from taskq.worker.settings import WorkerSettings

_BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
_fork = multiprocessing.get_context("fork")


class Child:
    """A forked child.

    Attributes:
        consumer: its name at the broker.
        pid: its process id.
        ready_at: `time.monotonic` at which it had loaded the app and registered.
        loaded: it has loaded the app and waits for `go`.
        left_at: `time.monotonic` at which it said that it ends.
        asked: it was asked to end.
        drained: it found nothing left to do.
        terminating: receipts for which it is to be killed if it runs them.
        timed_out: receipt for which it was killed since its time was over, or 0.
        terminated: receipt for which it was killed since it was cancelled, or 0.
        mute: its end of the socket is closed; it has ended, or a task has closed it.
        cut: it was killed because the worker could wait no longer.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        worker: str,
        consumer: str,
        *,
        first: bool,
        waits: bool,
        forget: Callable[[], None],
    ) -> None:
        self.consumer = consumer
        self.loaded = False
        self.slot = Slot()
        self.ready_at: float | None = None
        self.left_at: float | None = None
        self.asked = self.drained = self.cut = self.mute = False
        self.terminating: set[int] = set()
        self.timed_out = self.terminated = 0
        self._freezing = False
        self._reader = NoteReader()
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        self.stacks = Stacks()
        child_args = child_process.ChildArgs(
            launcher=os.getpid(),
            worker=worker,
            consumer=consumer,
            channel=theirs,
            slot=self.slot,
            stacks=self.stacks.writer,
            first=first,
            waits=waits,
        )

        def forget_all() -> None:
            self.channel.close()
            self.stacks.close()
            forget()

        self._process = _fork.Process(
            target=child_process.main,
            args=(settings, child_args, forget_all),
            name=consumer,
            daemon=False,
        )
        # until the child has its own handlers a signal must wait, or the copy of ours takes it
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            self._process.start()
        except BaseException:
            self.channel.close()
            self.stacks.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()
            self.stacks.close_writer()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it has loaded the app and registered."""
        return self.ready_at is not None

    @property
    def exit_code(self) -> int | None:
        """`None` while it lives; negative: the signal that killed it."""
        return self._process.exitcode

    def notes(self) -> list[Note]:
        """The notes that it has sent since the last call."""
        data = b""
        with suppress(BlockingIOError):
            try:
                while chunk := self.channel.recv(65536):
                    data += chunk
            except ConnectionResetError:
                pass
            self.mute = True
        return self._reader.feed(data) if data else []

    def go(self) -> None:
        """Let a successor begin its work."""
        with suppress(OSError):  # it has died
            self.channel.send(b"\0")

    def stop(self) -> None:
        """Ask the child to end after the task that is running."""
        if not self.asked:
            self.asked = True
            self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self.signal(signal.SIGKILL)

    def is_frozen(self) -> bool:
        """Whether the child stands still; asks it to, the first time."""
        if self.exit_code is not None:
            return False
        if not self._freezing:
            self._freezing = True
            os.kill(self.pid, signal.SIGSTOP)
        if not hasattr(os, "waitid"):  # no way to ask: a signal comes before user code
            return True
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None
        return False

    def thaw(self) -> None:
        """Let it go on."""
        self._freezing = False
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it is dead already."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def close(self) -> None:
        """Close the descriptors of a child that has ended."""
        self.channel.close()
        self.stacks.close()
        self._process.close()

    def forget(self) -> None:
        """Close our ends in a sibling of it."""
        self.channel.close()
        self.stacks.close()

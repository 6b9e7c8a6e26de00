"""Everything that the launcher waits for, in one selector: signals, children, heartbeat, owner."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from types import FrameType

from taskq.worker.pool.child_process import Child
from taskq.worker.runtime.waking import Waker

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Inputs:
    """See the module.

    Attributes:
        signals: numbers of those that have come and are not dealt with, in their order.

    Args:
        owner_fd: the reading end of a pipe whose other end the owner of this worker holds.
        listen: called with a child that has something to say.
        orphaned: called when the owner is gone.
    """

    def __init__(
        self, owner_fd: int | None, listen: Callable[[Child], None], orphaned: Callable[[], None]
    ) -> None:
        # poll, not epoll: it keeps no state in the kernel, which forked children would share, and
        # which would lose a descriptor that is closed and opened again under the same number
        self._selector = selectors.PollSelector()
        self._waker = Waker()
        self._owner_fd = owner_fd
        self._heartbeat_fd: int | None = None
        self._listen = listen
        self._orphaned = orphaned
        self.signals: list[int] = []

    def open(self) -> None:
        """Take the signals, and watch the owner."""

        def note(signum: int, frame: FrameType | None) -> None:
            self.signals.append(signum)

        for number in _HANDLED:
            signal.signal(number, note)
        self._waker.install()
        self._selector.register(self._waker.fileno(), selectors.EVENT_READ)
        if self._owner_fd is not None:
            os.set_inheritable(self._owner_fd, False)
            self._selector.register(self._owner_fd, selectors.EVENT_READ)

    def wait(self, timeout: float | None) -> None:
        """Wait for anything, for at most `timeout` seconds, and pass it on."""
        if self.signals:  # came since they were looked at; the waker may have been cleared
            return
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                self._on_child(key.fd, key.data)
            elif key.fd == self._owner_fd:
                self._on_owner(key.fd)
        self._waker.clear()

    def watch_child(self, child: Child) -> None:
        """Listen to a child, and to its stacks."""
        self._selector.register(child.channel, selectors.EVENT_READ, child)
        if child.stacks.reader is not None:
            self._selector.register(child.stacks.reader, selectors.EVENT_READ, child)

    def unwatch_child(self, child: Child) -> None:
        """Listen to it no more."""
        self._selector.unregister(child.channel)
        self._unwatch_stacks(child)

    def watch_heartbeat(self, fd: int | None) -> None:
        """Watch the heartbeat's descriptor, which changes with each connection."""
        if fd == self._heartbeat_fd:
            return
        if self._heartbeat_fd is not None:
            self._selector.unregister(self._heartbeat_fd)
        if fd is not None:
            self._selector.register(fd, selectors.EVENT_READ)
        self._heartbeat_fd = fd

    def forget_in_child(self) -> None:
        """Close all of it in a forked process."""
        self._selector.close()
        self._waker.close()
        if self._owner_fd is not None:
            os.close(self._owner_fd)

    def close(self) -> None:
        """Give the signals back."""
        self._waker.uninstall()
        self._selector.close()
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)

    def _on_child(self, fd: int, child: Child) -> None:
        if fd != child.stacks.reader:
            self._listen(child)
        elif not child.stacks.relay(child.pid):
            self._unwatch_stacks(child)

    def _unwatch_stacks(self, child: Child) -> None:
        if child.stacks.reader is not None:
            self._selector.unregister(child.stacks.reader)
            child.stacks.close()

    def _on_owner(self, fd: int) -> None:
        """Readable: nobody holds the other end."""
        self._selector.unregister(fd)
        os.close(fd)
        self._owner_fd = None
        self._orphaned()

"""Takes new connections: bounded, and without spinning where the machine has no descriptors left."""

from __future__ import annotations

import errno
import selectors
import socket

_BATCH = 16  # per tick, so that a flood of newcomers cannot outrun handshakes in progress
_PAUSE = 0.1
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """A listening socket in the loop's selector.

    Args:
        listener: non-blocking.
        selector: the loop's.
        max_connections: with so many open, newcomers wait until one closes.
    """

    def __init__(
        self, listener: socket.socket, selector: selectors.BaseSelector, max_connections: int
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._max = max_connections
        self._accepting = False
        self.resume_at: float | None = None
        self.resume()

    def accept(self, open_connections: int, now: float) -> list[socket.socket]:
        """The connections that came, non-blocking; a few at a time."""
        accepted: list[socket.socket] = []
        for _ in range(min(_BATCH, self._max - open_connections)):
            try:
                sock = self._take()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(now + _PAUSE)
                break
            sock.setblocking(False)
            accepted.append(sock)
        if open_connections + len(accepted) >= self._max:
            self._pause(None)
        return accepted

    def _take(self) -> socket.socket:
        return self._listener.accept()[0]

    def _pause(self, until: float | None) -> None:
        self.resume_at = until
        if self._accepting:
            self._selector.unregister(self._listener)
            self._accepting = False

    def resume(self) -> None:
        """Accept again; called when a connection has closed or `resume_at` has come."""
        self.resume_at = None
        if not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, self)
            self._accepting = True

    def replace(self, listener: socket.socket) -> None:
        """Accept on another socket; the one before is closed."""
        self._pause(None)
        self._listener.close()
        self._listener = listener
        self.resume()

    def close(self) -> None:
        """Stop accepting. The socket is closed by the one who made it."""
        self._pause(None)

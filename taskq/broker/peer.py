"""One connection of the broker: its handshake, its frames in, its replies out."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

from taskq.errors import PayloadTooLarge
from taskq.protocol import frames as wire
from taskq.protocol.base import Failed, Reply
from taskq.transport import handshake


class Peer:
    """A client as the broker sees it. All I/O is non-blocking.

    Args:
        sock: an accepted socket.
        session: the number under which the engine knows this connection.
        greeting: the handshake, not begun.
        max_frame: bytes of the largest request once the handshake is done.
        deadline: when the handshake must be done.
    """

    __slots__ = (
        "_handshake",
        "_max_frame",
        "_out",
        "_reader",
        "deadline",
        "session",
        "sock",
        "writing",
    )

    def __init__(
        self,
        sock: socket.socket,
        session: int,
        greeting: handshake.ServerHandshake,
        max_frame: int,
        deadline: float,
    ) -> None:
        self.sock = sock
        self.session = session
        self.deadline = deadline
        self.writing = False  # whether the loop waits for room to write
        self._handshake: handshake.ServerHandshake | None = greeting
        self._max_frame = max_frame
        self._reader = wire.FrameReader(handshake.MAX_FRAME)
        self._out = bytearray()

    @property
    def authenticated(self) -> bool:
        """Whether the client has proved that it has the key."""
        return self._handshake is None

    @property
    def backlog(self) -> int:
        """Bytes of replies that the client has not taken yet."""
        return len(self._out)

    def receive(self, buffer: memoryview) -> Iterable[memoryview]:
        """Read once; the request bodies that arrived, as views of `buffer`.

        Raises:
            OSError: the connection is lost or was closed.
            ProtocolError: a broken frame.
            AuthenticationFailed: the handshake failed.
        """
        try:
            size = self.sock.recv_into(buffer)
        except BlockingIOError:
            return ()
        if not size:
            raise ConnectionResetError("closed by the client")
        frames = self._reader.feed(buffer[:size])
        return frames if self._handshake is None else self._greet(self._handshake, frames)

    def _greet(
        self, greeting: handshake.ServerHandshake, frames: Iterable[memoryview]
    ) -> Iterable[memoryview]:
        """Take the frames of a handshake, and queue the answers."""
        for body in frames:
            self._out += wire.frame(greeting.receive(bytes(body)))
        if greeting.done:
            self._handshake = None
            self._reader.max_frame = self._max_frame
        return ()

    def put(self, reply: Reply) -> None:
        """Queue a reply for `flush`."""
        try:
            wire.append(self._out, reply)
        except PayloadTooLarge as error:
            failed = Failed(rid=reply.rid, error="PayloadTooLarge", text=str(error))
            wire.append(self._out, failed)

    def flush(self) -> bool:
        """Send what the socket takes; whether that was everything.

        Raises:
            OSError: the connection is lost.
        """
        if not self._out:
            return True
        try:
            sent = self.sock.send(self._out)
        except BlockingIOError:
            return False
        if sent == len(self._out):
            self._out = bytearray()
            return True
        del self._out[:sent]
        return False

    def put_busy(self) -> None:
        """Queue `BUSY` for a client in its handshake, so that it does not blame its key."""
        if self._handshake is not None and self._handshake.has_greeted:
            self._out += wire.frame(handshake.BUSY)

    def close(self) -> None:
        """Hang up, after one attempt to send what is queued."""
        with contextlib.suppress(OSError):
            self.flush()
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

"""A faulty network for tests: a TCP proxy in front of a broker that cuts where a test says.

One thread owns every socket. A cut is a reset (RST) to both sides, as a network makes it: what was
on the way is gone. The commands may come from any thread.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

Place = tuple[str, int]
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() resets


@dataclass(eq=False)
class _End:
    """One end of a proxied connection. `left`: bytes that may still come from it; then a cut."""

    sock: socket.socket
    from_client: bool
    left: int | None
    out: bytearray = field(default_factory=bytearray)
    lose_next: bool = False
    other: _End | None = None


class Proxy:
    """Listens on a port of its own and passes everything on to `upstream` until a test says otherwise.

    Attributes:
        connections: how many were accepted.
        cuts: how many were cut.
        passed: bytes of the latest connection, `[requests, replies]`.
    """

    def __init__(self, upstream: Place) -> None:
        self.upstream = upstream
        self.connections = self.cuts = 0
        self.passed = [0, 0]
        self._limits: tuple[int | None, int | None] = (None, None)
        self._reply_mark: tuple[bytes, int] | None = None
        self._request_mark: bytes | None = None
        self._deaf = self._drop = self._closed = False
        self._ends: set[_End] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    # --- commands -------------------------------------------------------------------------------

    def limit(self, *, requests: int | None = None, replies: int | None = None) -> None:
        """Once: cut the next connection after so many bytes of one direction."""
        self._limits = (requests, replies)

    def cut_reply(self, mark: bytes, keep: int = 0) -> None:
        """Once: of the next piece of a reply that holds `mark` only `keep` bytes arrive."""
        self._reply_mark = (mark, keep)

    def lose_reply(self, mark: bytes) -> None:
        """Once: what holds `mark` reaches the broker, and of its answer nothing arrives."""
        self._request_mark = mark

    def deafen(self, deaf: bool = True) -> None:
        """Accept connections and pass nothing on, of old ones neither; or go on."""
        self._deaf = deaf
        self._order()

    def drop(self) -> None:
        """Cut every connection that there is now."""
        self._drop = True
        self._order()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        self._wake_w.send(b"!")
        self._thread.join()
        self._listener.close()
        self._wake_r.close()
        self._wake_w.close()
        self._selector.close()

    # --- the thread ---------------------------------------------------------------------------

    def _order(self) -> None:
        self._done.clear()
        self._wake_w.send(b"!")
        self._done.wait(10)

    def _run(self) -> None:
        while not self._closed:
            for key, mask in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_r:
                    self._on_order()
                elif key.data in self._ends:
                    self._serve(key.data, mask)
        for end in list(self._ends):
            self._cut(end)

    def _on_order(self) -> None:
        with suppress(BlockingIOError):
            self._wake_r.recv(4096)
        if self._drop:
            self._drop = False
            for end in list(self._ends):
                self._cut(end)
        for end in self._ends:
            self._watch(end)
        self._done.set()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.connections += 1
        self.passed = [0, 0]
        (requests, replies), self._limits = self._limits, (None, None)
        near = _End(client, True, requests)
        try:
            far = _End(socket.create_connection(self.upstream, 5), False, replies)
        except OSError:  # no broker there just now
            _reset(client)
            return
        near.other, far.other = far, near
        for end in (near, far):
            end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.sock.setblocking(False)
            self._ends.add(end)
            self._selector.register(end.sock, selectors.EVENT_READ, end)
            self._watch(end)

    def _serve(self, end: _End, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._flush(end)
            if mask & selectors.EVENT_READ:
                self._read(end)
        except BlockingIOError:
            return
        except OSError:
            self._cut(end)

    def _read(self, end: _End) -> None:
        data = end.sock.recv(65536)
        assert end.other is not None
        if not data:
            self._cut(end)
            return
        data, cut = self._filter(end, data)
        self.passed[not end.from_client] += len(data)
        end.other.out += data
        self._flush(end.other)
        if cut:
            self.cuts += 1
            self._cut(end, orderly=bool(data))

    def _filter(self, end: _End, data: bytes) -> tuple[bytes, bool]:
        """What of `data` passes, and whether the connection is cut after it."""
        if end.lose_next:
            return b"", True
        if end.from_client and self._request_mark is not None and self._request_mark in data:
            self._request_mark = None
            assert end.other is not None
            end.other.lose_next = True
        if not end.from_client and self._reply_mark is not None and self._reply_mark[0] in data:
            keep, self._reply_mark = self._reply_mark[1], None
            return data[:keep], True
        if end.left is not None:
            end.left -= len(data)
            if end.left <= 0:
                return data[: len(data) + end.left], True
        return data, False

    def _flush(self, end: _End) -> None:
        with suppress(BlockingIOError):
            while end.out:
                del end.out[: end.sock.send(end.out)]
        self._watch(end)

    def _watch(self, end: _End) -> None:
        wanted = selectors.EVENT_WRITE if end.out else 0
        if not self._deaf:
            wanted |= selectors.EVENT_READ
        registered = end.sock in self._selector.get_map()
        if wanted and registered:
            self._selector.modify(end.sock, wanted, end)
        elif wanted:
            self._selector.register(end.sock, wanted, end)
        elif registered:
            self._selector.unregister(end.sock)

    def _cut(self, end: _End, orderly: bool = False) -> None:
        """Close both ends; `orderly`: what was passed on arrives before the end does."""
        for each in (end, end.other):
            if each is None or each not in self._ends:
                continue
            self._ends.discard(each)
            if each.sock in self._selector.get_map():
                self._selector.unregister(each.sock)
            if orderly:
                each.sock.close()
            else:
                _reset(each.sock)


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()

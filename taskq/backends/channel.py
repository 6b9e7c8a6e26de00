"""The client's connection to a broker process: calls, parked requests, and life after a loss.

Requests stay in `_sent` until somebody has taken their reply. When the connection is lost, a new
one is opened, the greeting is said, and everything in `_sent` goes out again: every request of the
vocabulary may safely arrive twice. Replies that came and were not taken are asked for again too,
since the broker takes back what a lost connection had claimed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from taskq import errors
from taskq.backends.attempts import Attempts
from taskq.backends.greeting import Greeting
from taskq.protocol.base import Failed, R, Reply, Request, may_park
from taskq.protocol.consuming import Claim, Settle
from taskq.protocol.frames import MAX_REPLY, FrameReader, decode_reply, encode
from taskq.protocol.values import Outcome

REPLY_TIMEOUT = 30.0  # seconds beyond the time that a request may park
_CHUNK, _LARGEST_CHUNK = 2**16, 2**20
_NEVER = float("inf")
_SILENCE = 1.0  # seconds without more of a reply that has begun to come, after which it is given up
_NOTHING, _DATA, _ANEW = "nothing", "data", "a new connection"  # what one read has brought


class Channel:
    """See `port.Connection`.

    Args:
        dial: opens an authenticated socket within so many seconds; true: a start must fit in, too.
        name: of the broker, for errors.
        greeting: begins each conversation.
        patience: seconds for which a lost broker is looked for; 0 tries once.
        first: the same for the first connection, when no broker has been seen yet.
        timeout: seconds after which the first connection is given up whatever it waits for.
    """

    def __init__(
        self,
        dial: Callable[[float, bool], socket.socket],
        name: str,
        greeting: Greeting | None = None,
        *,
        patience: float = 30.0,
        first: float | None = None,
        timeout: float | None = None,
    ) -> None:
        self._dial = dial
        self._name = name
        self._greeting = greeting
        self._pid = os.getpid()
        self._sock: socket.socket | None = None
        self._timeout = -1.0  # what the socket is set to
        self._reader = FrameReader(MAX_REPLY)
        self._rid = 0
        self._sent: dict[int, Request[Any]] = {}
        self._arrived: dict[int, Reply] = {}
        self._due: dict[int, float] = {}  # of what `receive` will ask for
        self._closed = False
        self._attempts = Attempts(name, patience)
        with self._attempts.within(timeout):
            self._attempts.open(self._open, self._hang_up, first)

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Send `request` and wait for its reply; see `port.Connection.call`."""
        if timeout is None:
            return self._converse((request,), request)
        with self._attempts.within(timeout):
            return self._converse((request,), request, timeout)

    def turn(
        self, outcomes: Sequence[Outcome], claim: Claim | None = None, group: str = "default"
    ) -> list[int]:
        """Settle and claim in one write, and wait for what settling gives; see `port.Connection`."""
        settle = Settle(outcomes=list(outcomes), group=group)
        requests = (settle,) if claim is None else (settle, claim)
        rejected = self._converse(requests, settle).rejected
        if claim is not None:
            self._due[claim.rid] = time.monotonic() + REPLY_TIMEOUT + may_park(claim)
        return rejected

    def send(self, request: Request[Any]) -> None:
        """Send a request and return at once; `receive` gives its reply."""
        data = self._begin((request,))
        try:
            self._transmit(data, REPLY_TIMEOUT)
        except BaseException:
            self._drop()
            raise
        self._due[request.rid] = time.monotonic() + REPLY_TIMEOUT + may_park(request)

    def receive(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Wait for the reply of a request that was sent; one that got lost is sent again."""
        self._check()
        if self._sent.get(request.rid) is not request:
            return self.call(request, timeout=timeout)
        with self._attempts.within(timeout):
            return self._converse((), request, timeout)

    def arrived(self, request: Request[Any]) -> bool:
        """Whether `receive` would return at once; reads what has come in, and does not wait."""
        self._check()
        if self._sent.get(request.rid) is not request:
            self.send(request)
        rid, arrived = request.rid, self._arrived
        if rid not in arrived:
            try:
                while (came := self._read(0.0)) is _DATA and rid not in arrived:
                    pass
                if came is _NOTHING and self._due.get(rid, _NEVER) <= time.monotonic():
                    self._attempts.timed_out(REPLY_TIMEOUT + may_park(request))
            except BaseException:
                self._drop()
                raise
        return rid in arrived

    def fileno(self) -> int:
        """The descriptor that becomes readable when replies come in; see `port.Connection`."""
        self._check()
        return (self._sock or self._reopen()).fileno()

    def due(self) -> float | None:
        """The time, by `time.monotonic`, at which the first missing reply is overdue."""
        return min(self._due.values(), default=None)

    def close(self) -> None:
        """Close the conversation for good."""
        self._closed = True
        self._drop()

    def __del__(self) -> None:
        # a thread that ends drops its connection; a socket left to the collector would warn
        if getattr(self, "_sock", None) is not None:
            self._drop()

    # --- one conversation ---------------------------------------------------------------------

    def _converse(
        self, requests: tuple[Request[Any], ...], awaited: Request[R], timeout: float | None = None
    ) -> R:
        """Send `requests` and wait for the reply of `awaited`."""
        patience = REPLY_TIMEOUT + may_park(awaited)
        if timeout is None:
            self._attempts.deadline = None  # one may be left, if a signal handler has raised
        else:
            patience = min(patience, timeout)
        data = self._begin(requests)
        rid, arrived = awaited.rid, self._arrived
        try:
            if data:
                self._transmit(data, patience)
            if rid not in arrived and timeout is None and self._read(patience) is _NOTHING:
                self._attempts.timed_out(patience)
            if rid not in arrived:
                self._read_on(rid, patience)
        except BaseException:
            self._drop()
            raise
        reply = arrived.pop(rid)
        del self._sent[rid]
        self._due.pop(rid, None)
        if type(reply) is Failed:
            raise errors.by_name(reply.error)(reply.text)
        return cast("R", reply)

    def _begin(self, requests: tuple[Request[Any], ...]) -> bytearray:
        """Number and encode requests, and note them as sent."""
        if self._closed or self._pid != os.getpid():
            self._check()
        data = bytearray()
        for request in requests:
            self._rid = request.rid = self._rid + 1
            data = data + encode(request) if data else encode(request)
        for request in requests:
            self._sent[request.rid] = request
        return data

    def _check(self) -> None:
        if self._closed:
            raise errors.BrokerUnavailable("this connection was closed; open another one")
        if self._pid != os.getpid():
            # the socket is our parent's: our end of it goes, and the conversation stays there
            self._drop()
            self._pid = os.getpid()

    def _transmit(self, data: bytearray, patience: float) -> None:
        """Send data; on a new connection, everything that is in `_sent`, which includes it."""
        sock = self._sock
        if sock is None:
            self._reopen()
            return
        try:
            if patience != self._timeout:
                sock.settimeout(patience)
                self._timeout = patience
            sock.sendall(data)
        except OSError as error:
            if _is_timeout(error):
                self._attempts.timed_out(patience)
            self._lost()

    def _read(self, patience: float) -> str:
        """Read once, for at most so many seconds, and sort in what came."""
        sock = self._sock
        if sock is None:
            self._reopen()
            return _ANEW
        try:
            if patience != self._timeout:
                sock.settimeout(patience)
                self._timeout = patience
            data = sock.recv(min(max(_CHUNK, self._reader.missing), _LARGEST_CHUNK))
            if not data:
                raise ConnectionResetError("the broker closed the connection")
        except OSError as error:
            if isinstance(error, BlockingIOError) or _is_timeout(error):
                return _NOTHING
            self._lost()
            return _ANEW
        for body in self._reader.feed(data):
            self._sort(decode_reply(body))
        return _DATA

    def _read_on(self, rid: int, patience: float) -> None:
        """Read until a reply is there. A new connection gives new time, but for a caller's deadline."""
        deadline = self._attempts.until(patience)
        while rid not in self._arrived:
            left = deadline - time.monotonic()
            if left <= 0:
                self._attempts.timed_out(patience)
            came = self._read(left)
            if came is _ANEW:
                deadline = self._attempts.until(patience)
            elif came is _DATA and self._reader.missing:  # of a large reply, which goes on coming
                deadline = max(deadline, time.monotonic() + _SILENCE)

    def _sort(self, reply: Reply) -> None:
        if reply.rid in self._sent:
            self._arrived[reply.rid] = reply
            self._attempts.answered = True
        elif isinstance(reply, Failed) and not reply.rid:
            raise errors.by_name(reply.error)(reply.text)
        else:
            raise errors.ProtocolError(f"a reply of {self._name} answers nothing that was asked")

    # --- loss and return ----------------------------------------------------------------------

    def _lost(self) -> None:
        self._hang_up()
        self._attempts.lost()
        self._reopen()

    def _reopen(self) -> socket.socket:
        """Open a new connection and send what is in `_sent` again."""
        self._attempts.open(self._open, self._hang_up)
        assert self._sock is not None
        return self._sock

    def _open(self, timeout: float) -> None:
        bounded = self._attempts.deadline is not None
        self._sock = sock = self._dial(timeout, bounded)
        self._timeout = timeout if bounded else REPLY_TIMEOUT
        sock.settimeout(self._timeout)
        if self._greeting is not None:
            self._rid += 1
            self._greeting.exchange(sock, self._reader, self._rid)
        if self._sent:
            sock.sendall(b"".join(encode(request) for request in self._sent.values()))
            now = time.monotonic()
            for rid in self._due:
                self._due[rid] = now + REPLY_TIMEOUT + may_park(self._sent[rid])

    def _hang_up(self) -> None:
        """Close the socket; what was sent will be sent again on the next one."""
        sock, self._sock = self._sock, None
        if sock is not None:
            with suppress(OSError):  # somebody closed all descriptors, ours among them
                sock.close()
        self._reader = FrameReader(MAX_REPLY)
        self._arrived.clear()

    def _drop(self) -> None:
        """Close the socket and forget what was sent."""
        self._hang_up()
        self._sent.clear()
        self._due.clear()
        self._attempts.reset()


def _is_timeout(error: OSError) -> bool:
    """Whether the time of the socket is over; the kernel's own timeout is a lost connection."""
    return isinstance(error, TimeoutError) and error.errno is None

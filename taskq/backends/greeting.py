"""The request that begins each conversation with a broker process, and its reply."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from taskq import errors
from taskq.protocol.base import Failed, Request
from taskq.protocol.frames import FrameReader, decode_reply, encode

_CHUNK = 4096


class Greeting:
    """The greeting of one connection.

    Args:
        make: makes the request.
        greeted: called with each reply to it.
    """

    def __init__(
        self, make: Callable[[], Request[Any]], greeted: Callable[[Any], None] | None = None
    ) -> None:
        self._make = make
        self._greeted = greeted

    def exchange(self, sock: socket.socket, reader: FrameReader, rid: int) -> None:
        """Send a greeting under that request id and wait for its reply.

        Raises:
            TaskqError: what the broker refuses it with.
            OSError: the connection is lost, or its timeout is over.
        """
        greeting = self._make()
        greeting.rid = rid
        sock.sendall(encode(greeting))
        while True:
            data = sock.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the broker closed the connection")
            for body in reader.feed(data):
                reply = decode_reply(body)
                if isinstance(reply, Failed):
                    raise errors.by_name(reply.error)(reply.text)
                if self._greeted is not None:
                    self._greeted(reply)
                return

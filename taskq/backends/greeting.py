"""The request that begins each conversation with a broker process, and its reply."""

from __future__ import annotations

import socket
from typing import Any

from taskq import errors
from taskq.protocol.base import Failed, Request
from taskq.protocol.frames import FrameReader, decode_reply, encode

_CHUNK = 4096


def greet(sock: socket.socket, reader: FrameReader, greeting: Request[Any], rid: int) -> None:
    """Send the greeting under that request id and wait until the broker has accepted it.

    Raises:
        TaskqError: what the broker refuses it with.
        OSError: the connection is lost, or its timeout is over.
    """
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
            return

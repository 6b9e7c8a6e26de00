"""The client's half of the handshake on a blocking socket."""

from __future__ import annotations

import socket
import time

from taskq.errors import AuthenticationFailed
from taskq.protocol.frames import FrameReader, frame
from taskq.transport.handshake import MAX_FRAME, ClientHandshake
from taskq.transport.peercred import check_peer


def greet(sock: socket.socket, key: bytes, address: str, timeout: float) -> None:
    """Prove the key to the broker and have it prove the key to us.

    Args:
        sock: connected, blocking.
        key: the authentication key.
        address: the real path of the unix socket, or empty.
        timeout: seconds for the whole handshake.

    Raises:
        AuthenticationFailed: the broker refused our key, has another one, or is another user's.
        ProtocolError: the peer is no broker, or one of another version.
        OSError: the connection was lost, or `timeout` is over.
    """
    check_peer(sock)
    deadline = time.monotonic() + timeout
    reader = FrameReader(MAX_FRAME)
    handshake = ClientHandshake(key, address)
    sock.settimeout(timeout)
    sock.sendall(frame(handshake.hello()))
    while not handshake.done:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the peer did not finish the handshake in time")
        sock.settimeout(left)
        # a broker that refuses a proof has read it; one that resets the connection has not
        data = sock.recv(MAX_FRAME)
        if not data:
            if handshake.has_proved:
                raise AuthenticationFailed(
                    "the broker refused our key; use the key file of that broker"
                )
            raise ConnectionResetError("the broker hung up during the handshake")
        for body in reader.feed(data):
            if answer := handshake.receive(bytes(body)):
                sock.sendall(frame(answer))

"""The user of the peer of a unix socket, as the kernel reports it."""

from __future__ import annotations

import os
import socket
import struct
import sys

from taskq.errors import AuthenticationFailed

_XUCRED = struct.Struct("=II")  # macOS: version and uid, the head of `struct xucred`
_LOCAL_PEERCRED = 1


def peer_uid(sock: socket.socket) -> int | None:
    """The user id of the peer of a unix socket, or `None` if the system does not report it."""
    if sock.family != socket.AF_UNIX:
        return None
    if sys.platform == "linux":
        layout = struct.Struct("=iII")
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
        return int(layout.unpack(raw)[1])
    if sys.platform == "darwin":
        raw = sock.getsockopt(0, _LOCAL_PEERCRED, 76)
        return int(_XUCRED.unpack_from(raw)[1])
    return None


def check_peer(sock: socket.socket) -> None:
    """Refuse a peer that belongs neither to us nor to root.

    Raises:
        AuthenticationFailed: the peer belongs to another user.
    """
    uid = peer_uid(sock)
    if uid is not None and uid not in (os.geteuid(), 0):
        raise AuthenticationFailed(
            f"the peer on the broker's socket belongs to user {uid}, not to user {os.geteuid()}; "
            "run both as the same user"
        )

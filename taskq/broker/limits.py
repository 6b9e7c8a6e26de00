"""Limits on the resources that clients can make the broker use."""

from __future__ import annotations

from dataclasses import dataclass

from taskq.protocol import frames
from taskq.transport import handshake


@dataclass(frozen=True)
class Limits:
    """Bounds on clients.

    Args:
        connections: open at once; newcomers wait.
        pending_handshakes: connections in their handshake; the oldest goes when one more comes.
        handshake: seconds for a whole handshake.
        frame: bytes of one request.
        backlog: bytes of replies not taken; a client with more does not read, and is dropped.
    """

    connections: int = 10_000
    pending_handshakes: int = 64
    handshake: float = handshake.DEADLINE
    frame: int = frames.MAX_FRAME
    backlog: int = 2 * frames.MAX_FRAME

"""Connections that have not proved yet that they have the key: few, and each for a short time."""

from __future__ import annotations

from taskq.broker.peer import Peer


class PendingHandshakes(dict[int, Peer]):
    """The handshakes in progress by session, oldest first. A plain dictionary to look into: the loop
    does that with every request.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def add(self, peer: Peer) -> Peer | None:
        """Note a newcomer; the oldest, which has to go, if there are too many now."""
        self[peer.session] = peer
        return next(iter(self.values())) if len(self) > self._most else None

    def overdue(self, now: float) -> list[Peer]:
        """Those whose time is over."""
        return [peer for peer in self.values() if peer.deadline <= now]

    def deadline(self) -> float:
        """When the time of the oldest is over; there has to be one."""
        return next(iter(self.values())).deadline

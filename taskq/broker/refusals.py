"""Limits the log lines that a peer can cause: a few a minute, then only their number."""

from __future__ import annotations

import logging

PERIOD = 60.0  # seconds
MOST = 20  # lines in one period

logger = logging.getLogger("taskq.broker")


class Refusals:
    """Logs why connections are refused or closed, without filling the disk for an attacker."""

    def __init__(self) -> None:
        self._until = 0.0
        self._count = 0

    def note(self, what: str, why: object, now: float) -> None:
        """Log it, unless there were many already in this period."""
        if now >= self._until:
            if self._count > MOST:
                logger.warning(
                    "refused or closed %d more connections, without a line for each",
                    self._count - MOST,
                )
            self._until = now + PERIOD
            self._count = 0
        self._count += 1
        if self._count <= MOST:
            logger.warning("%s: %s", what, why)

"""Capacity: how many messages and bytes a queue, or the broker, may hold.

A queue is full when one of its consumer groups has that many messages to finish: those that are
held, parked, scheduled, ready or leased. The broker is full when it keeps that many in memory, dead
letters included. Results make way for messages. Only an enqueue asks; what was accepted always goes on.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from taskq.errors import TaskqError


class Capacity(NamedTuple):
    """Upper bounds; 0 means none. `bytes` counts payloads."""

    messages: int = 0
    bytes: int = 0

    def checked(self) -> Capacity:
        """Return this object. Raises `TaskqError` if a bound is negative."""
        if self.messages < 0 or self.bytes < 0:
            raise TaskqError("a limit must be a number of at least 1, or 0 for none")
        return self

    def bytes_left(self, size: int) -> float:
        """The bytes that may be added to `size`; `inf` without a bound."""
        return self.bytes - size if self.bytes else inf

    def has_room(self, messages: int, size: int) -> bool:
        """Whether `messages` of `size` bytes in total are within the bounds."""
        return not (
            (self.messages and messages > self.messages) or (self.bytes and size > self.bytes)
        )

    def __str__(self) -> str:
        bounds = [f"{self.messages} messages"] if self.messages else []
        bounds += [f"{self.bytes} bytes"] if self.bytes else []
        return " and ".join(bounds)


UNBOUNDED = Capacity()

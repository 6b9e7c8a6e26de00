"""How many messages one claim takes: about 15 ms of work, judged by what the last tasks took."""

from __future__ import annotations

WORTH = 0.015  # seconds of work in one claim: longer than a round trip, shorter than anyone waits
_GROWTH = 4  # a claim is at most so many times the last one; a wrong guess stays small
_WEIGHT = 0.5  # of the latest batch in the moving average


class BatchSizer:
    """The adaptive batch size of one child; it starts at 1, since nothing is known yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._mean = 0.0
        self.size = 1

    def record(self, tasks: int, seconds: float) -> None:
        """Record how many seconds a batch of `tasks` took."""
        if tasks == 0:
            return
        each = seconds / tasks
        self._mean = each if not self._mean else self._mean + _WEIGHT * (each - self._mean)
        # one slow batch shrinks the next claim at once; trust in fast ones is built up
        expected = max(each, self._mean)
        wanted = self._limit if expected * self._limit <= WORTH else int(WORTH / expected)
        self.size = max(1, min(wanted, self.size * _GROWTH, self._limit))

"""A worker's line to the broker: outlives the broker, and never blocks longer than one attempt."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from taskq.backends.port import Broker, Connection
from taskq.errors import BrokerUnavailable
from taskq.protocol.base import Request

T = TypeVar("T")

_FIRST_DELAY = 0.05  # seconds before the second attempt; doubled up to the longest
_LONGEST_DELAY = 1.0
_SILENCE = 2.0  # seconds without a broker before the log tells of it; a restart takes less
_PARTING = 5.0  # seconds for which a process that is to end still looks for the broker


log = logging.getLogger("taskq.worker.link")


class Retrying:
    """When to look for the broker again, and when to give up."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self._since: float | None = None
        self._delay = _FIRST_DELAY
        self._told = False

    def failed(
        self, now: float, budget: float | None = None, why: object = "the broker is gone"
    ) -> float | None:
        """One more attempt has failed: seconds until the next one, or `None` to give up."""
        if self._since is None:
            self._since = now
        left = self._since + (self.budget if budget is None else budget) - now
        if left <= 0:
            return None
        if now - self._since >= _SILENCE and not self._told:
            self._told = True
            log.warning("trying again for %.0f s: %s", left, why)
        delay = min(self._delay, left)
        self._delay = min(self._delay * 2, _LONGEST_DELAY)
        return delay

    def succeeded(self) -> None:
        """The broker answered."""
        if self._told:
            log.info("the broker is back")
        self._since = None
        self._delay = _FIRST_DELAY
        self._told = False


class RetryingConnection:
    """Runs steps on a connection and repeats them when the broker was lost in between.

    Args:
        broker: whom to reach.
        greeting: makes the request that begins each conversation.
        pause: sleeps for so many seconds, less when the process is to end; gives whether it is.
        budget: seconds without a broker after which a step fails.
    """

    def __init__(
        self,
        broker: Broker,
        greeting: Callable[[], Request[Any]] | None,
        pause: Callable[[float], bool],
        budget: float,
    ) -> None:
        self._broker = broker
        self._greeting = greeting
        self._pause = pause
        self._retrying = Retrying(budget)
        self._connection: Connection | None = None
        self.ending = False

    def attempt(self, step: Callable[[Connection], T]) -> T:
        """The result of `step`; it may run several times, each time on a live connection.

        Raises:
            BrokerUnavailable: the budget is spent.
        """
        while True:
            try:
                if self._connection is None:
                    self._connection = self._broker.connect(self._greeting, patience=0)
                result = step(self._connection)
            except BrokerUnavailable as error:
                self.close()
                budget = min(_PARTING, self._retrying.budget) if self.ending else None
                delay = self._retrying.failed(time.monotonic(), budget, error)
                if delay is None:
                    raise
                self.ending = self._pause(delay) or self.ending
            except BaseException:
                self.close()
                raise
            else:
                self._retrying.succeeded()
                return result

    def close(self) -> None:
        """Close the connection; the next step opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(OSError, BrokerUnavailable):
                connection.close()

"""A worker's connection: outlives the broker, and never blocks longer than one attempt."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from taskq.backends.port import Broker, Connection
from taskq.backends.reconnect import Reconnector
from taskq.errors import BrokerUnavailable
from taskq.protocol.base import Request

T = TypeVar("T")

_SILENCE = 2.0  # seconds without a broker before it is logged; a restart takes less
_PARTING = 5.0  # seconds for which a process that is to end still looks for the broker


log = logging.getLogger("taskq.worker.link")


class LoggedReconnector(Reconnector):
    """Says in the log that the broker is gone, unless it is back soon, and that it is back."""

    def __init__(self, budget: float) -> None:
        super().__init__(budget)
        self._is_logged = False

    def failed_because(
        self, why: object, now: float, *, budget: float | None = None
    ) -> float | None:
        """`failed`, and why."""
        delay = self.failed(now, budget=budget)
        lasting = self.lasting(now)
        if delay is not None and lasting >= _SILENCE and not self._is_logged:
            self._is_logged = True
            left = (self.budget if budget is None else budget) - lasting
            log.warning("trying again for %.0f s: %s", left, why)
        return delay

    def succeeded(self) -> None:
        """The broker answered."""
        super().succeeded()
        if self._is_logged:
            self._is_logged = False
            log.info("the broker is back")


class RetryingConnection:
    """Runs steps on a connection and repeats them when the broker was lost in between.

    Args:
        broker: whom to reach.
        greeting: makes the request that begins each conversation.
        pause: sleeps for so many seconds, less when the process is to end; gives whether it is.
        budget: seconds without a broker after which a step fails.
        greeted: called with each reply to the greeting.
    """

    def __init__(
        self,
        broker: Broker,
        greeting: Callable[[], Request[Any]] | None,
        pause: Callable[[float], bool],
        budget: float,
        greeted: Callable[[Any], None] | None = None,
    ) -> None:
        self._broker = broker
        self._greeting = greeting
        self._greeted = greeted
        self._pause = pause
        self._reconnector = LoggedReconnector(budget)
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
                    self._connection = self._broker.connect(
                        self._greeting, self._greeted, patience=0
                    )
                result = step(self._connection)
            except BrokerUnavailable as error:
                self.close()
                budget = min(_PARTING, self._reconnector.budget) if self.ending else None
                delay = self._reconnector.failed_because(error, time.monotonic(), budget=budget)
                if delay is None:
                    raise
                self.ending = self._pause(delay) or self.ending
            except BaseException:
                self.close()
                raise
            else:
                if self._reconnector.is_failing:
                    self._reconnector.succeeded()
                return result

    def close(self) -> None:
        """Close the connection; the next step opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(OSError, BrokerUnavailable):
                connection.close()

"""The attempts of one connection to reach its broker: which errors are retried, which raised."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

from taskq.backends.reconnect import Reconnector
from taskq.errors import AuthenticationFailed, BrokerTimeout, BrokerUnavailable

STEADY = 10.0  # seconds after which a connection counts as one that worked
AFTER_REFUSAL = 0.02  # seconds
_REFUSALS = 2  # a broker that is killed during the handshake looks like one that refuses our key


class Within:
    """Sets `Attempts.deadline` for a block.

    Not a generator: an exception of a signal handler could end that before the block has begun, and
    the deadline would stay.
    """

    __slots__ = ("_attempts", "_timeout")

    def __init__(self, attempts: Attempts, timeout: float | None) -> None:
        self._attempts = attempts
        self._timeout = timeout

    def __enter__(self) -> None:
        timeout = self._timeout
        self._attempts.deadline = None if timeout is None else time.monotonic() + timeout

    def __exit__(self, *_: object) -> None:
        self._attempts.deadline = None


class Attempts:
    """Opens a connection as often as it takes, within a budget, and sleeps in between.

    Attributes:
        answered: whether this connection has brought any reply; its owner sets it.
        deadline: when the present call is given up, by `time.monotonic`, if it has a timeout.

    Args:
        name: of the broker, for errors.
        budget: seconds for which a broker is looked for.
    """

    def __init__(self, name: str, budget: float) -> None:
        self.answered = False
        self.deadline: float | None = None
        self._name = name
        self._budget = budget
        self._reconnector = Reconnector(budget)
        self._opened_at = 0.0

    def within(self, timeout: float | None) -> Within:
        """Give up everything in the block when so many seconds are over; `None`: no bound."""
        return Within(self, timeout)

    def until(self, patience: float) -> float:
        """When a silent broker is given up: after so many seconds, but no later than the call."""
        end = time.monotonic() + patience
        return end if self.deadline is None else min(end, self.deadline)

    def timed_out(self, seconds: float) -> NoReturn:
        """Raise `BrokerTimeout` for a reply that was awaited for so many seconds."""
        raise BrokerTimeout(
            f"the broker at {self._name} was reached and did not answer within {seconds:.3g} s; "
            "`taskq doctor` says what to do"
        )

    def reset(self) -> None:
        """Forget earlier losses: nothing that was sent is left to be sent again."""
        self._reconnector.succeeded()

    def lost(self) -> None:
        """Note a lost connection; sleep if another one was lost before, without a reply in between.

        Raises:
            BrokerUnavailable: it was lost for all of the budget, after each connect too.
        """
        now = time.monotonic()
        if self.answered or now - self._opened_at > STEADY:
            self._reconnector.succeeded()
        is_first = not self._reconnector.is_failing
        delay = self._reconnector.failed(now, budget=self._within_deadline(self._budget))
        if is_first:
            return
        if delay is None:
            # perhaps it is our request that kills it: do not send it for ever
            raise BrokerUnavailable(
                f"the broker at {self._name} goes away again and again before it answers; "
                "see its log"
            )
        time.sleep(delay)

    def open(
        self,
        attempt: Callable[[float], None],
        undo: Callable[[], None],
        budget: float | None = None,
    ) -> None:
        """Repeat `attempt` until it succeeds; it is given the seconds that are left, at least one.

        Args:
            attempt: makes a connection.
            undo: clears away what a failed attempt has left.
            budget: seconds; 0 tries once. Default: the usual one.

        Raises:
            BrokerUnavailable: no broker answered in that time.
            BrokerTimeout: one was reached and did not answer.
            TaskqError: what makes a further attempt useless, such as a refused key.
        """
        began = time.monotonic()
        budget = self._within_deadline(self._budget if budget is None else budget)
        refusals = 0
        while True:
            try:
                attempt(max(began + budget - time.monotonic(), 1.0))
            except AuthenticationFailed:
                undo()
                refusals += 1
                if refusals > _REFUSALS:
                    raise
                time.sleep(AFTER_REFUSAL)
            except BrokerUnavailable:  # a start that has failed; some are an OSError, too
                undo()
                raise
            except OSError as error:
                undo()
                if not self._wait(began, budget):
                    raise self._unavailable(error, budget) from error
            except BaseException:
                undo()
                raise
            else:
                self.answered = False
                self._opened_at = time.monotonic()
                return

    def _within_deadline(self, budget: float) -> float:
        if self.deadline is None:
            return budget
        return min(budget, max(self.deadline - time.monotonic(), 0.0))

    def _wait(self, began: float, budget: float) -> bool:
        """Sleep until the next attempt. Returns false if there is none."""
        delay = self._reconnector.failed(time.monotonic(), began=began, budget=budget)
        if delay is None:
            return False
        time.sleep(delay)
        return True

    def _unavailable(self, error: OSError, budget: float) -> BrokerUnavailable:
        if isinstance(error, TimeoutError):
            return BrokerTimeout(
                f"the broker at {self._name} accepts connections and does not answer; "
                "`taskq doctor` says what to do"
            )
        reason = error.strerror or str(error)
        within = f" within {budget:.3g} s" if budget else ""
        return BrokerUnavailable(
            f"no broker answers at {self._name}{within} ({reason}); "
            "is it running, and is the address right?"
        )

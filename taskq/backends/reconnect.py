"""The reconnect policy of every connection: when to try again, and when to give up."""

from __future__ import annotations

import os
from collections.abc import Callable

from taskq.environment import InvalidVariable

FIRST_DELAY, LONGEST_DELAY = 0.02, 1.0
DEFAULT_BUDGET = "30"


def reconnect_budget() -> float:
    """Seconds for which a lost broker is looked for: `TASKQ_RECONNECT`, else 30.

    Raises:
        InvalidVariable: that variable is not a number of seconds.
    """
    text = os.environ.get("TASKQ_RECONNECT", DEFAULT_BUDGET)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise InvalidVariable(
            f"TASKQ_RECONNECT must be a number of seconds, zero or more, not {text!r}; "
            "write it without a unit, for instance TASKQ_RECONNECT=2"
        )
    return seconds


def _jitter() -> float:
    # not from `random`, which takes milliseconds to import
    return os.urandom(1)[0] / 256


class Reconnector:
    """The delays between attempts to reach a broker, and the end of them.

    Has no clock and does not sleep: the caller passes the time, waits in its own way, and tries again.
    The budget counts from the first failure since the broker last answered, however many connections
    were made meanwhile: a broker that goes away whenever it is asked is as good as none.

    Args:
        budget: seconds after which to give up; 0: after the first failure.
        jitter: gives numbers from 0 to 1, so that ten thousand clients of a broker that died do not
            return at the same instant.
    """

    def __init__(self, budget: float, jitter: Callable[[], float] = _jitter) -> None:
        self.budget = budget
        self._jitter = jitter
        self._since: float | None = None
        self._delay = FIRST_DELAY

    @property
    def is_failing(self) -> bool:
        """Whether an attempt has failed since the broker last answered."""
        return self._since is not None

    def lasting(self, now: float) -> float:
        """The seconds since the first attempt that failed."""
        return 0.0 if self._since is None else now - self._since

    def failed(
        self, now: float, *, began: float | None = None, budget: float | None = None
    ) -> float | None:
        """Note a failed attempt. Returns the seconds until the next one, or `None` to give up.

        Args:
            now: on any clock that does not go back.
            began: when that attempt began; default: now.
            budget: in place of the usual one, for this time.
        """
        if self._since is None:
            self._since = now if began is None else began
        left = self._since + (self.budget if budget is None else budget) - now
        if left <= 0:
            return None
        delay = self._delay * (0.5 + self._jitter() / 2)
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        return min(delay, left)

    def succeeded(self) -> None:
        """Note a reply of the broker, which restores the whole budget."""
        self._since = None
        self._delay = FIRST_DELAY

"""How a lost broker is looked for: backoff, budgets, and when to give up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from taskq.errors import AuthenticationFailed, BrokerTimeout, BrokerUnavailable

FIRST_DELAY, LONGEST_DELAY = 0.02, 1.0
STEADY = 10.0  # seconds after which a connection counts as one that worked
_REFUSALS = 2  # a broker that dies during the handshake looks like one that refuses our key


def reconnect_budget() -> float:
    """Seconds for which a lost broker is looked for: `TASKQ_RECONNECT`, else 30.

    Raises:
        ValueError: that variable is not a number of seconds.
    """
    text = os.environ.get("TASKQ_RECONNECT", "30")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"TASKQ_RECONNECT must be seconds that are not negative, not {text!r}")
    return seconds


class Reconnector:
    """The patience of one conversation with a broker.

    Args:
        name: of the broker, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._answered = False  # whether this connection has brought any reply
        self._opened_at = 0.0
        self._since: float | None = None  # when the losses began that no reply has interrupted
        self._delay = FIRST_DELAY

    def answered(self) -> None:
        """A reply has come: the broker works."""
        self._answered = True

    def reset(self) -> None:
        """The next loss is the first one."""
        self._since = None

    def lost(self, patience: float) -> None:
        """The connection was lost; waits, where that begins to look like a habit.

        Raises:
            BrokerUnavailable: it has been lost for `patience` seconds whenever it was made anew.
        """
        now = time.monotonic()
        if self._since is None or self._answered or now - self._opened_at > STEADY:
            self._since = now
            self._delay = FIRST_DELAY
        elif now - self._since >= patience:
            # perhaps it is our request that kills it: do not send it for ever
            raise BrokerUnavailable(
                f"the broker at {self._name} goes away again and again before it answers; "
                "its log tells why"
            )
        else:
            self._pause()

    def open(
        self, attempt: Callable[[float], None], undo: Callable[[], None], patience: float
    ) -> None:
        """Repeat `attempt` until it succeeds; it is given the seconds that are left, at least one.

        Args:
            attempt: makes a connection.
            undo: clears away what a failed attempt has left.
            patience: seconds; 0 tries once.

        Raises:
            BrokerUnavailable: no broker answered in that time.
            BrokerTimeout: one was reached and did not answer.
            TaskqError: what makes a further attempt useless, such as a refused key.
        """
        deadline = time.monotonic() + patience
        refusals = 0
        while True:
            try:
                attempt(max(deadline - time.monotonic(), 1.0))
                self._answered = False
                self._opened_at = time.monotonic()
                return
            except AuthenticationFailed:
                undo()
                refusals += 1
                if refusals > _REFUSALS:
                    raise
            except OSError as error:
                undo()
                if time.monotonic() + self._delay >= deadline:
                    raise self._unavailable(error, patience) from error
            except BaseException:
                undo()
                raise
            self._pause()

    def _pause(self) -> None:
        # jitter: ten thousand clients of a broker that died do not return at the same instant
        time.sleep(self._delay * (0.5 + os.urandom(1)[0] / 512))
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _unavailable(self, error: OSError, patience: float) -> BrokerUnavailable:
        if isinstance(error, TimeoutError):
            return BrokerTimeout(
                f"the broker at {self._name} accepts connections and does not answer"
            )
        reason = error.strerror or str(error)
        within = f" within {patience:.3g} s" if patience else ""
        return BrokerUnavailable(
            f"no broker answers at {self._name}{within} ({reason}); "
            "is it running, and is the address right?"
        )

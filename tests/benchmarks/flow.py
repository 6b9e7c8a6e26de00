"""Messages at a steady rate, whatever becomes of them.

A flow is open-loop: each burst has its intended moment, and is late if the one before it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.benchmarks.processes import wait_for

BURST = 0.005  # seconds between two bursts
MOST = 20_000  # messages in one call, when much is overdue


class Flow:
    """Sends the numbers from `first` on.

    Args:
        rate: messages a second.
        count: how many there are.
        send: enqueues these numbers.
    """

    def __init__(
        self, rate: float, count: int, send: Callable[[range], object], first: int = 0
    ) -> None:
        self.rate = rate
        self.sent = 0
        self.began = 0.0
        self._count = count
        self._first = first
        self._send = send
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._in_background, daemon=True)

    def due(self, at: float) -> int:
        """How many were to be sent by then."""
        bursts = int((at - self.began) / BURST) + 1
        return min(max(int(bursts * BURST * self.rate), 0), self._count)

    def intended(self, n: int) -> float:
        """When number `n` was to be sent, on the clock `time.monotonic`."""
        return self.began + int((n - self._first) / (BURST * self.rate)) * BURST

    def run(self) -> None:
        """Send them all."""
        self.began = time.monotonic()
        bursts = 0
        while self.sent < self._count:
            time.sleep(max(self.began + bursts * BURST - time.monotonic(), 0.0))
            due = min(self.due(time.monotonic()), self.sent + MOST)
            if due > self.sent:
                self._send(range(self._first + self.sent, self._first + due))
                self.sent = due
            bursts = int((time.monotonic() - self.began) / BURST) + 1

    def start(self) -> None:
        """Send them in a thread."""
        self._thread.start()
        wait_for(lambda: self.sent > 0 or self._error is not None, "the flow has begun")

    def join(self) -> None:
        """Wait until all are sent; raises what went wrong."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _in_background(self) -> None:
        try:
            self.run()
        except BaseException as error:
            self._error = error

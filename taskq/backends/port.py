"""The port: all that the client and the worker know of a broker.

A backend carries the requests of `taskq.protocol` to an engine and brings the replies back.
`memory` hands them to an engine in this process, `embedded` to a broker process over a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from taskq.protocol.base import R, Request
from taskq.protocol.consuming import Claim
from taskq.protocol.values import Outcome


class Connection(Protocol):
    """One conversation with a broker. Not thread-safe: each thread has its own.

    A lost connection is re-opened, and the requests in flight are sent again, for as long as the
    reconnect budget lasts; every request of the vocabulary may safely arrive twice. An exception in
    the middle of a call closes the connection, so the next call can never read a stale reply.
    """

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Send `request` and wait for its reply.

        Args:
            timeout: seconds to wait for the reply. In any case a broker that was reached is given up
                when it is silent for 30 s more than the request may park.

        Raises:
            TaskqError: the class that a `Failed` reply names.
            BrokerUnavailable: no broker answered within the reconnect budget.
            BrokerTimeout: the broker was reached and did not answer in time.

        With a timeout nothing takes longer, a search for the broker or its start included, but for
        the moment of the attempt under way and for a large reply that goes on coming.
        """
        ...

    def turn(
        self, outcomes: Sequence[Outcome], claim: Claim | None = None, group: str = "default"
    ) -> list[int]:
        """A consumer's turn, in one round trip: settle what is finished, and claim more.

        Args:
            outcomes: of finished deliveries.
            claim: what to take next; `receive` gives its reply.
            group: of the outcomes; the connection need not have registered for it.

        Returns:
            The receipts that were stale; for them nothing was changed.

        Raises:
            PayloadTooLarge: the outcomes do not fit into a frame together; nothing was sent. See
                `outcomes.in_parts`.
            BrokerUnavailable: as `call`; the outcomes may be given again.
        """
        ...

    def receive(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Wait for the reply of a request given to `send` or `arrived`, or of the claim given to
        `turn`; parameters and errors are those of `call`."""
        ...

    def send(self, request: Request[Any]) -> None:
        """Send a request and return at once; `receive` gives its reply. Calls may go on meanwhile."""
        ...

    def arrived(self, request: Request[Any]) -> bool:
        """Whether the reply of a sent request is here already, so that `receive` returns at once.

        Reads what has come in and never waits (but for a reconnect). Ask before waiting on
        `fileno`, which one read may have emptied of several replies, and again when it is readable.

        Raises:
            BrokerTimeout: the broker was reached, and 30 s after the request may have parked it has
                not answered.
        """
        ...

    def fileno(self) -> int:
        """The descriptor that becomes readable when replies come in."""
        ...

    def due(self) -> float | None:
        """Until when, by `time.monotonic`, to wait for `fileno` at most; `None`: for any time.

        At that time `arrived` has to be asked although nothing has come in. A connection has
        deadlines of its own: a broker that does not answer is noticed at one, and where no process
        keeps the time for the queues, a connection does.
        """
        ...

    def close(self) -> None:
        """Close the conversation; parked requests are forgotten by the broker."""
        ...


class Broker(Protocol):
    """A place that keeps messages. Thread-safe, and safe to use on both sides of a fork.

    `payload_key` signs calls and results (see docs/security.md); `max_payload` is the limit of one
    call or result in bytes.
    """

    url: str
    max_payload: int

    @property
    def payload_key(self) -> bytes:
        """Read when it is first needed: a broker directory may not exist before."""
        ...

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """`Connection.call` on this thread's own connection, which is opened on first use."""
        ...

    def connect(
        self,
        greeting: Callable[[], Request[R]] | None = None,
        greeted: Callable[[R], None] | None = None,
        *,
        patience: float | None = None,
    ) -> Connection:
        """Open a connection of the caller's own.

        Args:
            greeting: makes the request that begins the conversation, after every reconnect too.
            greeted: called with the reply to it, each time.
            patience: the reconnect budget in seconds; default: the broker's. 0 tries once, for
                callers that have a loop of their own to wait in.
        """
        ...

    def close(self) -> None:
        """Close this thread's connection, and the broker itself if it lives in this process."""
        ...

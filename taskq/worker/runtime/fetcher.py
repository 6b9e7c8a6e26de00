"""Claims messages for one consumer and settles what is finished, both in one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from taskq.backends.port import Connection
from taskq.errors import LeaseLost
from taskq.protocol.consuming import Begin, Claim, Claimed
from taskq.protocol.values import Delivered
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.rotation import Rotation
from taskq.worker.runtime.settling import settle_outcomes

PARK = 30.0  # seconds that an idle claim waits at the broker
BURST_PARK = 0.2  # in burst mode: how often to ask whether anything is left


class Waiting(Protocol):
    """How a consumer waits: `Poller.until`."""

    def __call__(self, fd: int | None, seconds: float | None = None) -> bool: ...


class Fetcher:
    """One consumer's claims.

    Args:
        link: the registered connection.
        in_flight: the consumer's buffers.
        rotation: the order of the queues.
        wait: waits for a descriptor; false when the consumer is to stop, or to settle.
        submit: takes the messages.
        burst: ask whether the queues are drained.
    """

    def __init__(
        self,
        link: RetryingConnection,
        in_flight: InFlight,
        rotation: Rotation,
        wait: Waiting,
        submit: Callable[[list[Delivered]], None],
        burst: bool = False,
    ) -> None:
        self._link = link
        self._in_flight = in_flight
        self._rotation = rotation
        self._wait = wait
        self._submit = submit
        self._burst = burst
        self._park = 0.0 if burst else PARK
        self._parked: tuple[Connection, Claim] | None = None
        self._announced: Begin | None = None
        self.drained = False

    def turn(self, n: int) -> None:
        """Settle the outbox, claim up to `n` messages, wait for them, and submit them.

        Returns without messages when the consumer is to stop, when outcomes came into the outbox
        meanwhile, or when the claim's time is over.

        Raises:
            BrokerUnavailable: the reconnect budget is spent; nothing in hand is lost.
        """
        in_flight = self._in_flight
        if self._announced is not None:
            self._take_reply()
        if self._parked is not None:
            n -= self.withdraw()
            if n <= 0:
                self.settle()
                return
        claim = Claim(queues=self._rotation.next(), n=n, wait=self._park)
        outcomes = in_flight.finished()
        if outcomes:
            settle_outcomes(self._link, in_flight, outcomes, claim)
        claimed = self._link.attempt(self._awaiting(claim, sent=bool(outcomes)))
        if claimed is None:
            return
        self.drained = claimed.drained
        if self._burst:  # ask without waiting at first: mostly nothing will come any more
            self._park = 0.0 if claimed.messages else BURST_PARK
        self._submit(claimed.messages)
        if claimed.messages and claimed.messages[0].announce:
            self._announce(claimed.messages[0])

    def _announce(self, message: Delivered) -> None:
        """Say that a message begins now. The reply is taken later: what is sent arrives, whatever
        the task does to this process."""
        begin = self._announced = Begin(
            receipt=message.receipt, id=message.id, group=self._in_flight.group
        )
        self._link.attempt(lambda connection: connection.send(begin))

    def _take_reply(self) -> None:
        begin, self._announced = self._announced, None
        if begin is None:
            return

        def step(connection: Connection) -> None:
            with suppress(LeaseLost):  # settling it shows the same
                connection.receive(begin)

        self._link.attempt(step)

    def settle(self) -> None:
        """Settle the outbox, and nothing else."""
        outcomes = self._in_flight.finished()
        if outcomes:
            settle_outcomes(self._link, self._in_flight, outcomes)

    def withdraw(self) -> int:
        """Withdraw the parked claim, and submit what it has brought in the last moment.

        Returns:
            How many messages that were.
        """
        return self._link.attempt(self._withdraw)

    def leave(self) -> None:
        """Withdraw the parked claim, settle the outbox, and return all that has not begun."""
        self._take_reply()
        self.withdraw()
        self._in_flight.outbox.extend(self._in_flight.unstarted())
        self.settle()

    def _withdraw(self, connection: Connection) -> int:
        parked, self._parked = self._parked, None
        if parked is None or parked[0] is not connection:
            return 0
        # another claim takes the place of the parked one, which is answered first
        connection.call(Claim(queues=[], n=0, wait=0.0))
        if not connection.arrived(parked[1]):
            return 0
        messages = connection.receive(parked[1]).messages
        self._submit(messages)
        return len(messages)

    def _awaiting(self, claim: Claim, sent: bool) -> Callable[[Connection], Claimed | None]:
        """A step that waits for the reply of `claim`; on a new connection it asks again."""

        def step(connection: Connection) -> Claimed | None:
            nonlocal sent
            if not sent:
                connection.send(claim)
            sent = False
            while not connection.arrived(claim):
                due = connection.due()
                left = None if due is None else max(due - time.monotonic(), 0.0)
                readable = self._wait(connection.fileno(), left)
                if not readable and (due is None or time.monotonic() < due):
                    self._parked = (connection, claim)
                    return None
            return connection.receive(claim)

        return step

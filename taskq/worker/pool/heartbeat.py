"""The worker's heartbeat: one parked request that renews every lease and brings cancellations.

It lives in the launcher, outside the children, so a task that holds the GIL keeps its lease. The
host calls `poll` whenever `fileno` is readable or the delay that `poll` gave is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from taskq.backends.port import Broker, Connection
from taskq.errors import BrokerUnavailable, TaskqError
from taskq.protocol.consuming import Heartbeat, HeartbeatReply, Leave, Reap, Reaped
from taskq.protocol.values import WorkerInfo
from taskq.worker.pool.finder import Finder
from taskq.worker.runtime.retrying import LoggedReconnector

PARK = 10.0  # seconds; the broker answers sooner where a lease is shorter
OnReaped = Callable[[Reaped], None]

_CALL = 5.0  # seconds that a worker which ends waits for the broker, and for each of its answers


class Heartbeater:
    """Sends the heartbeats of a worker. Only `leave` waits for anything.

    Args:
        broker: where the leases are; connecting to it starts none.
        finder: looks for it when it is lost, and may start it.
        worker: the worker's name there.
        info: what `taskq status` shows.
        on_reply: called with each reply.
        running: gives the receipts of the tasks that run.
        budget: seconds without a broker after which `lost` is set.
    """

    def __init__(
        self,
        broker: Broker,
        finder: Finder,
        worker: str,
        info: WorkerInfo,
        on_reply: Callable[[HeartbeatReply], None],
        running: Callable[[], list[int]],
        budget: float,
    ) -> None:
        self._broker = broker
        self._finder = finder
        self._is_lost = False  # so that the next connection may take its time
        self._worker = worker
        self._info = info
        self._on_reply = on_reply
        self._reconnector = LoggedReconnector(budget)
        self._running = running
        self._retry_at = 0.0
        self._connection: Connection | None = None
        self._beat = Heartbeat(worker=worker, info=info, wait=PARK)
        self._reaps: deque[tuple[Reap, OnReaped]] = deque()
        self.lost: TaskqError | None = None

    def fileno(self) -> int | None:
        """The descriptor to wait on, while there is a connection or one is looked for."""
        return self._connection.fileno() if self._connection is not None else self._finder.fileno()

    def reap(self, request: Reap, on_reaped: OnReaped) -> None:
        """Report a dead child to the broker with the next `poll`; `on_reaped` gets the reply."""
        self._reaps.append((request, on_reaped))

    def poll(self, now: float) -> float | None:
        """Do what is due; returns seconds until the next call at the latest, or `None`: for any time.

        Args:
            now: by `time.monotonic`.
        """
        if self.lost is not None:
            return None
        if self._connection is None and now < self._retry_at:
            return self._retry_at - now
        try:
            connection = self._connection or self._connect()
            if connection is None:
                return None  # until the search for the broker ends
            self._talk(connection)
        except BrokerUnavailable as error:
            self.drop()
            self._is_lost = True
            delay = self._reconnector.failed_because(error, now)
            if delay is None:
                self.lost = error
                return None
            self._retry_at = now + delay
            return delay
        except TaskqError as error:
            self.drop()
            self.lost = error
            return None
        self._reconnector.succeeded()
        # a broker that does not answer is noticed at that time
        due = None if self._connection is None else self._connection.due()
        return None if due is None else max(due - now, 0.0)

    def leave(self) -> None:
        """Release what the worker still holds, if the broker can be reached."""
        with suppress(TaskqError):
            connection = self._connection or self._connect()
            if connection is None:
                self._finder.wait(_CALL)
                connection = self._connect()
            if connection is not None:
                while self._reaps:
                    request, on_reaped = self._reaps[0]
                    # received, where `poll` has sent it: a second reply would name no tasks
                    on_reaped(connection.receive(request, timeout=_CALL))
                    self._reaps.popleft()
                connection.call(Leave(worker=self._worker), timeout=_CALL)
        self.drop()

    def drop(self) -> None:
        """Close the connection, and give up the search for the broker."""
        self._finder.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TaskqError):
                connection.close()

    def _connect(self) -> Connection | None:
        """Connect where that takes no time; `None`: the broker is being looked for."""
        if self._is_lost:
            if not self._finder.found():
                return None
            self._is_lost = False
        connection = self._connection = self._broker.connect(patience=0)
        self._send(connection)
        return connection

    def _talk(self, connection: Connection) -> None:
        while self._reaps:
            request, on_reaped = self._reaps[0]
            if not connection.arrived(request):  # this also sends it, the first time
                break
            reaped = connection.receive(request)
            self._reaps.popleft()
            on_reaped(reaped)
        while connection.arrived(self._beat):
            reply = connection.receive(self._beat)
            self._on_reply(reply)
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        self._beat = Heartbeat(
            worker=self._worker, info=self._info, wait=PARK, running=self._running()
        )
        connection.send(self._beat)

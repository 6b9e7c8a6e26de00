"""Consumers: claim, run and settle until they are stopped. Used by children and threads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from taskq.application import App
from taskq.backends.reconnect import reconnect_budget
from taskq.errors import BrokerUnavailable, TaskqError
from taskq.protocol.consuming import Register, Registered, Settle
from taskq.worker.identity import Identity
from taskq.worker.runtime.executors import Executor, ExecutorContext, Main
from taskq.worker.runtime.fetcher import Fetcher
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.limits import Alarm
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.rotation import Rotation
from taskq.worker.runtime.slot import Slot
from taskq.worker.runtime.waking import Poller, Waker
from taskq.worker.settings import MAX_BATCH

log = logging.getLogger("taskq.worker")


class Ending(Enum):
    """The reason why a consumer has left."""

    STOPPED = auto()
    DRAINED = auto()
    WORN_OUT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """When a consumer leaves by itself, and how much it claims at once."""

    batch: int = MAX_BATCH
    burst: bool = False
    max_tasks: int | None = None
    max_memory: int | None = None


class Consumer:
    """Fetcher and executor of one consumer.

    Attributes:
        tidy: called after each batch, to undo what tasks have done to the process.

    Args:
        app: whose tasks it runs.
        identity: who it is at the broker.
        bounds: when it leaves by itself.
        slot: where the launcher sees what it runs.
        alarm: raises `TaskTimeout` in its thread.
        waker: ends its sleep.
        armed: called when there is a deadline that the launcher does not wait for yet.
        memory: gives the resident memory in bytes.
        parent: a descriptor that is readable when the launcher is gone.
        executor: makes what runs the messages.
    """

    def __init__(
        self,
        app: App,
        identity: Identity,
        bounds: Bounds,
        slot: Slot,
        alarm: Alarm,
        waker: Waker,
        *,
        armed: Callable[[], None] = lambda: None,
        memory: Callable[[], int] = lambda: 0,
        parent: int | None = None,
        executor: Callable[[ExecutorContext], Executor] = Main,
    ) -> None:
        self._app = app
        self._is_stale = False  # the app has tasks that the broker does not know us to have
        self._epoch: str | None = None  # of the broker's books
        self._identity = identity
        self._bounds = bounds
        self._slot = slot
        self._waker = waker
        self._memory = memory
        self.tidy: Callable[[], None] = lambda: None
        self._in_flight = in_flight = InFlight(identity.group)
        self._poller = Poller(waker, self._is_called, parent, self.stop)
        # outcomes that come while it waits for messages are settled at once
        waiting = Poller(
            waker, lambda: self._is_called() or bool(in_flight.outbox), parent, self.stop
        )
        self._link = RetryingConnection(
            app.broker, self._greeting, self._pause, reconnect_budget(), self._on_registered
        )
        self._executor = executor(
            ExecutorContext(
                app=app,
                identity=identity,
                in_flight=in_flight,
                slot=slot,
                alarm=alarm,
                armed=armed,
                batch=bounds.batch,
                settle=lambda: self._fetcher.settle(),
                wake=waker.wake,
                tidy=lambda: self.tidy(),
            )
        )
        self._fetcher = Fetcher(
            self._link,
            in_flight,
            Rotation(identity.queues),
            waiting.until,
            self._executor.submit,
            bounds.burst,
        )

    @property
    def name(self) -> str:
        """Its name at the broker."""
        return self._identity.consumer

    def join(self) -> None:
        """Register at the broker.

        Raises:
            TaskqError: the broker cannot be reached, or refuses.
        """
        self._link.attempt(lambda connection: connection.call(Settle(outcomes=[])))

    def stop(self) -> None:
        """Leave after the task that is running; safe in signal handlers and from any thread."""
        slot, in_flight = self._slot, self._in_flight
        slot.in_hand = len(in_flight.held)
        slot.early_running = sum(receipt not in in_flight.held for receipt in slot.running)
        slot.early_waiting = sum(message.ack_early for message in list(in_flight.inbox))
        in_flight.stopping = True
        self._executor.wake()
        self._waker.wake()

    def renew(self) -> None:
        """Register again, since the app has new tasks; from any thread."""
        self._is_stale = True
        self._waker.wake()

    def run(self) -> Ending:
        """Claim and run until it is time to leave; then hand back what has not begun.

        Raises:
            BrokerUnavailable: the reconnect budget is spent.
            TaskqError: the broker refuses.
        """
        self._executor.start()
        try:
            ending = self._live()
            self._part()
        except TaskqError as error:
            self._part_without_broker()
            is_gone = isinstance(error, BrokerUnavailable)
            if not is_gone or not self._in_flight.stopping or self._in_flight.held:
                raise
            # with nothing in flight a broker that is gone is no loss
            ending = Ending.STOPPED
        self._slot.in_hand = 0
        return ending

    def _live(self) -> Ending:
        executor = self._executor
        while (ending := self._ending()) is None:
            if self._is_stale:
                self._is_stale = False
                self._fetcher.withdraw()
                self._link.attempt(lambda connection: connection.call(self._greeting()))
                executor.drain()
            self._fetcher.turn(self._claim_size())
            executor.drain()
        return ending

    def _ending(self) -> Ending | None:
        bounds = self._bounds
        if self._in_flight.stopping:
            return Ending.STOPPED
        if bounds.burst and self._fetcher.drained:
            return Ending.DRAINED
        if bounds.max_tasks is not None and self._slot.started >= bounds.max_tasks:
            return Ending.WORN_OUT
        # not before the first task: what the app itself takes is no reason to start again
        most = bounds.max_memory
        if most is not None and self._slot.started and self._memory() > most:
            return Ending.WORN_OUT
        return None

    def _claim_size(self) -> int:
        free, most = self._executor.free, self._bounds.max_tasks
        if most is None:
            return free
        return min(free, most - self._slot.started)

    def _part(self) -> None:
        self._executor.finish()
        self._slot.in_hand = len(self._in_flight.held)
        self._fetcher.leave()
        self._executor.close()
        self._link.close()

    def _part_without_broker(self) -> None:
        """Run what is acknowledged early; the broker delivers the rest again by itself."""
        self._executor.finish()
        self._in_flight.unstarted()
        self._executor.close()
        self._link.close()

    def _is_called(self) -> bool:
        return self._in_flight.stopping or self._is_stale

    def _greeting(self) -> Register:
        # a task that has closed every descriptor has lost us this connection, too
        if self._poller.is_cut_off:
            self._in_flight.stopping = True
        return self._identity.register(list(self._app.tasks), list(self._in_flight.held))

    def _on_registered(self, reply: Registered) -> None:
        """On each new connection. Receipts of books that the broker has lost mean nothing."""
        if self._epoch not in (None, reply.epoch):
            dropped = self._in_flight.drop()
            log.warning(
                "the broker has come back without its messages; %d that had not begun are dropped, "
                "and results of what runs are not kept",
                dropped,
            )
        self._epoch = reply.epoch

    def _pause(self, seconds: float) -> bool:
        if self._in_flight.stopping:
            time.sleep(seconds)
        else:
            self._poller.until(None, seconds)
        return self._in_flight.stopping

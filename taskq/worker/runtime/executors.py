"""Executors: run the messages of one consumer. `Main` runs them in the consumer's thread.

The consumer claims as many messages as an executor is `free` to take, submits them, and drains;
outcomes go to the outbox of `InFlight`, from where the fetcher settles them. How another executor
fits in is in docs/decisions/0022-executors.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from taskq.application import App
from taskq.backends.reconnect import reconnect_budget
from taskq.protocol.values import Delivered
from taskq.worker.identity import Identity
from taskq.worker.runtime.batch_sizer import BatchSizer
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.limits import Alarm
from taskq.worker.runtime.processor import Processor
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.slot import Slot
from taskq.worker.runtime.slow_task_guard import SlowTaskGuard

_UNSETTLED = 8 * 2**20  # bytes of results that may wait for the end of a batch


class Executor(Protocol):
    """What a consumer asks of an executor. All methods but `wake` are called in its thread."""

    @property
    def free(self) -> int:
        """How many more messages it takes; at least 1 after `drain`, unless it is to stop."""
        ...

    def start(self) -> None:
        """Start the threads that it needs."""
        ...

    def submit(self, messages: list[Delivered]) -> None:
        """Take claimed messages, at most `free` of them."""
        ...

    def drain(self) -> None:
        """Return when it can take more. The outcomes so far are in the outbox.

        One that runs messages elsewhere returns at once while it is free, and calls
        `ExecutorContext.wake` for each outcome.
        """
        ...

    def wake(self) -> None:
        """The consumer is to stop; safe in signal handlers and from any thread."""
        ...

    def finish(self) -> None:
        """Wait for what has begun; a second call returns at once. From here on it touches nothing in
        hand."""
        ...

    def close(self) -> None:
        """Run what is left in the inbox, which no other consumer would get, and free everything."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorContext:
    """What a consumer gives its executor.

    Args:
        app: whose tasks it runs.
        identity: who the consumer is at the broker.
        in_flight: inbox and outbox.
        slot: where the launcher sees what runs; one cell for each task that runs at a time.
        alarm: raises `TaskTimeout` in the consumer's thread.
        armed: reports a new deadline to the launcher.
        batch: the most messages of one claim.
        settle: settles the outbox now; in the consumer's thread only.
        wake: ends the consumer's wait, so that it settles; from any thread.
        tidy: called after each batch, to undo what tasks have done to the process.
    """

    app: App
    identity: Identity
    in_flight: InFlight
    slot: Slot
    alarm: Alarm
    armed: Callable[[], None]
    batch: int
    settle: Callable[[], None]
    wake: Callable[[], None]
    tidy: Callable[[], None]


class Main:
    """Runs one message after the other in the consumer's thread, and a batch at a time.

    A slow-task guard settles and hands back the rest of a batch that takes long.
    """

    def __init__(self, context: ExecutorContext) -> None:
        self._in_flight = in_flight = context.in_flight
        self._slot = context.slot
        self._settle = context.settle
        self._tidy = context.tidy
        self._processor = Processor(
            context.app,
            context.identity.worker,
            context.slot,
            context.alarm,
            context.armed,
            context.identity.group,
        )
        self._sizer = BatchSizer(context.batch)
        self._guard = SlowTaskGuard(
            in_flight,
            RetryingConnection(context.app.broker, None, self._nap, reconnect_budget()),
            self._processor.reports,
        )

    @property
    def free(self) -> int:
        """See `Executor`: about 15 ms of work."""
        return self._sizer.size

    def submit(self, messages: list[Delivered]) -> None:
        """See `Executor`."""
        self._in_flight.take(messages)

    def start(self) -> None:
        """See `Executor`."""
        self._guard.start()

    def drain(self) -> None:
        """Run what is in the inbox; the guard may take from its other end meanwhile."""
        in_flight, processor = self._in_flight, self._processor
        inbox, outbox, run = in_flight.inbox, in_flight.outbox, processor.run
        if processor.cancellations.receipts:
            processor.cancellations.keep(in_flight.held, in_flight.newest)
        if not inbox:
            return
        in_flight.began = began = time.monotonic()
        if len(inbox) > 1 and self._guard.asleep:
            self._guard.wake()
        count = 0
        while inbox and not in_flight.stopping:
            try:
                message = inbox.popleft()
            except IndexError:
                break
            outcome = run(message)
            count += 1
            if outcome is not None:
                outbox.append(outcome)
            if processor.unsettled_bytes > _UNSETTLED:
                processor.unsettled_bytes = 0
                self._settle()
        in_flight.began = 0.0
        self._tidy()
        self._sizer.record(count, time.monotonic() - began)

    def wake(self) -> None:
        """See `Executor`."""
        self._guard.wake()

    def finish(self) -> None:
        """See `Executor`."""
        self._guard.end()

    def close(self) -> None:
        """See `Executor`."""
        inbox, slot = self._in_flight.inbox, self._slot
        slot.early_running = 1
        while inbox:
            message = inbox.popleft()
            slot.early_waiting = len(inbox)
            self._processor.run(message)
        self._processor.close()

    def _nap(self, seconds: float) -> bool:
        time.sleep(seconds)
        return self._in_flight.stopping

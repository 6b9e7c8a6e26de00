"""Executors: the one that runs messages in the consumer's thread, and that others fit in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from taskq.protocol.operating import GetStats
from taskq.protocol.values import Delivered
from taskq.worker.identity import Identity
from taskq.worker.runtime.consumer import Bounds, Consumer, Ending
from taskq.worker.runtime.executors import ExecutorContext, Main
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.processor import Processor
from taskq.worker.runtime.slot import Slot
from taskq.worker.runtime.waking import Waker
from tests.kit.fakes import FakeAlarm, FakeApp
from tests.kit.waiting import wait_until

IDENTITY = Identity("w", "w/1", "default", (("q", 1),))


def add(a: int, b: int) -> int:
    return a + b


def big() -> bytes:
    return bytes(3 * 2**20)


def test_large_results_do_not_wait_for_the_end_of_the_batch() -> None:
    app, in_flight = FakeApp(big), InFlight()
    settled: list[int] = []
    main = Main(
        ExecutorContext(
            app=app,
            identity=IDENTITY,
            in_flight=in_flight,
            slot=Slot(),
            alarm=FakeAlarm(),
            armed=lambda: None,
            batch=128,
            settle=lambda: settled.append(len(in_flight.finished())),
            wake=lambda: None,
            tidy=lambda: None,
        )
    )
    main.submit([app.claim_as("w/1", "big", f"id{number}") for number in range(4)])
    main.drain()
    assert settled == [3]
    assert len(in_flight.outbox) == 1


class Threads:
    """An executor with threads, as small as the protocol allows: it shows that one fits."""

    def __init__(self, context: ExecutorContext, count: int) -> None:
        self._context = context
        self._calls: SimpleQueue[Delivered | None] = SimpleQueue()
        self._busy = 0
        self._changed = threading.Condition()
        self._is_stopping = False
        # the processor takes the first cell of its slot: each thread has its own
        self._threads = [threading.Thread(target=self._run, args=(Slot(),)) for _ in range(count)]

    @property
    def free(self) -> int:
        return len(self._threads) - self._busy

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, messages: list[Delivered]) -> None:
        self._context.in_flight.take(messages)
        self._context.in_flight.inbox.clear()
        with self._changed:
            self._busy += len(messages)
        for message in messages:
            self._calls.put(message)

    def drain(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.free > 0 or self._is_stopping)

    def wake(self) -> None:
        self._is_stopping = True

    def finish(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Nothing is left."""

    def _run(self, slot: Slot) -> None:
        context = self._context
        processor = Processor(context.app, "w", slot, FakeAlarm(), context.armed)
        while (message := self._calls.get()) is not None:
            outcome = processor.run(message)
            if outcome is not None:
                context.in_flight.outbox.append(outcome)
            with self._changed:
                self._busy -= 1
                self._changed.notify()
            context.wake()
        processor.close()


@contextmanager
def threads_run(app: FakeApp) -> Iterator[None]:
    """A consumer with three threads, which stops at the end of the block."""
    waker = Waker()
    consumer = Consumer(
        app,
        IDENTITY,
        Bounds(),
        Slot(),
        FakeAlarm(),
        waker,
        executor=lambda context: Threads(context, 3),
    )
    endings: list[Ending] = []
    thread = threading.Thread(target=lambda: endings.append(consumer.run()))
    thread.start()
    try:
        yield
    finally:
        consumer.stop()
        thread.join()
        waker.close()
    assert endings == [Ending.STOPPED]


def counts(app: FakeApp) -> tuple[int, int, int]:
    """How many messages have succeeded, are leased, and are ready."""
    (group,) = app.broker.call(GetStats()).queues
    return group.succeeded, group.leased, group.ready


def test_threads_fit_in_place_of_main() -> None:
    app = FakeApp(add)
    for number in range(50):
        app.enqueue("add", f"id{number}", number, 1)
    with threads_run(app):
        wait_until(lambda: counts(app) == (50, 0, 0))


def test_messages_run_at_the_same_time_and_settle_as_they_finish() -> None:
    meeting, gate = threading.Barrier(3), threading.Event()

    def meet(stay: bool) -> None:
        meeting.wait(20)
        if stay:
            gate.wait(20)

    app = FakeApp(meet)
    for number in range(3):
        app.enqueue("meet", f"id{number}", number > 0)
    with threads_run(app):
        try:
            wait_until(lambda: counts(app) == (1, 2, 0))  # settled while the others run
        finally:
            gate.set()
    assert counts(app) == (3, 0, 0)  # what ran at the stop is settled, too


def test_what_comes_later_is_taken_while_others_run() -> None:
    gate = threading.Event()

    def stay(first: bool) -> None:
        if first:
            gate.wait(20)

    app = FakeApp(stay)
    app.enqueue("stay", "first", True)
    with threads_run(app):
        try:
            wait_until(lambda: counts(app) == (0, 1, 0))
            for number in range(9):
                app.enqueue("stay", f"id{number}", False)
            wait_until(lambda: counts(app) == (9, 1, 0))
        finally:
            gate.set()
        wait_until(lambda: counts(app) == (10, 0, 0))

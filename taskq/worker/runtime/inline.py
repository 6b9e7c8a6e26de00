"""Worker threads in this process, for `memory:` brokers: the same consumer, no child processes.

A thread cannot be killed, so `timeout=` is an exception only, terminating a task only asks it, and
one that does not end in time is left behind.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from taskq.application import App, queues_of
from taskq.backends.port import Broker
from taskq.errors import TaskqError
from taskq.protocol.consuming import Heartbeat, Leave
from taskq.worker.identity import Identity, worker_info, worker_name
from taskq.worker.runtime.consumer import Bounds, Consumer
from taskq.worker.runtime.limits import ThreadAlarm
from taskq.worker.runtime.slot import Slot
from taskq.worker.runtime.waking import Waker

# seconds that a heartbeat parks: how long its thread may outlive the block, and a task that is
# defined inside the block may be unknown
_BEAT = 0.1


@contextmanager
def run_threads(
    app: App, n: int, *, group: str = "default", shutdown_timeout: float = 30.0
) -> Iterator[None]:
    """Run `n` worker threads for the block; at its end they finish what they are running.

    Args:
        shutdown_timeout: seconds that they have for it.

    Raises:
        ValueError: `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"the number of worker threads must be at least 1, not {n}")
    worker = worker_name("threads")
    threads = [_WorkerThread(app, worker, number, group) for number in range(1, n + 1)]
    pulse = _Pulse(app, worker, group, threads)
    try:
        for thread in threads:
            thread.consumer.join()
        pulse.start()
        for thread in threads:
            thread.start()
        yield
    finally:
        for thread in threads:
            thread.consumer.stop()
        deadline = time.monotonic() + shutdown_timeout
        late = [thread for thread in threads if not thread.finish(deadline)]
        pulse.stop()
        if late:
            warnings.warn(
                f"{len(late)} tasks have not ended within {shutdown_timeout:g} s; a thread cannot "
                "be killed, so they go on, and their calls go back to the queue",
                RuntimeWarning,
                stacklevel=3,
            )


class _WorkerThread:
    """One worker thread."""

    def __init__(self, app: App, worker: str, number: int, group: str) -> None:
        self.slot = Slot()
        self._waker = Waker()
        queues = tuple((name, 1) for name in queues_of(app))
        identity = Identity(worker, f"{worker}/{number}", group, queues)
        self.consumer = Consumer(app, identity, Bounds(), self.slot, ThreadAlarm(), self._waker)
        self._thread = threading.Thread(
            target=self.consumer.run, name=identity.consumer, daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def finish(self, deadline: float) -> bool:
        """Wait for the thread until then, by `time.monotonic`; whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(deadline - time.monotonic(), 0.0))
            if self._thread.is_alive():
                return False
        self._waker.close()
        return True


class _Pulse:
    """The thread of the heartbeats; in waiting for them it also moves the broker's clock."""

    def __init__(self, app: App, worker: str, group: str, threads: list[_WorkerThread]) -> None:
        self._broker: Broker = app.broker
        self._tasks = app.tasks
        self._known = len(app.tasks)
        self._worker = worker
        self._info = worker_info(group, queues_of(app), len(threads))
        self._workers = threads
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="taskq-pulse", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the broker; the thread ends by itself."""
        self._stopping = True
        with suppress(TaskqError):
            self._broker.call(Leave(worker=self._worker))

    def _run(self) -> None:
        with suppress(TaskqError):
            while not self._stopping:
                beat = Heartbeat(worker=self._worker, info=self._info, wait=_BEAT)
                reply = self._broker.call(beat)
                for stop in reply.stop:
                    for thread in self._workers:
                        if thread.consumer.name == stop.consumer:
                            thread.slot.post(stop.receipt)
                is_known = self._known == len(self._tasks)
                self._known = len(self._tasks)
                for thread in self._workers:
                    thread.slot.flush()
                    if not is_known:  # a task was defined inside the block
                        thread.consumer.renew()
        with suppress(TaskqError):
            self._broker.close()

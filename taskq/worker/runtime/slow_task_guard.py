"""A thread that acts for a consumer while its main thread runs a long task.

When a batch has been running for 100 ms it hands back what has not begun and settles what is
finished, so that a slow task holds no fast one. It also sends the progress that tasks report.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue

from taskq.backends.port import Connection
from taskq.errors import BrokerUnavailable, LeaseLost, TaskqError
from taskq.protocol.consuming import Report
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.progress import ProgressReports
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.settling import settle_outcomes

PATIENCE = 0.1  # seconds that a batch may run before its rest is handed back
REPORT_EVERY = 0.05  # seconds between two looks at the progress of tasks
_LINGER = 5  # looks at an idle consumer before the thread sleeps for good

log = logging.getLogger("taskq.worker")


class SlowTaskGuard:
    """The guard of one consumer.

    `wake` may be called from a signal handler: `SimpleQueue.put` is reentrant.
    """

    def __init__(
        self, in_flight: InFlight, link: RetryingConnection, reports: ProgressReports
    ) -> None:
        self._in_flight = in_flight
        self._reports = reports
        reports.on_report = self._on_report
        self._link = link
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._idle_looks = 0
        self._handed_back = 0.0  # when the batch began whose rest was handed back
        self._thread = threading.Thread(target=self._run, name="taskq-slow-task-guard", daemon=True)
        self.asleep = True

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """A batch has begun that may need it, or the consumer is to stop."""
        self.asleep = False
        self._calls.put(True)

    def _on_report(self) -> None:
        """A task has reported. `asleep` is read after the report is there: see `_overlooked`."""
        if self.asleep:
            self.wake()

    def end(self) -> None:
        """Have the thread end, and wait until the broker has what it is handing back.

        The process must not end before: what is finished and not settled would run again.
        """
        self._calls.put(False)
        self._thread.join()

    def poll(self, now: float) -> float | None:
        """Do what is due; returns seconds until the next look, or `None`: not before `wake`."""
        if self._reports.pending:
            self._send_reports()
        return self._look_at_batch(now)

    def _send_reports(self) -> None:
        for report in self._reports.take():
            try:
                self._link.attempt(partial(_send, report))
            except LeaseLost:
                self._reports.refused(report.receipt)
            except TaskqError as error:
                log.warning("progress was not reported: %s", error)

    def _look_at_batch(self, now: float) -> float | None:
        in_flight = self._in_flight
        began = in_flight.began
        if not began:
            self._idle_looks += 1
            return PATIENCE if self._idle_looks < _LINGER else None
        self._idle_looks = 0
        due = began + PATIENCE - now
        if due > 0 and not in_flight.stopping:
            return due
        self._handed_back = began
        self._hand_back()
        return None

    def _hand_back(self) -> None:
        in_flight = self._in_flight
        outcomes = in_flight.finished() + in_flight.unstarted()
        if not outcomes:
            return
        try:
            settle_outcomes(self._link, in_flight, outcomes)
        except BrokerUnavailable:
            pass  # the main thread will settle them, or give up for both of us
        except TaskqError as error:
            log.warning("the slow-task guard could not settle: %s", error)

    def _run(self) -> None:
        while True:
            delay = self.poll(time.monotonic())
            if delay is None:
                self.asleep = True
                if self._overlooked():
                    self.asleep = False
                    self._gather()
                    continue
            try:
                if not self._calls.get(timeout=delay):
                    break
            except Empty:
                continue
            self._gather()
        self._link.close()

    def _gather(self) -> None:
        """Where there are reports, let tasks replace them for a moment by later ones."""
        if self._reports.pending and not self._in_flight.stopping:
            time.sleep(REPORT_EVERY)

    def _overlooked(self) -> bool:
        """Whether a batch began, or a task reported, just before `asleep` was set, without a call."""
        if self._reports.pending:
            return True
        began = self._in_flight.began
        # however long ago: this thread may have been kept waiting between the look and now
        return bool(began and self._in_flight.inbox and began != self._handed_back)


def _send(report: Report, connection: Connection) -> None:
    connection.call(report)

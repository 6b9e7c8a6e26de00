"""The worker's first process: signals, heartbeats, exit code. It never imports the user's app.

It has one thread, so forking a child is safe at any time, and a reload is a restart of the
children. Everything it waits for comes through one selector.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time

from taskq.backends.reconnect import reconnect_budget
from taskq.protocol.consuming import HeartbeatReply
from taskq.worker import logs
from taskq.worker.identity import worker_info, worker_name
from taskq.worker.pool import notes
from taskq.worker.pool.checking import show_app
from taskq.worker.pool.deaths import Death
from taskq.worker.pool.finder import BrokerFinder
from taskq.worker.pool.heartbeat import Heartbeater
from taskq.worker.pool.inputs import Inputs
from taskq.worker.pool.orphans import reap_orphans
from taskq.worker.pool.stacks import print_own_stacks
from taskq.worker.pool.start_report import StartReport
from taskq.worker.pool.supervisor import Supervisor
from taskq.worker.runtime.unknown import UnknownTasks
from taskq.worker.settings import WorkerSettings

EXIT_CLEAN = 0
EXIT_CUT = 1
_SLOW_START = 5.0  # seconds after which it is logged what the start waits for

log = logging.getLogger("taskq.worker")


def run(settings: WorkerSettings) -> int:
    """Run a worker until it has to end.

    Returns:
        0 clean · 1 crashed, or work was cut short · 2 the app cannot be imported · 3 no broker.
    """
    logs.set_up(settings.log_level, settings.log_format)
    return Launcher(settings).run()


class Launcher:
    """One worker."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._worker = worker_name(settings.name)
        self._heartbeater: Heartbeater | None = None
        self._finder: BrokerFinder | None = None
        self._inputs = Inputs(
            settings.owner_fd, lambda child: self._supervisor.listen(child), self._orphaned
        )
        self._supervisor = Supervisor(
            settings,
            self._worker,
            self,
            self._inputs.watch_child,
            self._inputs.unwatch_child,
        )
        self._deaths: list[Death] = []
        self._left_over: list[str] = []
        self._unknown = UnknownTasks(settings.group)
        self._exit = EXIT_CLEAN
        self._slow_at: float | None = time.monotonic() + _SLOW_START  # `None`: it has been logged
        self._deadline: float | None = None  # of the drain
        self._killed = False
        self._report = StartReport(settings.ready_fd)

    def run(self) -> int:
        """The whole life."""
        self._inputs.open()
        try:
            while not self._supervisor.over:
                delay = self.poll(time.monotonic())
                self._inputs.watch_heartbeat(
                    None if self._heartbeater is None else self._heartbeater.fileno()
                )
                self._inputs.wait(delay)
        finally:
            self._end()
        return self._exit

    # --- the loop ---------------------------------------------------------------------------

    def poll(self, now: float) -> float | None:
        """Do all that is due; returns seconds until the next time, or `None`."""
        signals = self._inputs.signals
        while signals:
            self._on_signal(signals.pop(0), now)
        if os.getpid() == 1:
            finder = self._finder.pid if self._finder is not None else None
            reap_orphans({child.pid for child in self._supervisor.children} | {finder or 0})
        delays = [self._supervisor.poll(now)]
        if self._heartbeater is None:
            delays.append(self._wait_for_hello(now))
        else:
            delays.append(self._heartbeater.poll(now))
            if self._heartbeater.lost is not None and self._deadline is None:
                self.fail(3, f"{type(self._heartbeater.lost).__name__}: {self._heartbeater.lost}")
        if self._report.is_due and self._supervisor.all_ready:
            self._report.send("ready")
        if self._deadline is not None:
            delays.append(self._enforce_shutdown(now))
        if self._supervisor.over or self._supervisor.is_due:  # stops came with the heartbeat
            return 0.0
        return min((delay for delay in delays if delay is not None), default=None)

    def _wait_for_hello(self, now: float) -> float | None:
        """Log once that no child is ready yet; returns seconds until then."""
        if self._slow_at is None:
            return None
        if now < self._slow_at:
            return self._slow_at - now
        self._slow_at = None
        if self._deadline is None:
            log.warning(
                "no child is ready after %g s: the import of %s goes on, or no broker answers; "
                "SIGUSR1 shows where they are",
                _SLOW_START,
                self._settings.app or "the app",
            )
        return None

    def _enforce_shutdown(self, now: float) -> float | None:
        """Look at the deadline of the drain; returns seconds until it."""
        assert self._deadline is not None
        if now < self._deadline:
            return self._deadline - now
        if not self._killed:
            self._kill("the shutdown timeout is over")
        return None

    # --- signals ----------------------------------------------------------------------------

    def _on_signal(self, number: int, now: float) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._deadline is None:
                log.info(
                    "%s: finishing what is running, for at most %g s",
                    signal.Signals(number).name,
                    self._settings.shutdown_timeout,
                )
                self._drain(now)
            elif not self._killed:
                self._kill(f"a second {signal.Signals(number).name}")
        elif number == signal.SIGHUP:
            log.info("SIGHUP: loading the app again; the children are replaced when it could be")
            self._supervisor.restart()
        elif number == signal.SIGUSR1:
            print_own_stacks()
            for child in self._supervisor.children:
                child.signal(signal.SIGUSR1)

    def _drain(self, now: float) -> None:
        self._deadline = now + self._settings.shutdown_timeout
        self._supervisor.drain()

    def _kill(self, why: str) -> None:
        self._killed = True
        slots = [child.slot for child in self._supervisor.children]
        early_running = sum(slot.early_running for slot in slots)
        running = len(self._supervisor.running) - early_running
        if running:
            self._exit = self._exit or EXIT_CUT
            log.warning("%s: %d running tasks are handed back", why, running)
        lost = early_running + sum(slot.early_waiting for slot in slots)
        if lost:
            self._exit = self._exit or EXIT_CUT
            log.warning('%s: %d calls with ack="early" have not ended, and are lost', why, lost)
        idle = [slot for slot in slots if not slot.running]
        unsettled = sum(slot.in_hand for slot in idle)
        if unsettled:
            self._exit = self._exit or EXIT_CUT
            log.warning(
                "%s: %d messages are not settled, since the broker does not answer; "
                "those that have run may run again",
                why,
                unsettled,
            )
        self._supervisor.kill()

    # --- what the supervisor asks -------------------------------------------------------------

    def report_death(self, death: Death) -> None:
        """Report a dead child to the broker, now or when it is known which broker."""
        if self._heartbeater is not None:
            self._heartbeater.reap(death.reap, death.log)
        else:
            self._deaths.append(death)

    def hello(self, note: notes.Hello) -> None:
        """A child is ready; the first one says which broker and which queues."""
        settings = self._settings
        if settings.check:
            show_app(note, settings.log_format == "json")
            return
        if self._heartbeater is not None:
            return
        from taskq import backends

        self._finder = BrokerFinder(
            backends.connect(note.url, note.name), self._supervisor.forget_in_child
        )
        self._heartbeater = Heartbeater(
            backends.connect(note.url, note.name, autostart=False),
            self._finder,
            self._worker,
            worker_info(settings.group, note.queues, settings.concurrency),
            self._on_heartbeat,
            lambda: self._supervisor.running,
            reconnect_budget(),
        )
        for death in self._deaths:
            self._heartbeater.reap(death.reap, death.log)
        logs.banner(
            self._worker,
            {
                "app": settings.app or "(calls that carry their function)",
                "tasks": str(len(note.tasks)),
                "queues": ", ".join(note.queues),
                "group": settings.group,
                "children": str(settings.concurrency),
                "broker": note.url,
            },
        )

    def fail(self, code: int, sentence: str, traceback: str = "") -> None:
        """End the worker with that exit code; the first failure stands."""
        if self._exit == EXIT_CLEAN:
            if traceback:
                print(traceback.rstrip(), file=sys.stderr)
            print(f"Error: {sentence}", file=sys.stderr, flush=True)
            self._exit = code
            self._report.send(f"error: {sentence}")
        if self._deadline is None:
            self._drain(time.monotonic())

    def left_over(self, sentences: list[str]) -> None:
        """A burst ends, and there are messages that this worker cannot run."""
        for sentence in sentences:
            if sentence not in self._left_over:
                self._left_over.append(sentence)
                log.warning(sentence)

    def forget_in_child(self) -> None:
        """Close, in a forked child, what belongs to the launcher."""
        self._inputs.forget_in_child()
        self._report.forget_in_child()
        if self._heartbeater is not None:
            self._heartbeater.drop()

    # --- wiring -----------------------------------------------------------------------------

    def _on_heartbeat(self, reply: HeartbeatReply) -> None:
        if reply.stop:
            self._supervisor.stop_tasks(reply.stop)
        for task in reply.unknown:
            self._unknown.log(task)

    def _orphaned(self) -> None:
        """Drain, since the program that started this worker is gone, perhaps by SIGKILL."""
        if self._deadline is None:
            log.warning(
                "the program that started this worker is gone: finishing what is running, "
                "for at most %g s",
                self._settings.shutdown_timeout,
            )
            self._drain(time.monotonic())

    def _end(self) -> None:
        self._supervisor.kill()
        if self._left_over:
            self._exit = self._exit or EXIT_CUT  # only now: it must not hide a failure
        self._report.send("error: the worker ended before it was ready")
        if self._heartbeater is not None:
            self._heartbeater.leave()
        self._inputs.close()
        log.debug("worker %s ended with exit code %d", self._worker, self._exit)

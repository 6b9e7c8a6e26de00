"""Keeps the children running: starts, replaces, kills at deadlines, restarts one by one.

`poll` does what is due and returns the delay until it wants to be called again; it is also called
after SIGCHLD and whenever a child's socket is readable.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from taskq.protocol.consuming import Reap
from taskq.protocol.values import Stop
from taskq.worker.pool import enforcer, notes
from taskq.worker.pool.child import EXIT_DONE, EXIT_TOLD, EXIT_WORN_OUT
from taskq.worker.pool.child_process import Child, describe_exit
from taskq.worker.settings import Settings

RAPID = 1.0  # seconds: a child that dies so soon after its start, and idle, has died of it
RAPID_LIMIT = 5  # such deaths in a row until the worker gives up
RAPID_DELAY = 0.1  # seconds before the first replacement, doubled each time
SCARCE_DELAY = 1.0  # seconds until a fork that the system refused is tried again
RELOAD_DELAY = 5.0  # seconds until an import that failed in a replacement is tried again

log = logging.getLogger("taskq.worker")


class Host(Protocol):
    """What the supervisor asks of the launcher."""

    def reap(self, request: Reap) -> None:
        """Tell the broker of a dead child."""
        ...

    def hello(self, note: notes.Hello) -> None:
        """A child is ready."""
        ...

    def fail(self, code: int, sentence: str, traceback: str = "") -> None:
        """End the worker with that exit code."""
        ...

    def forget_in_child(self) -> None:
        """Close, in a forked child, what belongs to the launcher."""
        ...


@dataclass(slots=True)
class _Place:
    """One of the places for children. `start_at`: when to fill it."""

    number: int
    child: Child | None = None
    generation: int = 0
    start_at: float = 0.0


class Supervisor:
    """The children of one launcher.

    Args:
        settings: how many, and what they are told.
        worker: name of the worker.
        host: the launcher.
        watch: called with each new child, before anything is read from it.
        unwatch: called before a dead one is closed.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        host: Host,
        watch: Callable[[Child], None],
        unwatch: Callable[[Child], None],
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._host = host
        self._watch = watch
        self._unwatch = unwatch
        count = 1 if settings.check else settings.concurrency
        self._seats = [_Place(number) for number in range(1, count + 1)]
        self._rollout: deque[Child] = deque()
        self._rolling: _Place | None = None
        self._rapid = 0
        self._draining = False

    @property
    def children(self) -> list[Child]:
        """Those that have not been buried."""
        return [seat.child for seat in self._seats if seat.child is not None]

    @property
    def all_ready(self) -> bool:
        """Whether every place is filled with a child that has registered."""
        return all(seat.child is not None and seat.child.ready for seat in self._seats)

    @property
    def over(self) -> bool:
        """Whether no child is left and none will be started."""
        return all(seat.child is None and seat.start_at == inf for seat in self._seats)

    # --- orders -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Let every child end after its running task; replace none."""
        self._draining = True
        for seat in self._seats:
            seat.start_at = inf
        for child in self.children:
            child.stop()

    def kill(self) -> None:
        """End every child now; what it held is handed back without cost."""
        for child in self.children:
            child.cut = True
            child.kill()

    def restart(self) -> None:
        """Replace every child, one after the other."""
        self._rollout = deque(self.children)

    def stop_tasks(self, stops: list[Stop]) -> None:
        """Ask cancelled tasks to stop, or kill the children that run them."""
        children = {child.consumer: child for child in self.children}
        for stop in stops:
            child = children.get(stop.consumer)
            if child is not None:  # else it has died, and the broker hears of that
                (enforcer.terminate if stop.kill else enforcer.cancel)(child, stop.receipt)

    def listen(self, child: Child) -> None:
        """Read what a child has told."""
        if child.mute:
            return
        for note in child.notes():
            self._heed(child, note)
        if child.mute:  # readable for ever
            self._unwatch(child)

    # --- duties -----------------------------------------------------------------------------

    def poll(self, now: float) -> float | None:
        """Bury the dead, fill the places, look at the deadlines."""
        delay = inf
        for seat in self._seats:
            child = seat.child
            if child is not None and child.exit_code is not None:
                self._bury(seat, child, child.exit_code, now)
            if seat.child is None and seat.start_at <= now:
                self._start(seat, now)
            if seat.child is None:
                delay = min(delay, seat.start_at - now)
            else:
                delay = min(
                    delay, enforcer.enforce(seat.child, now), self._see_off(seat.child, now)
                )
        self._roll()
        return None if delay == inf else max(delay, 0.0)

    def _start(self, seat: _Place, now: float) -> None:
        seat.generation += 1
        seat.start_at = now
        try:
            seat.child = Child(
                self._settings,
                self._worker,
                f"{self._worker}/{seat.number}.{seat.generation}",
                first=seat.number == 1 and seat.generation == 1,
                forget=self._forget,
            )
        except OSError as error:  # no descriptors, processes or memory left
            seat.start_at = now + SCARCE_DELAY
            log.error("a child cannot be started, trying again: %s", error.strerror or error)
            return
        self._watch(seat.child)

    def _forget(self) -> None:
        self._host.forget_in_child()
        for child in self.children:
            child.forget()

    def _see_off(self, child: Child, now: float) -> float:
        """Kill a child that has left and does not end; returns seconds until the next look."""
        if child.left_at is None or child.cut:
            return inf
        left = child.left_at + self._settings.shutdown_timeout - now
        if left > 0:
            return left
        log.warning(
            "child %d has left and does not end, since a task has started a thread or a process "
            "that goes on: it is killed. Make such threads and processes daemons",
            child.pid,
        )
        child.cut = True
        child.kill()
        return inf

    def _roll(self) -> None:
        """Go on with a restart, when the last replacement is ready."""
        if self._rolling is not None:
            if self._rolling.child is None or not self._rolling.child.ready:
                return
            if self._rolling.child.asked:
                return
            self._rolling = None
        while self._rollout and self._rolling is None and not self._draining:
            old = self._rollout.popleft()
            for seat in self._seats:
                if seat.child is old:
                    log.info("restarting child %d", old.pid)
                    old.stop()
                    self._rolling = seat

    # --- what children tell -------------------------------------------------------------------

    def _heed(self, child: Child, note: notes.Note) -> None:
        if isinstance(note, notes.Hello):
            child.ready_at = time.monotonic()
            self._host.hello(note)
        elif isinstance(note, notes.Drained):
            child.drained = True
        elif isinstance(note, notes.Left):
            child.left_at = time.monotonic()
        elif isinstance(note, notes.Unusable):
            if any(other.ready for other in self.children):
                log.error("%s\n%s", note.sentence, note.traceback.rstrip())
                self._rollout.clear()
                self._rolling = None
            else:
                self._host.fail(2, note.sentence, note.traceback)
        elif isinstance(note, notes.Unreachable):
            self._host.fail(3, note.sentence)

    # --- deaths -----------------------------------------------------------------------------

    def _bury(self, seat: _Place, child: Child, code: int, now: float) -> None:
        self.listen(child)
        if not child.mute:
            self._unwatch(child)
        running = child.slot.running
        idle = not child.slot.started
        self._report(child, code, running)
        pid = child.pid
        child.close()
        seat.child = None
        orderly = not running and (code in (EXIT_DONE, EXIT_WORN_OUT) or child.asked)
        if self._draining or (child.drained and self._settings.burst) or self._settings.check:
            seat.start_at = inf
        elif code == EXIT_TOLD:
            seat.start_at = now + RELOAD_DELAY
        elif orderly:
            log.debug("child %d has ended and is replaced", pid)
            seat.start_at = now
        elif idle and (child.ready_at is None or now - child.ready_at < RAPID):
            self._stumbled(seat, code, now)
        else:
            self._rapid = 0
            seat.start_at = now

    def _report(self, child: Child, code: int, running: list[int]) -> None:
        """Tell the broker, and the log, what a death means for the task that was running."""
        reason = describe_exit(code)
        lost = [] if child.cut else running
        timed_out = child.timed_out in lost
        terminated = child.terminated in lost
        if timed_out:
            reason = "the attempt ran longer than its timeout, did not stop, and was killed"
        request = Reap(
            worker=self._worker,
            consumer=child.consumer,
            running=lost,
            reason=f"the worker process {reason}" if not timed_out else reason,
            timed_out=timed_out,
            cancelled=terminated,
        )
        self._host.reap(request)
        if terminated:
            log.info("child %d was killed to cancel its task", child.pid)
        elif lost:
            log.warning("child %d died in the middle of a task: %s", child.pid, reason)
        elif code not in (EXIT_DONE, EXIT_WORN_OUT, EXIT_TOLD) and not child.asked:
            log.warning("child %d %s", child.pid, reason)

    def _stumbled(self, seat: _Place, code: int, now: float) -> None:
        seat.start_at = now + min(RAPID_DELAY * 2**self._rapid, 5.0)
        self._rapid += 1
        if self._rapid >= RAPID_LIMIT:
            self._host.fail(
                1,
                f"{self._rapid} children in a row died before their first task; the last one "
                f"{describe_exit(code)}. Run the app by itself to see why",
            )

"""Keeps the children running: starts and replaces them, and reads their notes.

`poll` does what is due and returns the delay until it wants to be called again; it is also called
after SIGCHLD and whenever a child's socket is readable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf

from taskq.protocol.values import Stop
from taskq.worker.pool import enforcer, notes
from taskq.worker.pool.child import EXIT_DONE, EXIT_EXPLAINED, EXIT_WORN_OUT
from taskq.worker.pool.child_process import Child
from taskq.worker.pool.deaths import Death, describe_exit
from taskq.worker.pool.owner import Owner
from taskq.worker.pool.rollout import Place, Rollout
from taskq.worker.settings import WorkerSettings

RAPID = 1.0  # seconds: a child that dies so soon after its start, and idle, has died of it
RAPID_LIMIT = 5  # such deaths in a row until the worker gives up
RAPID_DELAY = 0.1  # seconds before the first replacement, doubled each time
SCARCE_DELAY = 1.0  # seconds until a fork that the system refused is tried again
RELOAD_DELAY = 5.0  # seconds until an import that failed in a replacement is tried again

log = logging.getLogger("taskq.worker")


class Supervisor:
    """The children of one launcher.

    Attributes:
        is_due: `poll` has something to do, whatever delay it gave.

    Args:
        settings: how many, and their settings.
        worker: name of the worker.
        owner: the launcher.
        watch: called with each new child, before anything is read from it.
        unwatch: called before a dead one is closed.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        worker: str,
        owner: Owner,
        watch: Callable[[Child], None],
        unwatch: Callable[[Child], None],
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._owner = owner
        self._watch = watch
        self._unwatch = unwatch
        count = 1 if settings.check else settings.concurrency
        self._places = [Place(number) for number in range(1, count + 1)]
        self._rollout = Rollout(self._start_successor)
        self._served = False  # a child was ready once: the app and the broker are there
        self._broken = ""  # why a replacement could not load the app
        self._rapid = 0
        self._draining = False
        self.is_due = False

    @property
    def children(self) -> list[Child]:
        """Those that have not been buried, successors included."""
        pairs = [(place.child, place.successor) for place in self._places]
        return [child for pair in pairs for child in pair if child is not None]

    @property
    def running(self) -> list[int]:
        """Receipts of the tasks that run."""
        return [receipt for child in self.children for receipt in child.slot.running]

    @property
    def all_ready(self) -> bool:
        """Whether every place is filled with a child that has registered."""
        return all(place.child is not None and place.child.ready for place in self._places)

    @property
    def over(self) -> bool:
        """Whether no child is left and none will be started."""
        return not self.children and all(place.start_at == inf for place in self._places)

    # --- orders -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Let every child end after its running task; replace none."""
        self._draining = True
        self._rollout.abandon()
        for place in self._places:
            place.start_at = inf
        for child in self.children:
            child.stop()

    def kill(self) -> None:
        """End every child now; what it held is handed back without cost."""
        for child in self.children:
            child.cut = True
            child.kill()

    def restart(self) -> None:
        """Replace every child by one with the app as it is on the disk now, or none."""
        if not self._draining:
            self._rollout.begin(self._places)

    def stop_tasks(self, stops: list[Stop]) -> None:
        """Ask cancelled tasks to stop, or kill the children that run them."""
        self.is_due = True
        children = {child.consumer: child for child in self.children}
        for stop in stops:
            child = children.get(stop.consumer)
            if child is not None:  # else it has died, and the broker hears of that
                (enforcer.terminate if stop.kill else enforcer.cancel)(child, stop.receipt)

    def listen(self, child: Child) -> None:
        """Read what a child has to say."""
        if child.mute:
            return
        for note in child.notes():
            self._on_note(child, note)
        if child.mute:  # readable for ever
            self._unwatch(child)

    # --- duties -----------------------------------------------------------------------------

    def poll(self, now: float) -> float | None:
        """Bury the dead, fill the places, look at the deadlines."""
        self.is_due = False
        for place in self._places:
            self._bury_dead(place, now)
        delay = self._rollout.poll(now)
        for place in self._places:
            if place.child is not None:
                delay = min(delay, enforcer.enforce(place.child, now))
                delay = min(delay, self._kill_lingering(place.child, now))
            elif not self._rollout.holds(place):
                if place.start_at <= now:
                    self._start(place, now)
                if place.child is None:
                    delay = min(delay, place.start_at - now)
        return None if delay == inf else max(delay, 0.0)

    def _start(self, place: Place, now: float) -> None:
        place.start_at = now
        place.child = self._fork(place, waits=False)
        if place.child is None:
            place.start_at = now + SCARCE_DELAY

    def _start_successor(self, place: Place) -> float:
        place.successor = self._fork(place, waits=True)
        return SCARCE_DELAY if place.successor is None else 0.0

    def _fork(self, place: Place, waits: bool) -> Child | None:
        place.generation += 1
        try:
            child = Child(
                self._settings,
                self._worker,
                f"{self._worker}/{place.number}.{place.generation}",
                first=place.number == 1 and place.generation == 1,
                waits=waits,
                forget=self.forget_in_child,
            )
        except OSError as error:  # no descriptors, processes or memory left
            log.error("a child cannot be started, trying again: %s", error.strerror or error)
            return None
        self._watch(child)
        return child

    def forget_in_child(self) -> None:
        """Close, in a forked process, what belongs to the launcher."""
        self._owner.forget_in_child()
        for child in self.children:
            child.forget()

    def _kill_lingering(self, child: Child, now: float) -> float:
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

    # --- what children say --------------------------------------------------------------------

    def _on_note(self, child: Child, note: notes.Note) -> None:
        if isinstance(note, notes.Hello):
            child.ready_at = time.monotonic()
            self._served = True
            self._owner.hello(note)
            self._recover(child)
        elif isinstance(note, notes.Loaded):
            child.loaded = True
        elif isinstance(note, notes.Drained):
            child.drained = True
            self._owner.left_over(note.left)
        elif isinstance(note, notes.Left):
            child.left_at = time.monotonic()
        elif isinstance(note, notes.Unusable):
            self._on_unusable(child, note)
        elif isinstance(note, notes.Unreachable):
            self._owner.fail(3, note.sentence)

    def _on_unusable(self, child: Child, note: notes.Unusable) -> None:
        if not self._served:
            self._owner.fail(2, note.sentence, note.traceback)
            return
        if any(place.successor is child for place in self._places):
            self._rollout.abandon()
            log.error(
                "the reload has failed, and every child keeps the code it has until a SIGHUP "
                "succeeds: %s\n%s",
                note.sentence,
                note.traceback.rstrip(),
            )
        elif note.sentence != self._broken:
            log.error(
                "a child cannot be replaced, and it is tried again every %g s: %s\n%s",
                RELOAD_DELAY,
                note.sentence,
                note.traceback.rstrip(),
            )
        self._broken = note.sentence

    def _recover(self, child: Child) -> None:
        """The app can be loaded again: where some children have older code, replace them, too."""
        broken, self._broken = self._broken, ""
        others = [place for place in self._places if place.child is not child]
        if broken and others and not self._rollout.is_active and not self._draining:
            log.info("child %d has loaded the app as it is now: the others are replaced", child.pid)
            self._rollout.begin(others)

    # --- deaths -----------------------------------------------------------------------------

    def _bury_dead(self, place: Place, now: float) -> None:
        successor, child = place.successor, place.child
        if successor is not None and successor.exit_code is not None:
            self._bury_successor(place, successor, successor.exit_code)
        if child is not None and child.exit_code is not None:
            self._bury(place, child, child.exit_code, now)

    def _bury_successor(self, place: Place, child: Child, code: int) -> None:
        self._close(child)
        place.successor = None
        if not child.asked and self._rollout.holds(place):
            self._rollout.abandon()
            if code != EXIT_EXPLAINED:
                log.error(
                    "the reload has failed, and every child keeps the code it has: a new child %s "
                    "while it loaded the app",
                    describe_exit(code),
                )

    def _bury(self, place: Place, child: Child, code: int, now: float) -> None:
        self._close(child)
        place.child = None
        death = Death(child, code, self._worker)
        self._owner.report_death(death)
        orderly = not death.running and (code in (EXIT_DONE, EXIT_WORN_OUT) or child.asked)
        if self._draining or (child.drained and self._settings.burst) or self._settings.check:
            place.start_at = inf
        elif code == EXIT_EXPLAINED:
            place.start_at = now + RELOAD_DELAY
        elif orderly:
            log.debug("child %d has ended and is replaced", child.pid)
            place.start_at = now
        elif not child.slot.started and (child.ready_at is None or now - child.ready_at < RAPID):
            self._stumbled(place, code, now)
        else:
            self._rapid = 0
            place.start_at = now

    def _close(self, child: Child) -> None:
        self.listen(child)
        if not child.mute:
            self._unwatch(child)
        child.close()

    def _stumbled(self, place: Place, code: int, now: float) -> None:
        place.start_at = now + min(RAPID_DELAY * 2**self._rapid, 5.0)
        self._rapid += 1
        if self._rapid >= RAPID_LIMIT:
            self._owner.fail(
                1,
                f"{self._rapid} children in a row died before their first task; the last one "
                f"{describe_exit(code)}. Run the app by itself to see why",
            )

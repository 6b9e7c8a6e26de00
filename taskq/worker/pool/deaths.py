"""The death of a child: what it means for the tasks that it had begun, and its log lines."""

from __future__ import annotations

import logging
import signal

from taskq.protocol.consuming import Reap, Reaped
from taskq.protocol.values import Ended
from taskq.worker.pool.child_process import Child

log = logging.getLogger("taskq.worker")

_FOLLOWS = {
    "dead": "it is a dead letter now",
    "cancelled": "it is cancelled",
    "succeeded": "its result was recorded before",
}


class Death:
    """One child that has ended.

    Args:
        child: that child; not needed any more afterwards.
        code: its exit code; negative: the signal that killed it.
        worker: name of the worker.
    """

    def __init__(self, child: Child, code: int, worker: str) -> None:
        self._pid = child.pid
        self._left = child.left_at is not None
        self.running = [] if child.cut else child.slot.running
        self.timed_out = child.timed_out in self.running
        self.terminated = child.terminated in self.running
        self._reason = describe_exit(code)
        if self.timed_out:
            self._reason = "ran longer than its timeout, did not stop, and was killed"
        elif self.terminated:
            self._reason = "was killed, to cancel the task"
        self._unexpected = not (self._left or child.asked or child.cut)
        # a child that said that it leaves has settled what it began, or its broker is away; one that
        # we kill dies by the fault of one task only
        killed = self.timed_out or self.terminated or child.cut
        began = 0 if killed or self._left else child.slot.began
        self.reap = Reap(
            worker=worker,
            consumer=child.consumer,
            running=self.running,
            reason=f"the attempt {self._reason}"
            if self.timed_out
            else f"the worker process {self._reason}",
            timed_out=self.timed_out,
            cancelled=self.terminated,
            began=began,
        )

    def log(self, reaped: Reaped) -> None:
        """Log it, with the names of the tasks; called with the broker's reply."""
        for ended in reaped.ended:
            self._log_task(ended)
        if reaped.ended:
            return
        if self.running:
            log.warning(
                "child %d %s in the middle of a task that the broker no longer counts as its own",
                self._pid,
                self._reason,
            )
        elif self._unexpected:
            log.warning("child %d %s", self._pid, self._reason)

    def _log_task(self, ended: Ended) -> None:
        follows = _FOLLOWS.get(ended.state, "it runs again")
        if self.timed_out and ended.receipt in self.running:
            log.warning(
                "%s %s in child %d %s; %s", ended.task, ended.id, self._pid, self._reason, follows
            )
            return
        where = "in the middle of" if ended.receipt in self.running else "before it had settled"
        log.log(
            logging.INFO if self.terminated else logging.WARNING,
            "child %d %s, %s %s %s; %s",
            self._pid,
            self._reason,
            where,
            ended.task,
            ended.id,
            follows,
        )


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

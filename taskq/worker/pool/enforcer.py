"""Kills a child for the task it runs: cancelled for good, or over its deadline. Never for another.

Between a look at the slot and a signal the child may begin its next task. So it is stopped first
(SIGSTOP); once the kernel says that it stands still, the slot is looked at, and the child is killed
or goes on (SIGCONT).
"""

from __future__ import annotations

from math import inf

from taskq.worker.pool.child_process import Child

_LOOK_AGAIN = 0.01  # seconds; SIGCHLD usually comes first


def cancel(child: Child, receipt: int) -> None:
    """Ask the task of that receipt to stop; if it has not begun, it never will."""
    child.slot.post(receipt)


def terminate(child: Child, receipt: int) -> None:
    """The same, and kill the child if it runs that task; `enforce` does it."""
    cancel(child, receipt)
    slot = child.slot
    if receipt > slot.began or receipt in slot.running:
        child.terminating.add(receipt)


def enforce(child: Child, now: float) -> float:
    """Kill the child whose task must not go on; returns seconds until the next look."""
    slot = child.slot
    unsent = inf if slot.flush() else _LOOK_AGAIN
    if child.timed_out or child.terminated:  # it is killed already
        return unsent
    # `armed` before `deadline`: a child that sets a deadline in between sees 0 and calls us
    slot.armed = 0.0
    deadline = slot.deadline
    if child.terminating or 0 < deadline <= now:
        if not child.is_frozen():
            return _LOOK_AGAIN
        _decide(child, now)
        return _LOOK_AGAIN
    if not deadline:
        return unsent
    slot.armed = deadline
    return min(deadline - now, unsent)


def _decide(child: Child, now: float) -> None:
    """The child stands still: kill it for a task that runs, or let it go on."""
    for cell in child.slot.cells:
        running = cell.running
        if running and running in child.terminating:
            child.terminated = running
        elif running and 0 < cell.deadline <= now:
            child.timed_out = running
    child.terminating.clear()  # what has not begun finds the cancellation when it would begin
    if child.terminated or child.timed_out:
        child.kill()
    else:
        child.thaw()

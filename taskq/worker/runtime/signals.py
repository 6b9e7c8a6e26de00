"""The signals of a child, and of the processes that its tasks fork."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from taskq.worker.runtime.waking import Waker

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)


def reset() -> None:
    """Give every signal that taskq uses its default."""
    signal.set_wakeup_fd(-1)
    for number in OURS:
        signal.signal(number, signal.SIG_DFL)


def install(stop: Callable[[], None], waker: Waker) -> Callable[[], None]:
    """Call `stop` on TERM and INT, and see to it that processes forked by tasks do not.

    Returns a function that takes the signals again, if a task has left handlers of its own.

    A terminal or a supervisor may signal the whole process group: INT means what TERM means, and
    HUP is the launcher's business.
    """

    def on_stop(signum: int, frame: FrameType | None) -> None:
        stop()

    def ignore(signum: int, frame: FrameType | None) -> None:
        """Not SIG_IGN, which programs started by tasks would inherit."""

    ours = {signal.SIGTERM: on_stop, signal.SIGINT: on_stop, signal.SIGHUP: ignore}

    def take() -> None:
        for number, handler in ours.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
                waker.install()  # an event loop that gives up its handlers gives this up, too

    waker.install()
    take()
    _guard_forks()
    return take


def _guard_forks() -> None:
    """A process that a task forks ends by SIGTERM like any other: pools rely on it.

    The signal waits while the fork goes on, or our handler's copy would take it. Two threads may fork
    at the same time, and each has a mask of its own.
    """
    forking = threading.local()

    def before() -> None:
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def in_child() -> None:
        reset()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)

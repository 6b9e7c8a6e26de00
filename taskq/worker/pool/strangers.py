"""The duty of process 1: to wait for orphans that are not its own."""

from __future__ import annotations

import os
from contextlib import suppress


def reap_strangers(ours: set[int]) -> None:
    """Wait for those that have ended; `ours` are process ids that somebody else waits for."""
    with suppress(ChildProcessError):
        while True:
            status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is None or status.si_pid in ours:
                return  # ours are buried first; the next look finds the strangers behind them
            os.waitpid(status.si_pid, 0)

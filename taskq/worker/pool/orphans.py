"""Reaps orphans, which is the duty of process 1."""

from __future__ import annotations

import os
from contextlib import suppress


def reap_orphans(ours: set[int]) -> None:
    """Wait for orphans that have ended. `ours`: process ids that other code waits for."""
    with suppress(ChildProcessError):
        while True:
            status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is None or status.si_pid in ours:
                return  # ours are buried first; the next look finds the orphans behind them
            os.waitpid(status.si_pid, 0)

"""Processes that are not our children: whether they still run, and how to end them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether that process runs. A zombie does not: in a container nobody may ever reap it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # no /proc: not Linux
        return state_of(Path(f"/proc/{pid}/stat").read_text()) not in "ZX"
    return True


def state_of(stat: str) -> str:
    """The state letter of a line of `/proc/PID/stat`; the command before it may hold anything."""
    return stat.rpartition(")")[2].split()[0]


def stop(pid: int, patience: float = 5.0) -> None:
    """Ask a process that is not our child to end, and see that it does.

    Args:
        pid: the process.
        patience: seconds that it has before it is killed.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not is_alive(pid):
            return

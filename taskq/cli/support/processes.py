"""Processes that are not our children: whether they still run, and how to end them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType


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


@contextmanager
def defer_signals(*signals: signal.Signals) -> Iterator[None]:
    """Handle these signals at the end of the block. Processes started in it get theirs at once.

    For a block that starts a process: if a signal ended it halfway, nobody would stop the process.
    """
    arrived: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = {each: signal.signal(each, remember) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in arrived:
        signal.raise_signal(number)

"""Whether a process that is not our child still runs."""

from __future__ import annotations

import os
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

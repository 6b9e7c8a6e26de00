"""How the start of a worker went, for the program that waits for it."""

from __future__ import annotations

import os
from contextlib import suppress


class StartReport:
    """One line into a pipe: `ready` or `error: …`.

    Args:
        fd: the pipe; `None`: nobody waits.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    @property
    def is_due(self) -> bool:
        """Whether a program waits for the report."""
        return self._fd is not None

    def send(self, line: str) -> None:
        """Send it, and close the pipe; a second one goes nowhere."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):  # nobody waits any more
                os.write(fd, line.encode() + b"\n")
            os.close(fd)

    def forget_in_child(self) -> None:
        """Close the pipe in a forked process."""
        if self._fd is not None:
            os.close(self._fd)

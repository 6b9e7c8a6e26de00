"""The stacks that SIGUSR1 asks for: each line with the id of its process.

`faulthandler` writes them also where a task holds the GIL, and does not say whose they are. So a child
writes into a pipe, and the launcher puts the process id before each line.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from contextlib import suppress


class Stacks:
    """The pipe of one child, as the launcher sees it.

    Attributes:
        reader: readable when there is something to `relay`; `None` after the end.
        writer: what the child writes to.
    """

    def __init__(self) -> None:
        self.reader: int | None
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._rest = b""

    def relay(self, pid: int) -> bool:
        """Print what has come; false at the end."""
        assert self.reader is not None
        try:
            data = os.read(self.reader, 65536)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        _print(pid, lines)
        return bool(data)

    def close_writer(self) -> None:
        """The child has its own copy."""
        os.close(self.writer)

    def close(self) -> None:
        """Close our end."""
        if self.reader is not None:
            os.close(self.reader)
            self.reader = None


def print_own_stacks() -> None:
    """Print the stacks of this process."""
    reader, writer = os.pipe()
    try:
        faulthandler.dump_traceback(file=writer, all_threads=True)
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        _print(os.getpid(), pipe.read().splitlines())


def _print(pid: int, lines: list[bytes]) -> None:
    text = "".join(f"[{pid}] {line.decode(errors='replace')}\n" for line in lines)
    with suppress(OSError, ValueError):  # standard error is closed
        sys.stderr.write(text)
        sys.stderr.flush()

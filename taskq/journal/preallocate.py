"""Writes the log out beforehand, so that a commit only overwrites what the file already has.

A commit that makes the file longer has the file system note its new length and blocks, which is a
second write to the disk; one into blocks that were written before is the `fdatasync` of its data
alone, which takes little more than half as long. SQLite reuses its log from the beginning after each
checkpoint, so this is only missing until the first one.
"""

from __future__ import annotations

import os
from pathlib import Path

_PIECE = 2**20


def preallocate(log: Path, size: int) -> None:
    """Fill the log with zeros after its end, which no reader takes for a frame.

    Args:
        log: SQLite's, with its header; nobody writes to it meanwhile.
        size: bytes it has afterwards, if the disk has room for them.

    Raises:
        OSError: the disk fails. Like every sync that has failed, it is not tried again.
    """
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        length = os.fstat(fd).st_size
        if not _fill(fd, size - length):
            os.ftruncate(fd, length)  # commits are only slower without
        os.fsync(fd)
    finally:
        os.close(fd)


def _fill(fd: int, size: int) -> bool:
    """Append `size` zeros. Returns whether there was room for all of them."""
    try:
        for start in range(0, size, _PIECE):
            piece = min(_PIECE, size - start)
            if os.write(fd, bytes(piece)) < piece:
                return False
    except OSError:
        return False
    return True

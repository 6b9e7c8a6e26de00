"""Whether the disk has room for new messages, in addition to a reserve for results.

Results and acknowledgements are written to a disk that is nearly full, new messages are not: so what
was accepted can still finish, and finishing is what makes room.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

RESERVE = 64 * 2**20  # bytes, or an eighth of a small disk
LOOK, LOOK_AGAIN = 0.01, 0.1  # seconds between two looks, with room and without
_COPIES = 2  # of each message: in the log, and in the file before the log is cut


def reserve_of(disk: os.statvfs_result) -> int:
    """Bytes of a file system that new messages leave free."""
    return min(RESERVE, disk.f_blocks * disk.f_frsize // 8)


class Room:
    """Looks at the file system of the journal, seldom enough to cost nothing.

    Args:
        file: the journal. Its log needs its own size again when it is folded into the file.
        fold: folds it; called before the verdict is that there is no room.
        spare: bytes of the file that are free for new rows.
    """

    def __init__(self, file: Path, fold: Callable[[], None], spare: Callable[[], int]) -> None:
        self._directory = file.absolute().parent
        self._log = Path(f"{file}-wal")
        self._fold = fold
        self._spare = spare
        self._look_at = 0.0
        self._left = 0
        self._promised = 0

    def is_left(self, now: float, size: int = 0) -> bool:
        """Whether new messages of so many bytes may be written, as of the last look.

        What is allowed counts against the room until the next look. `now` is that of the tick: so
        all that an earlier tick was allowed has been written when the disk is looked at.
        """
        if now >= self._look_at:
            self._promised = 0
            self._left = self._bytes_left()
            if self._left < _COPIES * size:
                self._fold()
                self._left = self._bytes_left()
            self._look_at = now + (LOOK if self._left >= _COPIES * size else LOOK_AGAIN)
        if self._left < _COPIES * (self._promised + size):
            return False
        self._promised += size
        return True

    def _bytes_left(self) -> int:
        disk = os.statvfs(self._directory)
        reserve = reserve_of(disk)
        free = disk.f_bavail * disk.f_frsize
        # the log always grows on the disk, the file only when its spare pages are used up
        return min(free - reserve // 4, free + self._spare() - reserve - self._log_size())

    def _log_size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

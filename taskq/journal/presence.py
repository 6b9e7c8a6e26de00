"""Checks that the open files of a journal are still those in its directory."""

from __future__ import annotations

import os
from pathlib import Path

from taskq.errors import JournalError


class Presence:
    """Notices that an open file was removed or replaced, which loses what is written to it.

    Args:
        paths: each may appear later; from then on it has to stay.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._inodes: dict[Path, tuple[int, int]] = {}

    def verify(self) -> None:
        """Compare the files in the directory with those that were there first.

        Raises:
            JournalError: a file is gone, or another one.
        """
        for path in self._paths:
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                inode = None
            except OSError:
                continue  # a look that fails is no proof that the file is gone
            else:
                inode = (found.st_dev, found.st_ino)
            known = self._inodes.get(path)
            if known is None and inode is not None:
                self._inodes[path] = inode
            elif inode != known:
                raise JournalError(
                    f"{path} was removed or replaced under the broker, so nothing more is "
                    "acknowledged; see that no program touches it, or restore a backup of the "
                    "directory, and start the broker again"
                )

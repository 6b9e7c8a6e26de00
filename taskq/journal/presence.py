"""Whether the files that a journal writes are still the ones that the next start will read."""

from __future__ import annotations

import os
from pathlib import Path

from taskq.errors import JournalError


class Presence:
    """Notices that a file was removed or replaced under us: what is written to it then is lost.

    Args:
        paths: each may appear later; from then on it has to stay.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._inodes: dict[Path, tuple[int, int]] = {}

    def verify(self) -> None:
        """Compare what lies there now with what lay there first.

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

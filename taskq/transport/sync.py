"""Directories that survive a loss of power: a new name is safe once its directory is synced."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Sync a directory, where the system allows it, so that new names survive a loss of power."""
    with contextlib.suppress(PermissionError):  # a directory may be writable and not readable
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

"""A small disk of its own for a test, mounted for real; only root on Linux can have one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import short_directory


@contextmanager
def mounted_disk(size: str = "24m") -> Iterator[Path]:
    """A tmpfs of that size; the test is skipped where none may be mounted."""
    with short_directory() as base:
        disk = base / "disk"
        disk.mkdir()
        options = f"size={size},mode=700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)],
            check=False,
            capture_output=True,
        )
        if mounted.returncode:
            pytest.skip("may not mount here")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)

"""Directories of a test, and the root of the repository."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the 107 bytes of a unix socket's name."""
    path = Path(tempfile.mkdtemp(prefix="tq")).resolve()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def mounted_disk(size: str = "24m") -> Iterator[Path]:
    """A tmpfs of that size, mounted for real; the test is skipped where none may be mounted."""
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

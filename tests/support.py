"""Help for tests that deal with real processes and real time."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

LONG = os.environ.get("TASKQ_TESTS") == "long"
long_only = pytest.mark.skipif(not LONG, reason="takes long: run with TASKQ_TESTS=long")


def wait_until(predicate: Callable[[], T], timeout: float = 20.0, every: float = 0.01) -> T:
    """Ask until the answer is true, and return it; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not so within {timeout} s: {predicate}")
        time.sleep(every)
    return answer


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the 107 bytes of a unix socket's name."""
    path = Path(tempfile.mkdtemp(prefix="tq"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)

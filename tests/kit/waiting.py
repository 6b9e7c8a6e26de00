"""Waiting for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float = 20.0, every: float = 0.01) -> T:
    """Call `predicate` until it returns something true, and return that.

    Args:
        timeout: seconds after which the test fails.
        every: seconds between two calls.
    """
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not so within {timeout} s: {predicate}")
        time.sleep(every)
    return answer

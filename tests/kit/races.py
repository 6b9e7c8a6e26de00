"""Meetings of threads that are rare in life, made common: threads change every few microseconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVar

T = TypeVar("T")

INTERVAL = 1e-6  # seconds between two switches; the interpreter's default is 5 ms
THREADS = 8


@contextmanager
def hurried_threads(interval: float = INTERVAL) -> Iterator[None]:
    """Have the interpreter change threads that often for the block."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def together(function: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """Call `function` with 0, 1, 2, … in as many threads at the same moment; what they returned.

    Raises:
        BaseException: what the first of them has raised.
    """
    start = threading.Barrier(threads)
    results: dict[int, T] = {}
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(10)
            results[number] = function(number)
        except BaseException as error:
            raised.append(error)

    running = [
        threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)
    ]
    with hurried_threads():
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(60)
    if raised:
        raise raised[0]
    assert not any(thread.is_alive() for thread in running), "a thread hangs"
    return [results[number] for number in range(threads)]


def interrupted(
    function: Callable[[], T], code: CodeType, line: int, between: Callable[[], object]
) -> T:
    """Call `function`, and `between` before the `line`th line (from 0) that runs in `code`.

    That is what a signal handler sees, or a thread that is let in just there: give it every line.
    """
    left = line

    def in_code(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == -1:
                between()
        return in_code

    sys.settrace(lambda frame, event, argument: in_code if frame.f_code is code else None)
    try:
        return function()
    finally:
        sys.settrace(None)

"""A progress bar of one line, for terminals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import monotonic
from typing import TextIO, TypeVar

T = TypeVar("T")

WIDTH = 30
EVERY = 0.1  # seconds between two drawings


def drawn(items: Iterator[T], total: int, file: TextIO | None = None) -> Iterator[T]:
    """Pass the items on and draw how many of `total` have come.

    Args:
        file: where to draw; default: stderr. Nothing is drawn if it is not a terminal.
    """
    out = sys.stderr if file is None else file
    if not out.isatty():
        yield from items
        return
    started = drawn_at = monotonic()
    done = 0
    try:
        out.write(line(0, total, 0.0))
        for item in items:
            done += 1
            if monotonic() >= drawn_at + EVERY:
                drawn_at = monotonic()
                out.write(line(done, total, drawn_at - started))
                out.flush()
            yield item
    finally:
        out.write(line(done, total, monotonic() - started) + "\n")
        out.flush()


def line(done: int, total: int, elapsed: float) -> str:
    """The bar as text; begins with a carriage return.

    Args:
        elapsed: seconds since the start.
    """
    share = done / total if total else 1.0
    bar = ("█" * round(share * WIDTH)).ljust(WIDTH, "·")
    rate = f"{done / elapsed:,.0f}/s" if elapsed > 0 else ""
    return f"\r{bar} {done:,}/{total:,} {share:4.0%} {rate:>10}"

"""A tick, as handlers see it: the time and the random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Tick(NamedTuple):
    """One turn of the broker's loop.

    Attributes:
        now: Unix time in seconds; the same for everything that happens in this turn.
        jitter: draws a number uniform in [0, 1), a new one each time.
    """

    now: float
    jitter: Callable[[], float]

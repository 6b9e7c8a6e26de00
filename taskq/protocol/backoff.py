"""Exponential backoff, stored with the message and computed in the broker.

A variant of "full jitter" (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015), which draws uniformly between 0 and the bound. Here the draw is between half of the bound and
the bound, so that a retry is never immediate.
"""

from __future__ import annotations

import math
from math import inf

from msgspec import Struct


class Backoff(Struct, array_like=True, frozen=True):
    """The wait before the next attempt.

    Args:
        base: seconds before the second attempt.
        factor: ratio of each further wait to the one before.
        max: maximum wait in seconds.
        jitter: draw each wait between half of it and all of it, to spread simultaneous failures.
        steps: seconds before the second, third … attempt; the last one repeats. Replaces `base`
            and `factor`.
    """

    base: float = 1.0
    factor: float = 2.0
    max: float = 3600.0
    jitter: bool = True
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self._is_sound():
            return
        for name in ("base", "factor", "max"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"Backoff({name}=…) must be a number that is not negative: {value!r}"
                )
        if any(not (math.isfinite(step) and step >= 0) for step in self.steps):
            raise ValueError(
                f"Backoff(steps=…) must hold numbers that are not negative: {self.steps!r}"
            )

    def _is_sound(self) -> bool:
        # asked for each request that the broker decodes, so it must be quick
        try:
            fine = 0 <= self.base < inf and 0 <= self.factor < inf and 0 <= self.max < inf
            return fine and (not self.steps or all(0 <= step < inf for step in self.steps))
        except TypeError:
            return False

    def delay(self, failures: int, draw: float) -> float:
        """Seconds to wait after `failures` failures (from 1), with `draw` uniform in [0, 1)."""
        if self.steps:
            bound = self.steps[min(failures, len(self.steps)) - 1]
        elif self.factor <= 1:
            bound = self.base * self.factor ** min(failures - 1, 10_000)
        else:
            # past this exponent the bound is `max` anyway; the power itself would overflow
            bound = self.base * self.factor ** min(failures - 1, 1000 / math.log2(self.factor))
        bound = min(bound, self.max)
        return bound * (1 - draw / 2) if self.jitter else bound

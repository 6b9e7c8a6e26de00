"""Which queue a claim asks first: smooth weighted round robin.

The algorithm of nginx's upstream balancer: of queues weighing 5, 1 and 1 the first comes in five of
seven turns, and never five times in a row.
"""

from __future__ import annotations

from collections.abc import Sequence


class Rotation:
    """Orders the queues for each claim; those that are not first keep their given order."""

    def __init__(self, queues: Sequence[tuple[str, int]]) -> None:
        self._names = [name for name, _ in queues]
        self._weights = [weight for _, weight in queues]
        self._total = sum(self._weights)
        self._credit = [0] * len(self._names)

    def next(self) -> list[str]:
        """The queue names in the order in which the next claim tries them."""
        names = self._names
        if len(names) == 1:
            return names
        credit = self._credit
        for position, weight in enumerate(self._weights):
            credit[position] += weight
        first = max(range(len(credit)), key=credit.__getitem__)
        credit[first] -= self._total
        return [names[first], *names[:first], *names[first + 1 :]]

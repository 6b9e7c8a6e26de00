"""Results that no archive holds: all of them whole, found by id, leaving by time or by age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from heapq import heappush
from math import inf

from taskq.engine.result import Result
from taskq.engine.sweeping import SweptHeap


class WholeResults:
    """A map from ids to results, in the order of their ends.

    `by_id`: the map itself, for those who look up many.
    `next_due`: when the next one leaves, or shortly before; `inf` where none does.
    """

    __slots__ = ("_leaving", "by_id", "next_due")

    def __init__(self) -> None:
        self.by_id: OrderedDict[str, Result] = OrderedDict()
        # without the results themselves: stale entries are many, and values may be large
        self._leaving: SweptHeap[tuple[float, int, str]] = SweptHeap()
        self.next_due = inf

    def __len__(self) -> int:
        return len(self.by_id)

    def __contains__(self, id: str) -> bool:
        return id in self.by_id

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_id)

    def get(self, id: str) -> Result | None:
        """The result of an id."""
        return self.by_id.get(id)

    def add(self, result: Result, due: float) -> None:
        """Keep a result until then."""
        self.by_id[result.id] = result
        self.look_again(result, due)

    def look_again(self, result: Result, due: float) -> None:
        """Have `pop_due` give a result that is kept, at that time."""
        heappush(self._leaving.entries, (due, result.seq, result.id))
        if due < self.next_due:
            self.next_due = due

    def pop_due(self, now: float, limit: int) -> list[Result]:
        """Up to `limit` results whose time has come. Each is taken out with `remove`, or has another
        time with `look_again`."""
        due: list[Result] = []
        for _ in range(limit):
            if self.next_due > now:
                break
            _, seq, id = self._leaving.pop()
            if self._is_kept(seq, id):
                due.append(self.by_id[id])
            self._look()
        return due

    def remove(self, result: Result) -> None:
        """Take out a result whose time has come."""
        del self.by_id[result.id]

    def pop_oldest(self) -> Result:
        """Take out the one that ended first."""
        _, result = self.by_id.popitem(last=False)
        self._leaving.mark_stale(lambda entry: self._is_kept(entry[1], entry[2]))
        self._look()
        return result

    def _is_kept(self, seq: int, id: str) -> bool:
        result = self.by_id.get(id)
        return result is not None and result.seq == seq

    def _look(self) -> None:
        first = self._leaving.first()
        self.next_due = inf if first is None else first[0]

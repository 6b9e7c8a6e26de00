"""A heap from which stale entries are swept out, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, merge
from typing import Any, Generic, TypeVar

SWEEP = 1000  # stale entries that are left where they are
STEPS = 8  # entries that are looked at for each that becomes stale, while a sweep is on

T = TypeVar("T", bound=tuple[Any, ...])


class SweptHeap(Generic[T]):
    """A heap. Once half of it may be stale, its entries move to another one, but for the stale.

    `entries`: push there. `rest`: while a sweep is on, those that are to move; a heap as well, as it
    is emptied from the end of its list.
    """

    __slots__ = ("_stale", "entries", "rest")

    def __init__(self) -> None:
        self.entries: list[T] = []
        self.rest: list[T] = []
        self._stale = 0

    def __len__(self) -> int:
        return len(self.entries) + len(self.rest)

    def in_order(self) -> Iterator[T]:
        """The entries from the smallest on, stale ones among them; nothing may change meanwhile."""
        return merge(_in_order(self.entries), _in_order(self.rest))

    def first(self) -> T | None:
        """The smallest entry."""
        entries, rest = self.entries, self.rest
        if rest and (not entries or rest[0] < entries[0]):
            return rest[0]
        return entries[0] if entries else None

    def pop(self) -> T:
        """Take the smallest entry out."""
        entries, rest = self.entries, self.rest
        return heappop(rest if rest and (not entries or rest[0] < entries[0]) else entries)

    def mark_stale(self, is_live: Callable[[T], bool]) -> None:
        """One of the entries is no longer wanted, without having been taken out."""
        self._stale += 1
        if self.rest:
            for _ in range(min(STEPS, len(self.rest))):
                entry = self.rest.pop()
                if is_live(entry):
                    heappush(self.entries, entry)
        elif self._stale >= SWEEP and self._stale * 2 > len(self):
            self.entries, self.rest = [], self.entries
            self._stale = 0


def _in_order(heap: list[T]) -> Iterator[T]:
    """What a heap holds, smallest first, without looking at more than is asked for."""
    next_ones: list[tuple[T, int]] = [(heap[0], 0)] if heap else []
    while next_ones:
        entry, index = heappop(next_ones)
        yield entry
        for child in (2 * index + 1, 2 * index + 2):
            if child < len(heap):
                heappush(next_ones, (heap[child], child))

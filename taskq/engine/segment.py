"""A segment: the entries of up to 4,096 results that finished one after another."""

from __future__ import annotations

from array import array
from itertools import accumulate
from math import inf
from struct import Struct

from taskq.engine.result import Entry

LENGTH = 4096

_ENTRY = Struct("<QQdIB")
_SIZE = _ENTRY.size
pack, _unpack_from = _ENTRY.pack, _ENTRY.unpack_from


class Segment:
    """Entries with their ids and the times at which they leave, in columns.

    Columns are a few large blocks of memory. An object for each id would take three times as much,
    and lie among the messages that came with it, whose memory could then not be given back.

    `live`: how many have not left. They leave in the order of their times, by `pop`.
    """

    __slots__ = ("_covered", "_ends", "_entries", "_first", "_ids", "_order", "live", "times")

    def __init__(self) -> None:
        self.times = array("d")
        self.live = 0
        self._entries = bytearray()
        self._ids = bytearray()
        self._ends = array("I")  # of each id
        self._order: array[int] | None = None  # positions by time; `None`: as they came
        self._covered = 0  # so many positions are in `_order`
        self._first = 0  # those before it in the order have left

    def __len__(self) -> int:
        return len(self.times)

    def extend(self, ids: list[str], entries: list[bytes], times: array[float]) -> None:
        """Add entries at the end; `pack` has made them."""
        latest = self.times[-1] if self.times else -inf
        if self._order is None and not _is_ascending(times, latest):
            self._order = array("H", range(len(self.times)))
            self._covered = len(self.times)
        encoded = [id.encode() for id in ids]
        ends = accumulate(map(len, encoded), initial=len(self._ids))
        next(ends)
        self._ends.extend(ends)
        self._ids += b"".join(encoded)
        self._entries += b"".join(entries)
        self.times.extend(times)
        self.live += len(times)

    def id(self, position: int) -> bytes:
        """The id at a position."""
        start = self._ends[position - 1] if position else 0
        return bytes(self._ids[start : self._ends[position]])

    def packed(self, position: int) -> bytes:
        """The bytes of the entry at a position."""
        return bytes(self._entries[position * _SIZE : (position + 1) * _SIZE])

    def entry(self, position: int) -> Entry:
        """The entry at a position."""
        return Entry._make(_unpack_from(self._entries, position * _SIZE))

    def first(self) -> int:
        """The position of the one that leaves next."""
        if self._order is None:
            return self._first
        if self._covered < len(self.times):
            rest = [*self._order[self._first :], *range(self._covered, len(self.times))]
            self._order = array("H", sorted(rest, key=self.times.__getitem__))
            self._covered, self._first = len(self.times), 0
        return self._order[self._first]

    def pop(self) -> int:
        """Take out the one that leaves next; its position."""
        position = self.first()
        self._first += 1
        self.live -= 1
        return position

    def remaining(self) -> list[int]:
        """The positions of those that have not left, in the order in which they will."""
        if not self.live:
            return []
        self.first()
        return list(range(len(self.times)) if self._order is None else self._order)[self._first :]


def _is_ascending(times: array[float], latest: float) -> bool:
    for time in times:
        if time < latest:
            return False
        latest = time
    return True

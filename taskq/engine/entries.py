"""The entries of all results by id, removed by their time or by their age."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import inf

from taskq.engine.hash_table import HashTable
from taskq.engine.result import Entry
from taskq.engine.segment import LENGTH, Segment
from taskq.protocol.values import Call

_POSITION_BITS = 12  # of a place: the number of its segment, then the position in it
_POSITION = 2**_POSITION_BITS - 1
_SPARE = 16  # segments made at once: what is made one by one lies scattered in memory
_STAYS = 60.0  # seconds: a segment whose next entry leaves later than that is worth packing
assert LENGTH == 2**_POSITION_BITS


class Entries:
    """A map from ids to entries. Each step is a bounded amount of work, however many there are."""

    __slots__ = ("_count", "_first", "_next", "_segments", "_spare", "_table", "_times")

    def __init__(self) -> None:
        self._table = HashTable()
        self._segments: list[Segment] = []  # oldest first; empty ones are dropped at the front
        self._times = array("d")  # of each segment: when its next entry leaves, or shortly before
        self._first = 1  # the number of the oldest
        self._spare: list[Segment] = []
        self._count = 0
        self._next = inf

    def __len__(self) -> int:
        return self._count

    def __contains__(self, id: str) -> bool:
        return self._place(id) != 0

    def among(self, calls: list[Call]) -> list[str]:
        """The ids of those calls that are there."""
        likely = self._table.likely(calls)
        return [id for id in likely if self._place(id)] if likely else likely

    def __iter__(self) -> Iterator[str]:
        for segment in self._segments:
            yield from (segment.id(position).decode() for position in segment.remaining())

    def get(self, id: str) -> Entry | None:
        """The entry of an id."""
        place = self._place(id)
        if not place:
            return None
        return self._segments[(place >> _POSITION_BITS) - self._first].entry(place & _POSITION)

    def extend(self, ids: list[str], entries: list[bytes], times: array[float]) -> None:
        """Add ids that are not there. `entries` were made by `segment.pack`; `times` are those at which
        they leave, `inf` for never."""
        start, count = 0, len(ids)
        while start < count:
            if not self._segments or len(self._segments[-1]) >= LENGTH:
                self._begin()
            segment = self._segments[-1]
            length = len(segment)
            end = min(count, start + LENGTH - length)
            piece, leaving = ids[start:end], times[start:end]
            place = (self._first + len(self._segments) - 1 << _POSITION_BITS) + length
            self._table.extend(piece, place)
            segment.extend(piece, entries[start:end], leaving)
            earliest = min(leaving)
            if earliest < self._times[-1]:
                self._times[-1] = earliest
                self._next = min(self._next, earliest)
            start = end
        self._count += count

    def expect(self, count: int) -> None:
        """Allocate an empty map for `count` entries, so that it does not grow in steps."""
        self._table.expect(count)

    def next_due(self) -> float:
        """When the next entry leaves, or shortly before; `inf` if none does."""
        return self._next

    def pop_due(self, now: float, limit: int) -> list[tuple[str, Entry]]:
        """Take out up to `limit` entries whose time has come."""
        gone: list[tuple[str, Entry]] = []
        for _ in range(limit):  # of segments, too
            if self._next > now or len(gone) >= limit:
                break
            index = self._times.index(self._next)
            segment = self._segments[index]
            while segment.live and segment.times[segment.first()] <= now and len(gone) < limit:
                gone.append(self._take(segment))
            self._look_at(index, now)
        return gone

    def pop_oldest(self) -> tuple[str, Entry]:
        """Remove and return the entry of the oldest segment that would leave next."""
        segment = self._segments[0]
        taken = self._take(segment)
        if not segment.live:
            self._look_at(0, 0.0)
        return taken

    # --- segments ---------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._spare:
            self._spare = [Segment() for _ in range(_SPARE)]
        self._segments.append(self._spare.pop())
        self._times.append(inf)

    def _take(self, segment: Segment) -> tuple[str, Entry]:
        position = segment.pop()
        id = segment.id(position).decode()
        entry = segment.entry(position)
        self._table.remove(hash(id), self._place(id))
        self._count -= 1
        return id, entry

    def _look_at(self, index: int, now: float) -> None:
        """Update when the next entry of a segment leaves; drop the segment if it is empty."""
        segment = self._segments[index]
        time = segment.times[segment.first()] if segment.live else inf
        is_newest = index + 1 == len(self._segments)
        if segment.live * 2 <= len(segment) and not is_newest and now + _STAYS < time:
            self._pack(index)
        self._times[index] = time
        while self._segments and not self._segments[0].live:
            del self._segments[0], self._times[0]
            self._first += 1
        self._next = min(self._times, default=inf)

    def _pack(self, index: int) -> None:
        """Copy the remaining entries of a segment into a new one, without gaps."""
        old, new = self._segments[index], Segment()
        number = self._first + index << _POSITION_BITS
        ids: list[str] = []
        entries: list[bytes] = []
        times = array("d")
        for position in old.remaining():
            id = old.id(position)
            self._table.replace(hash(id.decode()), number | position, number | len(ids))
            ids.append(id.decode())
            entries.append(old.packed(position))
            times.append(old.times[position])
        new.extend(ids, entries, times)
        self._segments[index] = new

    def _place(self, id: str) -> int:
        """Where an id is; 0 for nowhere."""
        key = id.encode()
        for place in self._table.places(hash(id)):
            segment = self._segments[(place >> _POSITION_BITS) - self._first]
            if segment.id(place & _POSITION) == key:
                return place
        return 0

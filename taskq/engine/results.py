"""Results: kept for their TTL, or as long as there is room; removed by the clock, not by a reader.

In memory there is a small entry for each, and the whole of a few new ones; the rest is read from the
archive, which is the journal, when somebody asks. Without an archive all are held whole.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from taskq.engine.changes import Changes
from taskq.engine.entries import Entries
from taskq.engine.result import REMEMBERED, RESULT, Archive, Entry, Result, entry_of
from taskq.engine.segment import pack
from taskq.engine.states import State
from taskq.errors import TaskqError
from taskq.protocol.values import Finished

FORGOTTEN = 100_000  # ids of expired results that can still be told from unknown ones
AT_ONCE = 100  # results that leave in one tick
TOGETHER = 256  # new results whose entries are made at once …
LARGE = 2**16  # … or fewer, of so many bytes


class Retention(NamedTuple):
    """The maximum number of results that are kept, and of their bytes; 0 means no bound."""

    results: int = 0
    bytes: int = 0

    def checked(self) -> Retention:
        """Return this object. Raises `TaskqError` if a bound is negative."""
        if self.results < 0 or self.bytes < 0:
            raise TaskqError("a bound of results must be a number of at least 1, or 0 for none")
        return self


ON_DISK = Retention(1_000_000, 2**30)  # a hundred bytes of memory each: safe on a small machine
IN_MEMORY = Retention(200_000, 2**28)  # half a kilobyte each, and the values


class Results:
    """All results, by id.

    `bytes`: of their values and errors. `evicted`: how many had to leave before their time, since the
    broker was started. `archive`: where those lie that were committed.
    """

    __slots__ = (
        "_bytes_of_entries",
        "_changes",
        "_entries",
        "_forgotten",
        "_new",
        "_new_due",
        "_whole",
        "archive",
        "bytes",
        "evicted",
        "retention",
    )

    def __init__(self, changes: Changes, retention: Retention) -> None:
        self.retention = retention
        self.archive: Archive | None = None
        self.bytes = 0
        self.evicted = 0
        self._entries = Entries()
        self._bytes_of_entries = 0
        self._new: dict[str, Result] = {}  # they have no entry yet
        self._new_due = inf  # when the first of them leaves
        self._whole: dict[str, Result] = {}  # of those that are not in the archive
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._changes = changes

    def __len__(self) -> int:
        return len(self._entries) + len(self._new)

    def __contains__(self, id: str) -> bool:
        return id in self._entries or id in self._new

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from self._new

    # --- adding -----------------------------------------------------------------------------

    def put(self, result: Result) -> None:
        """Keep a result and have it written."""
        self._changes.put[RESULT][result] = None
        ttl = result.spec.options.result_ttl
        due = result.finished_at + (max(REMEMBERED, ttl))
        if due < self._new_due:
            self._new_due = due
        self._new[result.id] = result
        value = result.value
        if result.error is not None:
            self.bytes += result.size
        elif value is not None:
            self.bytes += len(value)

    def restore(self, ids: list[str], entries: list[bytes], times: array[float], size: int) -> None:
        """Keep results that are in the archive, of so many bytes together, oldest first.

        `entries` were made by `segment.pack`; `times`: until when they are remembered.
        """
        self._entries.expect(len(ids))
        self._entries.extend(ids, entries, times)
        self.bytes += size
        self._bytes_of_entries += size

    def committed(self) -> None:
        """Release the values of new results, which are in the archive after this commit."""
        if len(self._new) >= TOGETHER or self.bytes - self._bytes_of_entries > LARGE:
            self._make_entries()

    def _make_entries(self) -> None:
        """Make the entries of what is new. Many at once cost a fraction of one by one."""
        new, self._new = self._new, {}
        self._new_due = inf
        self._bytes_of_entries = self.bytes
        if self.archive is None:
            self._whole.update(new)
        entries, times = [], []
        for result in new.values():
            value, error, ttl = result.value, result.error, result.spec.options.result_ttl
            size = len(value) if error is None and value is not None else result.size
            expires_at = result.finished_at + ttl
            entries.append(pack(result.seq, result.receipt, expires_at, size, result.state))
            times.append(expires_at if ttl >= REMEMBERED else result.finished_at + REMEMBERED)
        self._entries.extend(list(new), entries, array("d", times))

    # --- asking -----------------------------------------------------------------------------

    def entry(self, id: str) -> Entry | None:
        """What is in memory of a result."""
        new = self._new.get(id)
        return self._entries.get(id) if new is None else entry_of(new)

    def get(self, id: str) -> Result | None:
        """The whole result. Raises `JournalError` if it cannot be read back."""
        entry = self.entry(id)
        return None if entry is None else self._read({id: entry})[id]

    def label(self, id: str, now: float) -> str:
        """The state in which that id has ended; `"unknown"` or `"forgotten"` where none is kept."""
        entry = self.entry(id)
        if entry is None:
            return "forgotten" if id in self._forgotten else "unknown"
        return "forgotten" if entry.has_expired(now) else State(entry.state).label

    def finished(self, ids: Iterable[str], now: float) -> list[Finished]:
        """The `Finished` of ids that have no live message, in their order."""
        entries = {id: self.entry(id) for id in ids}
        wanted = {
            id: entry for id, entry in entries.items() if entry and not entry.has_expired(now)
        }
        whole = self._read(wanted)
        return [
            _finished(whole[id]) if id in whole else Finished(id, self.label(id, now))
            for id in entries
        ]

    def _read(self, entries: dict[str, Entry]) -> dict[str, Result]:
        found: dict[str, Result] = {}
        absent: dict[int, str] = {}
        for id, entry in entries.items():
            result = self._new.get(id) or self._whole.get(id)
            if result is not None:
                found[id] = result
            else:
                absent[entry.seq] = id
        if absent:
            assert self.archive is not None
            archived = self.archive.read_results(list(absent))
            found.update((id, archived[seq]) for seq, id in absent.items())
        return found

    # --- leaving ----------------------------------------------------------------------------

    def next_due(self) -> float:
        """When the next result leaves, or shortly before; `inf` for never."""
        return min(self._entries.next_due(), self._new_due)

    def expire(self, now: float) -> None:
        """Drop results whose time has come, a bounded number at once."""
        if self._new_due <= now:
            self._make_entries()
        for id, entry in self._entries.pop_due(now, self._at_once()):
            self._forget(id, entry)

    def is_over(self, most_bytes: float) -> bool:
        """Whether the results exceed their bounds, or `most_bytes`, which the caller allows."""
        most, most_size = self.retention
        size = self.bytes
        over = (
            size > most_bytes
            or 0 < most < len(self._entries) + len(self._new)
            or 0 < most_size < size
        )
        return over and len(self) > 0

    def evict(self, most_bytes: float) -> None:
        """Drop the oldest results until the rest is within the bounds, a bounded number at once."""
        self._make_entries()
        unwritten = {result.id: result for result in self._changes.put[RESULT]}
        for _ in range(self._at_once()):
            if not self.is_over(most_bytes):
                return
            id, entry = self._entries.pop_oldest()
            self._forget(id, entry, unwritten.get(id))
            self.evicted += 1

    def _at_once(self) -> int:
        return AT_ONCE + len(self._changes.put[RESULT])  # or they could come faster than they go

    def _forget(self, id: str, entry: Entry, unwritten: Result | None = None) -> None:
        """Drop a result. `unwritten`: the result itself, if it is of this tick."""
        self.bytes -= entry.size
        self._bytes_of_entries -= entry.size
        whole = self._whole.pop(id, unwritten)
        self._changes.remove(RESULT, entry if whole is None else whole)
        self._forgotten[id] = None
        if len(self._forgotten) > FORGOTTEN:
            self._forgotten.popitem(last=False)


def _finished(result: Result) -> Finished:
    spec = result.spec
    return Finished(
        result.id, result.state.label, result.value, result.error, spec.queue, spec.task
    )

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
from taskq.engine.whole import WholeResults
from taskq.errors import TaskqError
from taskq.protocol.values import Call, Finished

FORGOTTEN = 100_000  # ids of expired results that are still distinguished from unknown ones
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
    broker was started. `archive`: where those lie that were committed. `next_due`: when the next one
    leaves, or shortly before; `inf` for never. `may_be_over`: there may be more than there may be.
    """

    __slots__ = (
        "_bytes_of_entries",
        "_changes",
        "_count",
        "_entries",
        "_forgotten",
        "_new",
        "_new_due",
        "_whole",
        "archive",
        "bytes",
        "evicted",
        "may_be_over",
        "next_due",
        "retention",
    )

    def __init__(self, changes: Changes, retention: Retention) -> None:
        self.retention = retention
        self.archive: Archive | None = None
        self.bytes = 0
        self.evicted = 0
        self.next_due = inf
        self.may_be_over = False
        self._count = 0
        self._entries = Entries()
        self._bytes_of_entries = 0
        self._new: dict[str, Result] = {}  # they have no entry yet
        self._new_due = inf  # when the first of them leaves
        self._whole = WholeResults()  # of those that no archive holds
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._changes = changes

    def __len__(self) -> int:
        return self._count

    def __contains__(self, id: str) -> bool:
        return id in self._new or id in self._whole or id in self._entries

    def among(self, calls: list[Call]) -> set[str]:
        """The ids of those calls that have a result: none, or all where a request is repeated."""
        new = self._new if self.archive is not None else self._whole.by_id
        found = set(self._entries.among(calls))
        for call in calls:
            if call.id in new:
                found.add(call.id)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from self._new
        yield from self._whole

    # --- adding -----------------------------------------------------------------------------

    def put(self, result: Result) -> None:
        """Keep a result and have it written."""
        self._count += 1
        self._changes.put[RESULT][result] = None
        ttl = result.spec.options.result_ttl
        if ttl < REMEMBERED and (self.archive is not None or result.value is None):
            ttl = REMEMBERED
        due = result.finished_at + ttl
        if due < self.next_due:
            self.next_due = due
        if self.archive is None:
            self._whole.add(result, due)
        else:
            self._new[result.id] = result
            if due < self._new_due:
                self._new_due = due
        if result.error is not None:
            self.bytes += result.size
        elif result.value is not None:
            self.bytes += len(result.value)
        self.may_be_over = True

    def restore(self, ids: list[str], entries: list[bytes], times: array[float], size: int) -> None:
        """Keep results that are in the archive, of so many bytes together, oldest first.

        `entries` were made by `segment.pack`; `times`: until when they are remembered.
        """
        self._entries.expect(len(ids))
        self._entries.extend(ids, entries, times)
        self._count += len(ids)
        self.bytes += size
        self._bytes_of_entries += size
        self.may_be_over = True
        self._look()

    def committed(self) -> None:
        """Release the values of new results, which are in the archive after this commit."""
        if len(self._new) >= TOGETHER or self.bytes - self._bytes_of_entries > LARGE:
            self._make_entries()

    def _make_entries(self) -> None:
        """Make the entries of what is new. Many at once cost a fraction of one by one."""
        new, self._new = self._new, {}
        self._new_due = inf
        self._bytes_of_entries = self.bytes
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
        new = self._new.get(id) or self._whole.get(id)
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

    def expire(self, now: float) -> None:
        """Drop results whose time has come, a bounded number at once."""
        limit = self._at_once()
        for result in self._whole.pop_due(now, limit):
            remembered = result.finished_at + REMEMBERED
            if remembered > now and result.value is not None:
                self.bytes -= len(result.value)
                result.value = None
                self._whole.look_again(result, remembered)
            else:
                self._whole.remove(result)
                self._forget(result.id, result, result.size)
        if self._new_due <= now:
            self._make_entries()
        for id, entry in self._entries.pop_due(now, limit):
            self._forget(id, entry, entry.size)
            self._bytes_of_entries -= entry.size
        self._look()

    def evict(self, most_bytes: float) -> None:
        """Drop the oldest results until the rest is within the bounds, a bounded number at once.

        Args:
            most_bytes: a bound of the caller's, besides `retention`.
        """
        self.may_be_over = self._is_over(most_bytes)
        if not self.may_be_over:
            return
        unwritten = {result.id: result for result in self._changes.put[RESULT]}
        for _ in range(self._at_once()):
            if self._whole:
                result = self._whole.pop_oldest()
                self._forget(result.id, result, result.size)
            else:
                if not self._entries:
                    self._make_entries()
                id, entry = self._entries.pop_oldest()
                self._forget(id, unwritten.get(id, entry), entry.size)
                self._bytes_of_entries -= entry.size
            self.evicted += 1
            self.may_be_over = self._is_over(most_bytes)
            if not self.may_be_over:
                break
        self._look()

    def _is_over(self, most_bytes: float) -> bool:
        most, most_size = self.retention
        over = self.bytes > most_bytes or 0 < most < self._count or 0 < most_size < self.bytes
        return over and self._count > 0

    def _at_once(self) -> int:
        return AT_ONCE + len(self._changes.put[RESULT])  # or they could come faster than they go

    def _forget(self, id: str, gone: Result | Entry, size: int) -> None:
        self._count -= 1
        self.bytes -= size
        self._changes.remove(RESULT, gone)
        self._forgotten[id] = None
        if len(self._forgotten) > FORGOTTEN:
            self._forgotten.popitem(last=False)

    def _look(self) -> None:
        self.next_due = min(self._whole.next_due, self._entries.next_due(), self._new_due)


def _finished(result: Result) -> Finished:
    spec = result.spec
    return Finished(
        result.id, result.state.label, result.value, result.error, spec.queue, spec.task
    )

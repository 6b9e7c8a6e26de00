"""The ready messages of one group, by priority, then by due time, then by acceptance.

A message that was not delayed is due when it is accepted. A message that is released gets its old
place back. Retries and delayed messages are placed by the time at which they became due, so a storm of
retries does not delay messages that were there before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappush, merge
from itertools import chain
from typing import Generic, Protocol, TypeVar

from taskq.engine.states import State
from taskq.engine.sweeping import STEPS, SWEEP, SweptHeap

PRIORITIES = 4
SKIP = 1000  # stale entries that one claim skips in a lane


class Accepted(Protocol):
    """The part of a message that its place depends on."""

    seq: int


class Queued(Protocol):
    """The part of a delivery that its place depends on."""

    state: State
    due_at: float

    @property
    def message(self) -> Accepted:
        """The message of the delivery."""
        ...


E = TypeVar("E", bound=Queued)


class Lane(Generic[E]):
    """Deliveries in one state, by due time, then by acceptance.

    One that arrives in order costs O(1), another one O(log n).

    Entries that have left the state meanwhile are skipped when they reach the front. Once they may be
    half of all, they are swept out: what is left of `arrived` moves to `front`, a few at a time.
    """

    __slots__ = ("arrived", "front", "is_swept", "returned", "stale", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self.stale = 0
        self.is_swept = False
        self.front: deque[E] = deque()  # empty, unless a sweep is on
        self.arrived: deque[E] = deque()
        self.returned: SweptHeap[tuple[float, int, E]] = SweptHeap()

    def push(self, delivery: E) -> None:
        line = self.arrived or self.front
        if line:
            last = line[-1]
            if last.due_at >= delivery.due_at and _place(last) > _place(delivery):
                heappush(self.returned.entries, (*_place(delivery), delivery))
                return
        self.arrived.append(delivery)

    def extend(self, deliveries: list[E]) -> None:
        """Add some that are in order."""
        line = self.arrived or self.front
        if line and _place(line[-1]) > _place(deliveries[0]):
            for delivery in deliveries:
                self.push(delivery)
        else:
            self.arrived.extend(deliveries)

    def _pop(self) -> E | None:
        """Take the first entry out, stale or not; `None` if there is none."""
        returned = self.returned
        line = self.front or self.arrived
        if (returned.entries or returned.rest) and (
            (first := returned.first()) is not None and (not line or first[:2] < _place(line[0]))
        ):
            return returned.pop()[2]
        return line.popleft() if line else None

    def take(self) -> Iterator[E]:
        """Take them out one by one until there is none, or many stale ones were skipped."""
        returned, state, skipped = self.returned, self.state, 0
        while skipped < SKIP:
            if self.front or returned.entries or returned.rest:
                entry = self._pop()  # it sees to the order
            else:
                entry = self.arrived.popleft() if self.arrived else None
            if entry is None:
                return
            if entry.state is state:
                yield entry
            else:
                skipped += 1

    def __len__(self) -> int:
        return len(self.front) + len(self.arrived) + len(self.returned)

    def mark_stale(self) -> None:
        """Note that an entry left the state without having been taken out.

        Without claims it would be kept for ever.
        """
        self.returned.mark_stale(self._is_live)
        self.stale += 1
        if not self.is_swept and self.stale >= SWEEP and self.stale * 2 > len(self.arrived):
            self.is_swept = True
            self.stale = 0
        if self.is_swept:
            self._sweep()

    def _is_live(self, entry: tuple[float, int, E]) -> bool:
        return entry[2].state is self.state

    def _sweep(self) -> None:
        for _ in range(STEPS):
            if not self.arrived:
                self.arrived, self.front = self.front, self.arrived
                self.is_swept = False
                return
            entry = self.arrived.popleft()
            if entry.state is self.state:
                self.front.append(entry)

    def __iter__(self) -> Iterator[E]:
        """The deliveries in the state, in order, found one by one."""
        line = ((*_place(entry), entry) for entry in chain(self.front, self.arrived))
        for _, _, entry in merge(line, self.returned.in_order()):
            if entry.state is self.state:
                yield entry


def _place(delivery: Queued) -> tuple[float, int]:
    return delivery.due_at, delivery.message.seq


class ReadyQueue(Generic[E]):
    """Four lanes, one a priority."""

    __slots__ = ("lanes",)

    def __init__(self) -> None:
        self.lanes: tuple[Lane[E], ...] = tuple(Lane(State.READY) for _ in range(PRIORITIES))

    def push(self, delivery: E, priority: int) -> None:
        """Add a delivery whose state is READY."""
        self.lanes[priority].push(delivery)

    def take(self) -> Iterator[E]:
        """Take them out one by one, in order; ends early where many stale ones come first."""
        for lane in self.lanes:
            if lane.arrived or lane.returned.entries or lane.front or lane.returned.rest:
                yield from lane.take()
                if len(lane):
                    return

    @property
    def is_empty(self) -> bool:
        """Whether there is not even a stale entry."""
        return not any(len(lane) for lane in self.lanes)

    def oldest(self) -> float | None:
        """When the longest waiting one became due; a hint, for a cancelled one may still be counted."""
        lines = [lane.front or lane.arrived for lane in self.lanes]
        heads = [line[0].due_at for line in lines if line]
        heads += [first[0] for lane in self.lanes if (first := lane.returned.first()) is not None]
        return min(heads, default=None)

    def __iter__(self) -> Iterator[E]:
        for lane in self.lanes:
            yield from lane

"""The ready messages of one group: highest priority first, within one by when they fell due.

A message that was not delayed is due when it is accepted. So what comes back unfinished has its old
place, while a retry and what was delayed stand in line from the moment on that they were due: a
storm of retries keeps nobody waiting who came before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from taskq.engine.states import State
from taskq.engine.timers import SWEEP

PRIORITIES = 4


class Accepted(Protocol):
    """A message, as far as its place in line depends on it."""

    seq: int


class Entry(Protocol):
    """A delivery, as far as its place in line depends on it."""

    state: State
    due_at: float

    @property
    def message(self) -> Accepted:
        """What is delivered."""
        ...


E = TypeVar("E", bound=Entry)


class Lane(Generic[E]):
    """Deliveries in one state, by the time they were due, then by acceptance. What arrives in order
    costs O(1); what comes late, O(log n).

    Entries that have left the state meanwhile are skipped when they reach the front, or swept out
    once they may be half of all.
    """

    __slots__ = ("arrived", "returned", "stale", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self.stale = 0
        self.arrived: deque[E] = deque()
        self.returned: list[tuple[float, int, E]] = []

    def push(self, delivery: E) -> None:
        arrived = self.arrived
        if (
            not arrived
            or arrived[-1].due_at < delivery.due_at
            or _place(arrived[-1]) < _place(delivery)
        ):
            arrived.append(delivery)
        else:
            heappush(self.returned, (*_place(delivery), delivery))

    def pop(self) -> E | None:
        arrived, returned = self.arrived, self.returned
        while arrived or returned:
            if returned and (not arrived or returned[0][:2] < _place(arrived[0])):
                delivery = heappop(returned)[2]
            else:
                delivery = arrived.popleft()
            if delivery.state is self.state:
                return delivery
        return None

    def __len__(self) -> int:
        return len(self.arrived) + len(self.returned)

    def mark_stale(self) -> None:
        """An entry has left the state without having been taken out. Where nobody claims, it would
        be kept for ever."""
        self.stale += 1
        if self.stale >= SWEEP and self.stale * 2 > len(self):
            self.arrived = deque(entry for entry in self.arrived if entry.state is self.state)
            self.returned = [entry for entry in self.returned if entry[2].state is self.state]
            heapify(self.returned)
            self.stale = 0

    def __iter__(self) -> Iterator[E]:
        entries = [*self.arrived, *(delivery for _, _, delivery in self.returned)]
        return iter(sorted((entry for entry in entries if entry.state is self.state), key=_place))


def _place(delivery: Entry) -> tuple[float, int]:
    return delivery.due_at, delivery.message.seq


class ReadyQueue(Generic[E]):
    """Four lanes, one a priority."""

    __slots__ = ("lanes",)

    def __init__(self) -> None:
        self.lanes: tuple[Lane[E], ...] = tuple(Lane(State.READY) for _ in range(PRIORITIES))

    def push(self, delivery: E, priority: int) -> None:
        """Add a delivery whose state is READY."""
        self.lanes[priority].push(delivery)

    def pop(self) -> E | None:
        """Take the first one out, or `None`."""
        for lane in self.lanes:
            if lane.arrived or lane.returned:
                delivery = lane.pop()
                if delivery is not None:
                    return delivery
        return None

    def oldest(self) -> float | None:
        """When the longest waiting one became due; a hint, for a cancelled one may still be counted."""
        heads = [lane.arrived[0].due_at for lane in self.lanes if lane.arrived]
        heads += [lane.returned[0][0] for lane in self.lanes if lane.returned]
        return min(heads, default=None)

    def __iter__(self) -> Iterator[E]:
        for lane in self.lanes:
            yield from lane

"""Results: the ends of messages, kept for their TTL and then removed by the clock, not by a reader."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from math import isinf

from msgspec import Struct

from taskq.engine.changes import Changes
from taskq.engine.model import Delivery, Spec
from taskq.engine.states import State
from taskq.engine.timers import MovableTimer, Timers
from taskq.protocol.values import ErrorInfo, Finished

RESULT = "result"  # the durable subject, see `changes`
REMEMBERED = 60.0  # seconds that an id is known at least, so that a repeated enqueue finds it
FORGOTTEN = 100_000  # ids of expired results that can still be told from unknown ones


class Result(Struct, eq=False):
    """The end of one message: `value` for a success, `error` for the reason of anything else."""

    seq: int
    id: str
    spec: Spec
    state: State
    value: bytes | None
    error: ErrorInfo | None
    receipt: int
    attempts: int
    worker: str
    created_at: float
    started_at: float
    finished_at: float

    @classmethod
    def of(
        cls, delivery: Delivery, value: bytes | None, error: ErrorInfo | None, now: float
    ) -> Result:
        """The end of a message, from its first group's delivery, which has just ended."""
        message = delivery.message
        return cls(
            message.seq,
            message.id,
            message.spec,
            delivery.state,
            value if message.spec.options.result_ttl > 0 else None,
            error,
            delivery.receipt,
            delivery.claims,
            delivery.consumer.worker.name if delivery.consumer else "",
            message.created_at,
            delivery.leased_at,
            now,
        )

    @property
    def expires_at(self) -> float:
        """When its value goes."""
        return self.finished_at + self.spec.options.result_ttl

    def has_expired(self, now: float) -> bool:
        """Whether its value has outlived its TTL; the reason of another end is told to the last."""
        return self.state is State.SUCCEEDED and now >= self.expires_at

    @property
    def remembered_until(self) -> float:
        """When the record itself goes; its value may have expired before."""
        return max(self.expires_at, self.finished_at + REMEMBERED)


class Results:
    """All results, by id, with active expiry."""

    __slots__ = ("_alarm", "_by_id", "_changes", "_expiry", "_forgotten")

    def __init__(self, timers: Timers, changes: Changes) -> None:
        self._by_id: dict[str, Result] = {}
        self._expiry: list[tuple[float, int, Result]] = []
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._alarm = MovableTimer(timers, self._expire)
        self._changes = changes

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, id: str) -> bool:
        return id in self._by_id

    def get(self, id: str) -> Result | None:
        return self._by_id.get(id)

    def values(self) -> list[Result]:
        return list(self._by_id.values())

    def put(self, result: Result) -> None:
        """Keep a result and have it written."""
        self._changes.put[RESULT][result] = None
        self.restore(result)

    def restore(self, result: Result) -> None:
        """Keep a result that is in the journal already."""
        self._by_id[result.id] = result
        until = result.remembered_until
        if not isinf(until):
            heappush(self._expiry, (until, result.seq, result))
            if until < self._alarm.when:
                self._alarm.set(until)

    def finished(self, id: str, now: float) -> Finished:
        """What a waiter is told of an id that has no live message."""
        result = self._by_id.get(id)
        if result is None:
            return Finished(id, "forgotten" if id in self._forgotten else "unknown")
        if result.has_expired(now):
            return Finished(id, "forgotten")
        spec = result.spec
        return Finished(id, result.state.label, result.value, result.error, spec.queue, spec.task)

    def _expire(self, now: float) -> None:
        expiry = self._expiry
        while expiry and expiry[0][0] <= now:
            result = heappop(expiry)[2]
            del self._by_id[result.id]
            self._changes.remove(RESULT, result)
            self._forgotten[result.id] = None
            if len(self._forgotten) > FORGOTTEN:
                self._forgotten.popitem(last=False)
        if expiry:
            self._alarm.set(expiry[0][0])

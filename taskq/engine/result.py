"""A result: the end of one message. Whole while it is new, in a few bytes from then on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from taskq.engine.model import Delivery
from taskq.engine.specs import Spec
from taskq.engine.states import State
from taskq.protocol.values import ErrorInfo

SUCCEEDED = State.SUCCEEDED
RESULT = "result"  # the durable subject, see `changes`
REMEMBERED = 60.0  # seconds that an id is known at least, so that a repeated enqueue finds it


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
    deliveries: int = 0
    deaths: int = 0

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
            delivery.failures + (delivery.state is SUCCEEDED),  # `attempts`, without a call
            delivery.consumer.worker.name if delivery.consumer else "",
            message.created_at,
            delivery.leased_at,
            now,
            delivery.deliveries,
            delivery.deaths,
        )

    @property
    def size(self) -> int:
        """Bytes of its value, or of its error."""
        value, error = self.value, self.error
        size = 0 if value is None else len(value)
        return size if error is None else size + error.size


class Entry(NamedTuple):
    """The part of a result that is kept in memory."""

    seq: int
    receipt: int
    expires_at: float
    size: int
    state: int

    def has_expired(self, now: float) -> bool:
        """Whether its value has outlived its TTL. An error is kept as long as the entry."""
        return self.state == State.SUCCEEDED and now >= self.expires_at


def entry_of(result: Result) -> Entry:
    """The entry of a result."""
    expires_at = result.finished_at + result.spec.options.result_ttl
    return Entry(result.seq, result.receipt, expires_at, result.size, result.state)


def remembered_until(expires_at: float, finished_at: float) -> float:
    """The time until which an entry is kept; the value of the result may expire before."""
    return max(expires_at, finished_at + REMEMBERED)


class Archive(Protocol):
    """The store of committed results."""

    def read_results(self, seqs: Sequence[int]) -> dict[int, Result]:
        """Read the results with these numbers. Raises `JournalError`."""
        ...

"""What users of the port have been told, and what they may rely on.

The numbers in the messages are those of the invariants in `tests/property/model.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from taskq.protocol.values import Abandon, Ack, Delivered, Fail, JobInfo, Options, Outcome, Release

FINAL = {
    "succeeded",
    "cancelled",
    "expired",
    "unseen",
}  # the last: ended and gone between two looks
WAITING = {"held", "parked", "scheduled", "ready"}
OPEN = WAITING | {"leased"}
REMEMBERED = 60.0  # seconds for which an id is known after its end, at least


@dataclass
class Copy:
    """One message in one group. `receipt`: of its latest delivery. `finished_at`: not before that."""

    state: str = "new"
    receipt: int = 0
    deliveries: int = 0
    leased_until: float = 0.0
    replayed_after: int = 0  # deliveries
    failures: int = 0
    not_before: float = 0.0
    asked: bool = False  # to stop
    replayed: bool = False
    purged: bool = False
    open_at: float = 0.0  # when it was last seen to be open
    finished_at: float = 0.0


@dataclass
class Message:
    """One acknowledged message."""

    queue: str
    payload: bytes
    options: Options
    due_at: float
    expires_at: float | None
    number: int
    delayed: bool
    copies: dict[str, Copy] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether every copy has ended."""
        return all(copy.purged or copy.state in FINAL for copy in self.copies.values())

    def may_be_forgotten(self, now: float) -> bool:
        """Whether its id may be that of a new message by now; other groups may still have it."""
        first = self.copies["default"]
        if first.purged:
            return True
        kept = max(self.options.result_ttl, REMEMBERED)
        return first.state in FINAL and now >= first.finished_at + kept


class PortModel:
    """Everything that was acknowledged. `groups`: those of each queue."""

    def __init__(self, groups: dict[str, list[str]]) -> None:
        self.groups = groups
        self.messages: dict[str, Message] = {}
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.last_receipt = 0
        self.owners: dict[int, tuple[str, str]] = {}  # receipt: message and group
        self.settled: set[int] = set()
        self._numbers = 0
        self._newest: dict[tuple[str, str, int], int] = {}  # number of the last fresh delivery

    # --- what is told -------------------------------------------------------------------------

    def enqueued(
        self, calls: dict[str, Message], ids: list[str], existing: list[str], now: float
    ) -> None:
        """9: one id is one message; whether it was known is told rightly."""
        told = Counter(existing)
        for id, count in Counter(ids).items():
            known = self.messages.get(id)
            assert told[id] in (count, count - 1), (
                f"9: {id} was sent {count} times, {told[id]} known"
            )
            is_new = told[id] == count - 1
            assert is_new or known is not None, f"9: {id} is said to be known"
            if is_new:
                assert known is None or known.may_be_forgotten(now), (
                    f"2: {id} was forgotten too soon"
                )
                message = self.messages[id] = calls[id]
                self._numbers += 1
                message.number = self._numbers
                for group in self.groups[message.queue]:
                    message.copies[group] = Copy(not_before=message.due_at)
                    self.accepted[message.queue, group] += 1

    def kept_by_others(self, now: float) -> set[str]:
        """Ids that are free, of messages that other groups still have. This model tells messages apart
        by their ids, so it uses none of them for two at once; `tests/conformance` does."""
        return {
            id
            for id, message in self.messages.items()
            if message.may_be_forgotten(now) and not message.is_over
        }

    def delivered(self, messages: list[Delivered], group: str, now: float) -> None:
        """3, 5, 6, 7, 9, 11: what holds for each delivery."""
        for told in messages:
            assert told.receipt > self.last_receipt, "3: the fence did not rise"
            self.last_receipt = told.receipt
            message = self.messages[told.id]
            copy = message.copies[group]
            assert told.payload == message.payload, "9: the first message's payload"
            assert now >= max(message.due_at, copy.not_before), "7: before its time"
            assert copy.state not in FINAL, f"6: delivered after it was {copy.state}"
            assert not (message.options.ack_early and copy.deliveries), "5: early, and twice"
            late = message.expires_at is not None and now >= message.expires_at
            assert not late or copy.deliveries or copy.replayed, "6: started after it had expired"
            self._check_order(message, copy, group)
            copy.deliveries += 1
            most = copy.deliveries - copy.replayed_after
            assert copy.failures < told.attempt <= most, f"5: attempt {told.attempt}"
            copy.receipt, copy.state = told.receipt, "leased"
            copy.leased_until = now + told.lease
            self.owners[told.receipt] = told.id, group

    def _check_order(self, message: Message, copy: Copy, group: str) -> None:
        """11: what was never delivered, held or delayed comes in the order of its acceptance."""
        if not copy.deliveries and not message.delayed and copy.state == "ready":
            lane = (message.queue, group, message.options.priority)
            assert message.number > self._newest.get(lane, 0), "11: not first in, first out"
            self._newest[lane] = message.number

    def is_live(self, receipt: int) -> bool:
        """Whether this is the delivery that a message is leased by now."""
        id, group = self.owners[receipt]
        copy = self.messages[id].copies.get(group)
        return copy is not None and copy.receipt == receipt and copy.state == "leased"

    def settled_as(self, outcome: Outcome, now: float) -> set[str]:
        """The states that an outcome in time may lead to."""
        id, group = self.owners[outcome.receipt]
        message = self.messages[id]
        copy = message.copies[group]
        copy.leased_until = 0.0
        self.settled.add(outcome.receipt)
        if isinstance(outcome, Ack):
            return {"succeeded"}
        if isinstance(outcome, Abandon) or copy.asked:
            return {"cancelled"}
        if isinstance(outcome, Release):
            return {"ready", "leased", "expired", "parked"}
        assert isinstance(outcome, Fail)
        copy.failures += 1
        if outcome.final or copy.failures > message.options.retries:
            return {"dead"}
        wait = message.options.backoff.delay(copy.failures, 0.0)
        copy.not_before = now + (wait if outcome.delay is None else outcome.delay)
        return {"scheduled"} if copy.not_before > now else {"ready", "leased"}

    def released(self, receipts: Iterable[int]) -> None:
        """Their worker has gone, so their leases may end at once."""
        for receipt in receipts:
            if self.is_live(receipt):
                id, group = self.owners[receipt]
                self.messages[id].copies[group].leased_until = 0.0

    # --- what is seen -------------------------------------------------------------------------

    def seen(self, id: str, jobs: list[JobInfo], now: float) -> None:
        """2, 5, 6, 10: what `Inspect` says of one message; no job at all: it is not known."""
        message = self.messages[id]
        if not jobs:
            self._gone(message, now)
            return
        for group in message.copies.keys() - {job.group for job in jobs}:
            self._unseen(message.copies[group])  # the counts of the group tell whether it has ended
        for job in jobs:
            assert job.group in message.copies, "10: a group from nowhere"
            copy = message.copies[job.group]
            if copy.purged:
                continue  # it may be shown for as long as another group has the message
            if copy.state == "leased" and job.state in WAITING | {"dead"}:
                assert now >= copy.leased_until, "3: a lease has ended before its time"
            if copy.state in FINAL:
                assert job.state == copy.state, f"6: {copy.state} became {job.state}"
            if copy.state == "dead" and not copy.replayed:
                assert job.state in ("dead", *FINAL), f"6: dead became {job.state}"
            if job.state == "leased":
                assert copy.state == "leased", f"3: leased to nobody who was told: {job} {copy}"
            if job.state in FINAL:
                copy.finished_at = copy.finished_at or job.finished_at or copy.open_at
            else:
                copy.open_at = now
            assert job.deliveries == copy.deliveries, "5: deliveries that nobody got, or lost ones"
            copy.state = job.state
            copy.replayed &= job.state != "dead"

    def _gone(self, message: Message, now: float) -> None:
        """Its result has expired; it may have ended since the last look."""
        for copy in message.copies.values():
            self._unseen(copy)
        first = message.copies["default"]
        kept = first.purged or now >= first.finished_at + message.options.result_ttl
        assert kept, f"2, 14: it is gone before its time: {message}"

    def _unseen(self, copy: Copy) -> None:
        if not copy.purged and copy.state not in FINAL:
            assert copy.state != "dead" or copy.replayed, "2: a dead letter is gone"
            copy.state, copy.finished_at = "unseen", copy.open_at

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """How many copies of each group are in each state that is kept."""
        found: dict[tuple[str, str], Counter[str]] = {key: Counter() for key in self.accepted}
        for message in self.messages.values():
            for group, copy in message.copies.items():
                if not copy.purged:
                    found[message.queue, group][copy.state] += 1
        return found

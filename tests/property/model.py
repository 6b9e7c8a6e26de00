"""What a user was promised, kept apart from the engine, and the checks of it after every step.

The numbers of the checks are those of the guarantees' invariants (docs/guarantees.md).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from taskq.engine.engine import Engine
from taskq.engine.result import REMEMBERED
from taskq.engine.states import State
from taskq.protocol.producing import Enqueue, Enqueued
from taskq.protocol.values import Abandon, Ack, Delivered, Options, Outcome, Release
from tests.property.books import ABSORBING, check_groups, check_leases, check_nobody_is_forgotten


@dataclass
class Copy:
    """One message in one group, as far as users were told.

    `deliveries`, `handed_back` and `failures` count from the last replay on.
    """

    position: int
    due: float | None  # its place in line; `None`: not known
    fresh: bool = True  # never delivered and never parked
    started: bool = False
    deliveries: int = 0
    handed_back: int = 0
    failures: int = 0
    not_before: float = 0.0
    replayed: bool = False
    asked: bool = False  # to stop
    state: State | None = None
    over: bool = False
    purged: bool = False


@dataclass
class Accepted:
    """One acknowledged message."""

    id: str
    queue: str
    task: str
    payload: bytes
    options: Options
    due_at: float
    expires_at: float | None
    delayed: bool
    finished_at: float | None = None
    evicted: bool = False
    copies: dict[str, Copy] = field(default_factory=dict)


class Model:
    """All that was acknowledged, and what must be true of it."""

    def __init__(self) -> None:
        self.messages: dict[str, Accepted] = {}
        self.accepted: Counter[tuple[str, str]] = Counter()  # copies by queue and group
        self.last_receipt = 0
        self.last_fresh: dict[tuple[str, str, int], int] = {}
        self._positions = 0

    # --- what is told to users --------------------------------------------------------------

    def enqueued(self, request: Enqueue, reply: Enqueued, now: float, engine: Engine) -> None:
        """9: an id is one message; whether it was known is told rightly."""
        existing = list(reply.existing)
        for call in request.calls:
            known = self.messages.get(call.id)
            if known is not None and not self.forgotten(known, now):
                assert call.id in existing, f"9: {call.id} was accepted twice"
                existing.remove(call.id)
                continue
            self.messages.pop(call.id, None)  # the order of this dict is that of acceptance
            delay = max(request.delay, (request.eta_at or now) - now, 0.0)
            self.messages[call.id] = Accepted(
                call.id,
                request.queue,
                request.task,
                call.payload,
                request.options,
                now + delay,
                request.expires_at,
                delay > 0,
            )
            self.give(self.messages[call.id], engine)
        assert not existing, f"9: {existing} were said to be known"

    def give(self, message: Accepted, engine: Engine) -> None:
        """The message gets a copy in each group of its queue that has none yet."""
        for name in engine.ledger.queues[message.queue].groups:
            if name not in message.copies:
                self._positions += 1
                message.copies[name] = Copy(self._positions, message.due_at)
                self.accepted[message.queue, name] += 1

    def new_group(self, queue: str, name: str, engine: Engine) -> None:
        """10: a new group is given what is alive."""
        for message in self.messages.values():
            alive = any(
                not copy.over and copy.state is not State.DEAD for copy in message.copies.values()
            )
            if message.queue == queue and alive and name not in message.copies:
                self._positions += 1
                message.copies[name] = Copy(self._positions, message.due_at)
                self.accepted[queue, name] += 1

    def delivered(self, messages: list[Delivered], group: str, now: float) -> None:
        """3, 5, 6, 7, 9, 11: what holds for each delivery."""
        self._check_order(messages, group)
        for told in messages:
            assert told.receipt > self.last_receipt, "3: the fence did not rise"
            self.last_receipt = told.receipt
            message = self.messages[told.id]
            copy = message.copies[group]
            assert told.payload == message.payload, "9: the first message's payload"
            assert now >= message.due_at, "7: delivered before its time"
            assert now >= copy.not_before, "7: retried before its backoff was over"
            assert not copy.over, "6: delivered after its end"
            if message.expires_at is not None and not copy.started:
                assert now < message.expires_at, "started after it had expired"
            assert not (message.options.ack_early and copy.deliveries), "5: early, and twice"
            if copy.fresh and not message.delayed:
                lane = (message.queue, group, message.options.priority)
                assert copy.position > self.last_fresh.get(lane, 0), "11: not first in, first out"
                self.last_fresh[lane] = copy.position
            copy.fresh = False
            copy.started = True
            copy.deliveries += 1
            # a delivery that was lost counts if the broker knows that it had begun
            most = copy.deliveries - copy.handed_back
            assert copy.failures < told.attempt <= most, f"5: attempt {told.attempt} of {most}"

    def _check_order(self, messages: list[Delivered], group: str) -> None:
        """11: in one claim, what is due first comes first, then what was accepted first."""
        last: dict[tuple[str, int], tuple[float, int]] = {}
        lowest: dict[str, int] = {}
        for told in messages:
            message = self.messages[told.id]
            copy = message.copies[group]
            if copy.state is State.READY and copy.due is not None:  # parked ones come first
                lane = (message.queue, message.options.priority)
                place = (copy.due, copy.position)
                assert place > last.get(lane, (0.0, 0)), "11: not in its place"
                last[lane] = place
                assert lane[1] >= lowest.get(message.queue, 0), "11: a lower priority came first"
                lowest[message.queue] = lane[1]

    def handed_back(self, id: str, group: str) -> None:
        """A delivery that has ended without cost."""
        self.messages[id].copies[group].handed_back += 1

    def settled(self, outcome: Outcome, group: str, now: float) -> set[State]:
        """Where an outcome that came in time leads to."""
        message = self.messages[outcome.id]
        copy = message.copies[group]
        if isinstance(outcome, Ack):
            return {State.SUCCEEDED}
        if isinstance(outcome, Abandon) or copy.asked:
            return {State.CANCELLED}
        if isinstance(outcome, Release):
            copy.handed_back += 1
            late = message.expires_at is not None and now >= message.expires_at
            unstarted = copy.deliveries == copy.handed_back
            ends = {State.EXPIRED} if late and unstarted else set()
            return ends | {State.PARKED if outcome.unknown else State.READY}
        copy.failures += 1
        if outcome.final or copy.failures > message.options.retries:
            return {State.DEAD}
        wait = message.options.backoff.delay(copy.failures, 0.0)
        wait = wait if outcome.delay is None else outcome.delay
        copy.not_before = copy.due = now + wait
        return {State.SCHEDULED if wait else State.READY}

    def replayed(self, id: str, group: str, due: float | None) -> None:
        """A dead letter that begins again."""
        copy = self.messages[id].copies[group]
        copy.due = due
        copy.deliveries = copy.handed_back = copy.failures = 0
        copy.replayed = True
        copy.asked = False

    def lost_on_the_way(self, messages: list[Delivered], group: str) -> None:
        """Deliveries that were committed and never told."""
        for told in messages:
            self.last_receipt = max(self.last_receipt, told.receipt)
            copy = self.messages[told.id].copies[group]
            copy.fresh = False
            copy.started = True
            copy.deliveries += 1

    def purged(self, id: str, group: str) -> None:
        """A copy that an operator has thrown away."""
        copy = self.messages[id].copies[group]
        copy.over = copy.purged = True

    def dropped(self, queue: str, group: str) -> None:
        """A group that an operator has removed, with each of its copies."""
        for message in self.messages.values():
            if message.queue == queue:
                message.copies.pop(group, None)
        del self.accepted[queue, group]

    def forgotten(self, message: Accepted, now: float) -> bool:
        """Whether nothing may be left of it, so that its id is free."""
        if any(not copy.over for copy in message.copies.values()):
            return False
        if message.finished_at is None:
            return True  # purged
        kept = max(message.options.result_ttl, REMEMBERED)
        return message.evicted or now >= message.finished_at + kept

    # --- after every step ---------------------------------------------------------------------

    def check(self, engine: Engine, now: float) -> None:
        """Compare with the engine, which has been advanced to `now`."""
        self._check_messages(engine, now)
        check_groups(engine, self.accepted)
        check_leases(engine)
        check_nobody_is_forgotten(engine)
        due = engine.next_deadline()
        assert due is None or due > now, "13: something is due and was not done"

    def _check_messages(self, engine: Engine, now: float) -> None:
        ledger = engine.ledger
        assert set(ledger.messages) <= set(self.messages), "2: a message from nowhere"
        for id, message in self.messages.items():
            live = ledger.messages.get(id)
            result = ledger.results.get(id)
            if result is not None and message.finished_at is None:
                message.finished_at = result.finished_at
            if live is None:
                for copy in message.copies.values():
                    ended = copy.state is None or copy.state is not State.DEAD
                    assert copy.over or ended, "2: a dead letter is gone"
                    copy.over = True
                    copy.state = None
            else:
                names = {entry.group.name for entry in live.deliveries}
                assert names == set(message.copies), "10: another set of groups"
                for entry in live.deliveries:
                    copy = message.copies[entry.group.name]
                    self._check_copy(message, copy, entry.state)
                    most = message.options.max_deliveries - (entry.state is not State.DEAD)
                    if entry.state not in ABSORBING:
                        assert entry.deaths <= most, f"5: {entry.deaths} deaths"
                        assert entry.failures == copy.failures, "5: failures"
            self._check_result(engine, message, now)

    def _check_copy(self, message: Accepted, copy: Copy, state: State) -> None:
        if copy.over:
            assert state in ABSORBING, f"6: {message.id} has left its final state for {state}"
        if copy.state in ABSORBING:
            assert state is copy.state, f"6: {copy.state} became {state}"
        if state is State.PARKED:
            copy.fresh = False
        if state in ABSORBING:
            copy.over = True
        copy.state = state

    def _check_result(self, engine: Engine, message: Accepted, now: float) -> None:
        result = engine.ledger.results.get(message.id)
        if message.finished_at is None:
            assert result is None, "14: a result without an end"
            first = message.copies["default"]
            message.evicted |= first.over and engine.ledger.capacity.bytes > 0
            unfinished = first.purged or message.evicted or not first.over
            assert unfinished, "14: an end without a result"
            return
        kept = max(message.options.result_ttl, REMEMBERED)
        if now < message.finished_at + kept:
            message.evicted |= result is None and engine.ledger.capacity.bytes > 0
            if message.evicted:
                return  # where payloads and results are bounded, the oldest results go early
            assert result is not None, "14: the result is gone before its time"
            assert result.state in ABSORBING
            if result.state is State.EXPIRED:
                copy = message.copies["default"]
                started = copy.replayed or copy.failures > 0
                assert not started, "6: expired after it had started"
            ignored = message.options.result_ttl == 0
            assert not (ignored and result.value is not None), "14: an ignored result was kept"
        else:
            assert result is None, "14: the result has outlived its time"

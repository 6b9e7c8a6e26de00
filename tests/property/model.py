"""What a user was promised, kept apart from the engine, and the checks of it after every step.

The numbers of the checks are those of the guarantees' invariants (docs/guarantees.md).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from taskq.engine.engine import Engine
from taskq.engine.result import REMEMBERED, Result
from taskq.engine.states import State
from taskq.protocol.producing import Enqueue, Enqueued
from taskq.protocol.values import Abandon, Ack, Delivered, Options, Outcome, Release
from tests.property.books import ABSORBING, check_groups, check_leases, check_nobody_is_forgotten


@dataclass
class Copy:
    """One message in one group, as far as users were told.

    `deliveries`, `failures` and `deaths` count from the last replay on. `suspect`: its worker was lost,
    and it was not the one that counts as begun.
    """

    position: int
    due: float | None  # its place in line; `None`: not known
    fresh: bool = True  # never delivered and never parked
    started: bool = False
    deliveries: int = 0
    failures: int = 0
    deaths: int = 0
    suspect: bool = False
    not_before: float = 0.0
    replayed: bool = False
    asked: bool = False  # to stop
    state: State | None = None
    over: bool = False
    purged: bool = False


@dataclass
class Accepted:
    """One acknowledged message. `name`: its id; with a number, once a newer message has that id.

    `seq`: the number that the engine has given it; 0 if it had ended before anybody could look.
    """

    id: str
    name: str
    seq: int
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

    def must_announce(self, copy: Copy) -> bool:
        """Whether a consumer has to say that it begins this copy."""
        return copy.suspect or copy.deaths > 0 or self.options.max_deliveries <= 1


class Model:
    """All that was acknowledged, and what must be true of it."""

    def __init__(self) -> None:
        self.messages: dict[str, Accepted] = {}  # by name
        self.by_seq: dict[int, Accepted] = {}
        self.owners: dict[int, Accepted] = {}  # by receipt
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
            self._supersede(call.id)
            delay = max(request.delay, (request.eta_at or now) - now, 0.0)
            message = self.messages[call.id] = Accepted(
                call.id,
                call.id,
                self._new_seq(call.id, engine),
                request.queue,
                request.task,
                call.payload,
                request.options,
                now + delay,
                request.expires_at,
                delay > 0,
            )
            self.by_seq[message.seq] = message
            self.give(message, engine)
        assert not existing, f"9: {existing} were said to be known"

    def _supersede(self, id: str) -> None:
        """An id is given to a newer message; what other groups have of the older one stays."""
        older = self.messages.pop(id, None)
        if older is not None and not all(copy.over for copy in older.copies.values()):
            older.name = f"{id}/{older.seq}"
            self.messages[older.name] = older

    def _new_seq(self, id: str, engine: Engine) -> int:
        live, entry = engine.ledger.messages.get(id), engine.ledger.results.entry(id)
        seqs = [each.seq for each in (live, entry) if each is not None]
        return max((seq for seq in seqs if seq not in self.by_seq), default=0)

    def owner(self, told: Delivered, group: str, engine: Engine) -> Accepted:
        """Which of the messages of that id has been delivered."""
        found = [
            each
            for each in self.messages.values()
            if each.id == told.id and group in each.copies and each.payload == told.payload
        ]
        if len(found) != 1:
            for live in engine.ledger.named(told.id):
                if told.receipt in [entry.receipt for entry in live.deliveries]:
                    return self.by_seq[live.seq]
            found = [each for each in found if not each.copies[group].over]
        assert found, f"9: not the payload of {told.id}"
        return min(found, key=lambda each: each.seq)

    def give(self, message: Accepted, engine: Engine) -> None:
        """The message gets a copy in each group of its queue that has none yet."""
        for name, group in engine.ledger.queues[message.queue].groups.items():
            if name not in message.copies and not group.removing:
                self._positions += 1
                message.copies[name] = Copy(self._positions, message.due_at)
                self.accepted[message.queue, name] += 1

    def new_group(self, queue: str, name: str, engine: Engine) -> None:
        """10: a new group is given what is alive."""
        for message in sorted(self.messages.values(), key=lambda each: each.seq):
            alive = any(
                not copy.over and copy.state is not State.DEAD for copy in message.copies.values()
            )
            if message.queue == queue and alive and name not in message.copies:
                self._positions += 1
                message.copies[name] = Copy(self._positions, message.due_at)
                self.accepted[queue, name] += 1

    def delivered(self, messages: list[Delivered], group: str, now: float, engine: Engine) -> None:
        """3, 5, 6, 7, 9, 11: what holds for each delivery."""
        for told in messages:
            self.owners[told.receipt] = self.owner(told, group, engine)
        self._check_order(messages, group)
        for told in messages:
            assert told.receipt > self.last_receipt, "3: the fence did not rise"
            self.last_receipt = told.receipt
            message = self.owners[told.receipt]
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
            attempt = copy.failures + copy.deaths + 1
            assert told.attempt == attempt, f"5: attempt {told.attempt}, not {attempt}"
            announced = message.must_announce(copy) and not message.options.ack_early
            assert told.announce == announced, "5: who begins it must say so, if it may kill"

    def _check_order(self, messages: list[Delivered], group: str) -> None:
        """11: in one claim, what is due first comes first, then what was accepted first."""
        last: dict[tuple[str, int], tuple[float, int]] = {}
        lowest: dict[str, int] = {}
        for told in messages:
            message = self.owners[told.receipt]
            copy = message.copies[group]
            if copy.state is State.READY and copy.due is not None:  # parked ones come first
                lane = (message.queue, message.options.priority)
                place = (copy.due, copy.position)
                assert place > last.get(lane, (0.0, 0)), "11: not in its place"
                last[lane] = place
                assert lane[1] >= lowest.get(message.queue, 0), "11: a lower priority came first"
                lowest[message.queue] = lane[1]

    def settled(self, outcome: Outcome, group: str, now: float) -> set[State]:
        """Where an outcome that came in time leads to."""
        message = self.owners[outcome.receipt]
        copy = message.copies[group]
        if isinstance(outcome, Ack):
            return {State.SUCCEEDED}
        if isinstance(outcome, Abandon) or copy.asked:
            return {State.CANCELLED}
        if isinstance(outcome, Release):
            late = message.expires_at is not None and now >= message.expires_at
            unstarted = not (copy.failures or copy.deaths)
            ends = {State.EXPIRED} if late and unstarted else set()
            return ends | {State.PARKED if outcome.unknown else State.READY}
        copy.failures += 1
        copy.suspect = False
        if outcome.final or copy.failures > message.options.retries:
            return {State.DEAD}
        wait = message.options.backoff.delay(copy.failures, 0.0)
        wait = wait if outcome.delay is None else outcome.delay
        copy.not_before = copy.due = now + wait
        return {State.SCHEDULED if wait else State.READY}

    def replayed(self, seq: int, group: str, due: float | None) -> None:
        """A dead letter that begins again."""
        copy = self.by_seq[seq].copies[group]
        copy.due = due
        copy.deliveries = copy.failures = copy.deaths = 0
        copy.suspect = False
        copy.replayed = True
        copy.asked = False

    def lost_on_the_way(self, messages: list[Delivered], group: str, engine: Engine) -> None:
        """Deliveries that were committed and never told."""
        for told in messages:
            self.last_receipt = max(self.last_receipt, told.receipt)
            self.owners[told.receipt] = self.owner(told, group, engine)
            copy = self.owners[told.receipt].copies[group]
            copy.fresh = False
            copy.started = True
            copy.deliveries += 1

    def purged(self, seq: int, group: str) -> None:
        """A copy that an operator has thrown away."""
        copy = self.by_seq[seq].copies[group]
        copy.over = copy.purged = True

    def dropped(self, queue: str, group: str) -> None:
        """A group that an operator has removed, with each of its copies."""
        for message in self.messages.values():
            if message.queue == queue:
                message.copies.pop(group, None)
        del self.accepted[queue, group]

    def dropped_queue(self, queue: str) -> None:
        """An empty queue that an operator has removed, with its totals."""
        for place in [each for each in self.accepted if each[0] == queue]:
            del self.accepted[place]

    def forgotten(self, message: Accepted, now: float) -> bool:
        """Whether its id is free: the first group is done with it, and its result is gone."""
        if not message.copies["default"].over:
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
        alive = {message.seq: message for message in ledger.all_messages()}
        assert set(alive) <= set(self.by_seq), "2: a message from nowhere"
        for message in self.messages.values():
            live = alive.get(message.seq)
            result = _result(engine, message)
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
                        assert entry.deaths == copy.deaths <= most, f"5: {entry.deaths} deaths"
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
        result = _result(engine, message)
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


def _result(engine: Engine, message: Accepted) -> Result | None:
    result = engine.ledger.results.get(message.id)
    return result if result is not None and result.seq == message.seq else None

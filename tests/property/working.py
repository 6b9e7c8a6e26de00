"""Workers: they register, claim, settle, and some of them too late."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from taskq import errors
from taskq.protocol.consuming import Claim, Extend, Settle
from taskq.protocol.values import Abandon, Outcome
from tests.kit.snapshot import snapshot
from tests.property.model import ABSORBING
from tests.property.outcomes import outcome_of
from tests.property.stage import (
    GROUPS,
    WAITER,
    Stage,
    kinds,
    picks,
    seconds,
)


class Working(Stage):
    """Rules of workers."""

    @initialize()
    def a_worker_is_there(self) -> None:
        self.enroll(self.actors[1], [])  # the other queue begins with a message

    @rule(pick=picks, keep=st.sampled_from(["all", "none", "some"]))
    def register(self, pick: int, keep: str) -> None:
        actor = self.pick_actor(pick)
        assert actor is not None
        receipts = sorted(actor.hand)
        held = {"all": receipts, "none": [], "some": receipts[::2]}[keep]
        actor.hand = {receipt: actor.hand[receipt] for receipt in held}
        self.enroll(actor, held)

    @precondition(lambda self: len(self.actors) < 6)
    @rule()
    def a_new_group_appears(self) -> None:
        name = GROUPS[len(self.actors) - 4]
        actor = self.make_actor("w4", f"c{len(self.actors)}", name, ["q"], None)
        self.actors.append(actor)
        self.enroll(actor, [])

    @rule(pick=picks, n=st.integers(0, 5))
    def claim(self, pick: int, n: int) -> None:
        actor = self.at_work(pick)
        actor.parked = 0
        reply = self.bench.call(Claim(queues=list(actor.queues), n=n, wait=0), actor.session)
        assert len(reply.messages) <= n
        self.hand_over(actor, reply.messages)

    @rule(pick=picks, n=st.integers(1, 5))
    def park_a_claim(self, pick: int, n: int) -> None:
        actor = self.at_work(pick)
        request = Claim(queues=list(actor.queues), n=n, wait=30)
        actor.parked = self.bench.apply(request, actor.session)
        self.bench.tick()

    @rule(pick=picks, n=st.integers(1, 4), how=st.lists(kinds, min_size=1, max_size=4))
    def work(self, pick: int, n: int, how: list[str]) -> None:
        """The most common thing, given a good share of the steps."""
        self.claim(pick, n)
        self.settle(pick, how, twice=False)

    @rule(pick=picks, n=st.integers(1, 4), by=seconds)
    def claim_and_fall_silent(self, pick: int, n: int, by: float) -> None:
        self.claim(pick, n)
        self.pass_time(by)

    @rule(pick=picks, how=st.lists(kinds, min_size=1, max_size=4), twice=st.booleans())
    def settle(self, pick: int, how: list[str], twice: bool) -> None:
        busy = [actor for actor in self.actors if actor.hand] or self.actors
        actor = busy[pick % len(busy)]
        messages = list(actor.hand.values())[-len(how) :]
        outcomes = [outcome_of(kind, m) for kind, m in zip(how, messages, strict=False)]
        outcomes = [o for o in outcomes if self._possible(o)]
        live = {o.receipt for o in outcomes if o.receipt in self.ledger.leases}
        leads_to = {
            o.receipt: (
                self.ledger.leases[o.receipt],
                self.model.settled(o, actor.group, self.bench.now),
            )
            for o in outcomes
            if o.receipt in live
        }
        others = self._copies_of_other_groups(actor.group)
        reply = self.bench.call(Settle(outcomes=outcomes), WAITER)
        assert not live & set(reply.rejected), "an outcome in time was refused"
        self.settled |= live
        if not self.someone_waits():
            assert self._copies_of_other_groups(actor.group) == others, "10: another group's copy"
            for delivery, states in leads_to.values():
                assert delivery.state in states
                if not delivery.message.deliveries and actor.group == "default":
                    result = self.ledger.results.get(delivery.message.id)
                    evicted = result is None and self.ledger.capacity.bytes
                    assert evicted or result.state in states
        for outcome in outcomes:
            actor.hand.pop(outcome.receipt, None)
        if twice and outcomes and not self.someone_waits():
            before = snapshot(self.bench.engine)
            again = self.bench.call(Settle(outcomes=outcomes), WAITER)
            assert snapshot(self.bench.engine) == before, "4: the same outcome again"
            assert not (set(again.rejected) & live - self._seconds_of_groups(outcomes))

    def _seconds_of_groups(self, outcomes: list[Outcome]) -> set[int]:
        """Receipts whose message is gone with another group's end: nothing is left to compare."""
        left = {
            entry.receipt
            for outcome in outcomes
            for message in self.ledger.named(outcome.id)
            for entry in message.deliveries
        }
        return {outcome.receipt for outcome in outcomes} - left

    def _possible(self, outcome: Outcome) -> bool:
        """An early one is over already; abandoning is for what was cancelled."""
        delivery = self.ledger.leases.get(outcome.receipt)
        return delivery is None or not isinstance(outcome, Abandon) or delivery.cancelling > 0

    def _copies_of_other_groups(self, name: str) -> dict[tuple[int, str], Any]:
        return {
            (message.seq, entry.group.name): (entry.state, entry.receipt, entry.deliveries)
            for message in self.ledger.all_messages()
            for entry in message.deliveries
            if entry.group.name != name and entry.state not in ABSORBING
        }

    @rule(pick=picks, kind=st.sampled_from(["ack", "fail", "release", "abandon"]))
    def a_stale_actor_speaks(self, pick: int, kind: str) -> None:
        stale = [m for m, _ in self.told if m.receipt not in self.ledger.leases]
        if not stale:
            return
        message = stale[pick % len(stale)]
        before = snapshot(self.bench.engine)
        reply = self.bench.call(Settle(outcomes=[outcome_of(kind, message)]), WAITER)
        if message.receipt not in self.settled and not message.ack_early:
            assert reply.rejected == [message.receipt], (
                "4: a lost lease was taken for a settled one"
            )
        with pytest.raises(errors.LeaseLost):
            self.bench.call(Extend(receipt=message.receipt, id=message.id, seconds=100), WAITER)
        assert snapshot(self.bench.engine) == before, "4: a stale receipt changed something"

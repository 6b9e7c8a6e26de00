"""Operators: they look, pause, purge, drop and replay; and requests that move no message."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from taskq import errors
from taskq.engine.states import WAITING, State
from taskq.protocol.base import Failed
from taskq.protocol.consuming import Extend
from taskq.protocol.operating import Control, GetStats, ListDead, PurgeDead, Replay
from taskq.protocol.producing import Inspect
from tests.kit.snapshot import snapshot
from tests.property.stage import (
    GROUPS,
    QUEUES,
    WAITER,
    WORKERS,
    Stage,
    picks,
    seconds,
)


class Operating(Stage):
    """Rules of operators."""

    @rule(
        worker=WORKERS,
        pick=picks,
        wanted=seconds,
        what=st.sampled_from(["heartbeat", "heartbeat", "extend", "look"]),
    )
    def quiet(self, worker: str, pick: int, wanted: float, what: str) -> None:
        """Requests that move no message."""
        if what == "heartbeat":
            self.heartbeat(worker)
        elif what == "extend":
            self.extend(pick, wanted)
        else:
            self.look(pick)

    def heartbeat(self, worker: str) -> None:
        running = [min(a.hand) for a in self.actors if a.worker == worker and a.hand]
        for receipt in running:
            if (lease := self.ledger.leases.get(receipt)) is not None:
                self.deaths.began((worker, lease.consumer.name), receipt)
        attended = self.bench.heartbeat(worker, session=600 + int(worker[1]), running=running)
        for receipt, lease in self.ledger.leases.items():
            if lease.consumer.worker.name == worker:
                self._secure(receipt, lease.message.spec.options.lease)
        told = [*attended.cancel, *attended.terminate]
        for receipt in told:
            lease = self.ledger.leases.get(receipt)
            assert lease is None or lease.cancelling

    def extend(self, pick: int, wanted: float) -> None:
        if self.ledger.leases:
            receipts = sorted(self.ledger.leases)
            receipt = receipts[pick % len(receipts)]
            self.bench.call(
                Extend(receipt=receipt, id=self.ledger.leases[receipt].message.id, seconds=wanted),
                WAITER,
            )
            self._secure(receipt, wanted)
            self.pass_time(wanted / 2 if pick % 2 else 0.0)

    def _secure(self, receipt: int, seconds: float) -> None:
        until = self.bench.now + seconds
        self.secured[receipt] = max(self.secured.get(receipt, 0.0), until)

    @rule(
        queue=st.sampled_from(QUEUES),
        group=st.sampled_from(["", "", "default", "audit"]),
        action=st.sampled_from(["pause", "resume", "resume", "resume", "resume", "purge"]),
    )
    def control(self, queue: str, group: str, action: str) -> None:
        doomed = [
            (message.seq, entry.group.name)
            for message in self.ledger.all_messages()
            for entry in message.deliveries
            if entry.group.queue.name == queue
            and entry.group.name in (group or entry.group.name)
            and entry.state in WAITING
        ]
        try:
            reply = self.bench.call(Control(queue=queue, group=group, action=action))
        except errors.TaskqError:
            known = self.ledger.queues.get(queue)
            assert known is None or group not in known.groups
            return
        if action == "purge":
            assert reply.count == len(doomed)
            for seq, name in doomed:
                self.model.purged(seq, name)

    @rule(
        queue=st.sampled_from(["q", "q", "q", "p"]),
        group=st.sampled_from(["", "default", "audit", "audit", "audit", *GROUPS]),
        leaving=st.sampled_from([True, True, False]),
        alone=st.booleans(),
    )
    def drop_group(self, queue: str, group: str, leaving: bool, alone: bool) -> None:
        """`leaving`: those who work it lose their connections before. `alone`: the first group has
        nothing left that waits, so some messages are only kept for this one."""
        if alone and group != "default":
            self.control(queue, "default", "purge")
        for actor in self.actors:
            if leaving and actor.group == group:
                self.bench.disconnect(actor.session)
                self.drop_session(actor)
        known = self.ledger.queues.get(queue)
        found = known.groups.get(group) if known is not None else None
        busy = any(
            actor.registered and actor.group == group and queue in actor.queues
            for actor in self.actors
        )
        finals = (State.SUCCEEDED, State.CANCELLED, State.EXPIRED, State.PURGED)
        copies = [
            entry
            for message in self.ledger.all_messages()
            for entry in message.deliveries
            if entry.group is found and entry.state not in finals
        ]
        others = snapshot(self.bench.engine)["groups"]
        rid = self.bench.apply(Control(queue=queue, group=group, action="drop"))
        if found is None or busy or group == "default":
            self.bench.tick()
            assert isinstance(self.bench.answer(rid), Failed), "a group went that may not"
            return
        now = snapshot(self.bench.engine)["groups"]
        assert now == {key: each for key, each in others.items() if key != (queue, group)}, (
            "10: another group was touched"
        )
        self.model.dropped(queue, group)
        self.bench.tick()
        assert self.bench.answer(rid).count == len(copies)

    @rule(queue=st.sampled_from(QUEUES), leaving=st.sampled_from([True, True, False]))
    def drop_queue(self, queue: str, leaving: bool) -> None:
        """`leaving`: who works it has lost its connection before."""
        for actor in self.actors:
            if leaving and queue in actor.queues:
                self.bench.disconnect(actor.session)
                self.drop_session(actor)
        before = snapshot(self.bench.engine)
        known = self.ledger.queues.get(queue)
        used = known is None or bool(known.parked or known.messages.last)
        used = used or any(actor.registered and queue in actor.queues for actor in self.actors)
        try:
            self.bench.call(Control(queue=queue, action="drop_queue"))
        except errors.TaskqError:
            assert used, "a queue stays that nobody uses"
            return
        assert not used, "a queue went that is used"
        others = {key: each for key, each in before["groups"].items() if key[0] != queue}
        dropped = before["dropped"] + sum(before["groups"][queue, "default"]["counts"])
        assert snapshot(self.bench.engine) == {**before, "groups": others, "dropped": dropped}
        self.model.dropped_queue(queue)

    @rule(
        picked=st.lists(picks, max_size=3),
        rate=st.sampled_from([None, 0.5, 10.0]),
        throw_away=st.booleans(),
    )
    def replay_or_purge(self, picked: list[int], rate: float | None, throw_away: bool) -> None:
        dead = [
            entry
            for queue in self.ledger.queues.values()
            for group in queue.groups.values()
            for entry in group.dead.values()
        ]
        ids = sorted({dead[pick % len(dead)].message.id for pick in picked}) if dead else []
        chosen = [
            (entry.message.seq, entry.group.name)
            for entry in dead
            if not ids or entry.message.id in ids
        ]
        request: Any = PurgeDead(ids=ids) if throw_away else Replay(ids=ids, rate=rate)
        rid = self.bench.apply(request)
        for seq, group in chosen:
            if throw_away:
                self.model.purged(seq, group)
            else:
                due = None if rate else self.bench.now
                self.model.replayed(seq, group, due)
        self.bench.tick()
        assert self.bench.answer(rid).count == len(chosen)

    def look(self, pick: int) -> None:
        self.bench.call(GetStats())
        entries = self.bench.call(ListDead()).entries
        assert [e.last_failed_at for e in entries if e.group == "default" and e.queue == "q"] == (
            sorted(e.last_failed_at for e in entries if e.group == "default" and e.queue == "q")
        )
        id = self.pick_id(pick)
        entry = None if id is None else self.ledger.results.entry(id)
        told = entry is not None and not entry.has_expired(self.bench.now)
        if id is not None and (told or self.ledger.current(id) is not None):
            assert self.bench.call(Inspect(id=id)).jobs

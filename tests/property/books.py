"""Checks of the engine's books against the messages themselves, after every step."""

from __future__ import annotations

from collections import Counter

from taskq.engine.engine import Engine
from taskq.engine.model import Group
from taskq.engine.states import FINAL, WAITING, State
from taskq.engine.waiting import is_open

ABSORBING = FINAL - {State.DEAD}


def check_groups(engine: Engine, accepted: Counter[tuple[str, str]]) -> None:
    """1, 12: counts and bytes are the sums of what is there; `accepted` by queue and group."""
    counted: dict[Group, Counter[State]] = {}
    size: Counter[Group] = Counter()
    for message in engine.ledger.all_messages():
        for entry in message.deliveries:
            counted.setdefault(entry.group, Counter())[entry.state] += 1
            if entry.state not in ABSORBING:
                size[entry.group] += len(message.payload)
    kept = sum(len(message.payload) for message in engine.ledger.all_messages())
    assert engine.ledger.bytes == kept, "12: bytes of the broker"
    for queue in engine.ledger.queues.values():
        for group in queue.groups.values():
            now_in = counted.get(group, Counter())
            for state in (*WAITING, State.LEASED, State.DEAD):
                assert group.counts[state] == now_in[state], f"12: {state} in {group.name}"
            assert group.bytes == size[group], "12: bytes"
            buried = sum(len(entry.message.payload) for entry in group.dead.values())
            assert group.dead_bytes == buried, "12: bytes of dead letters"
            total = sum(group.counts)
            assert total == accepted[queue.name, group.name], "1: the sum of all states"
            assert len(group.dead) == group.counts[State.DEAD]
            assert len(list(group.ready)) == group.counts[State.READY]
            held = sum(len(list(lane)) for lane in group.parked.lanes.values())
            assert held == group.counts[State.PARKED] == sum(group.parked.counts.values())


def check_nobody_is_forgotten(engine: Engine) -> None:
    """13: no claim is parked while there is work for it, and nobody waits for what has ended."""
    for queue in engine.ledger.queues.values():
        for group in queue.groups.values():
            for parked in group.claims:
                idle = group.paused or parked.consumer.worker.silent
                assert idle or not list(group.ready), "13: a claim waits while there is work for it"
    for id in engine.ledger.watchers.ids():
        assert is_open(engine.ledger, id), "13: somebody waits for what has ended"


def check_leases(engine: Engine) -> None:
    """3: each lease is that of one delivery, in the hands of one consumer."""
    held = {
        entry.receipt: entry
        for message in engine.ledger.all_messages()
        for entry in message.deliveries
        if entry.state is State.LEASED
    }
    assert held == engine.ledger.leases, "3: a lease without a delivery, or the reverse"
    in_hands = {
        receipt: entry
        for worker in engine.ledger.workers.values()
        for consumer in worker.consumers.values()
        for receipt, entry in consumer.leases.items()
    }
    assert in_hands == held, "13: a lease that no worker's clock looks after"

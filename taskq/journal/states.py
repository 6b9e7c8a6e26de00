"""States: the deliveries of each message, apart from its payload, which they never rewrite.

A message without a row is new: no consumer has claimed it yet.
"""

from __future__ import annotations

import sqlite3
from zlib import crc32

import msgspec

from taskq.engine.ledger import Ledger
from taskq.engine.model import STATE, Delivery, Message
from taskq.engine.states import ENDED, WAITING, State
from taskq.engine.workers import consumer_named, worker_named
from taskq.journal.checksums import check, damaged
from taskq.journal.records import ErrorRecord, encode, error_record
from taskq.journal.subject import Subject


class DeliveryRecord(msgspec.Struct, array_like=True):
    """One delivery. Version 1 had no `deaths`, and what was handed back did not count as delivered."""

    group: str
    state: int
    due_at: float
    deliveries: int
    failures: int
    receipt: int
    leased_at: float
    worker: str
    consumer: str
    cancelling: int
    errors: list[ErrorRecord]
    deaths: int | None = None


_decode = msgspec.msgpack.Decoder(list[DeliveryRecord]).decode


def _row(message: Message) -> tuple[int, bytes, int]:
    record = encode([_record(delivery) for delivery in message.deliveries])
    return message.seq, record, crc32(record, message.seq)


def _record(delivery: Delivery) -> tuple[object, ...]:
    consumer = delivery.consumer
    return (
        delivery.group.name,
        delivery.state,
        delivery.due_at,
        delivery.deliveries,
        delivery.failures,
        delivery.receipt,
        delivery.leased_at,
        consumer.worker.name if consumer else "",
        consumer.name if consumer else "",
        delivery.cancelling,
        [error_record(error) for error in delivery.errors] if delivery.errors else (),
        delivery.deaths,
    )


def _restore(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    """Make the deliveries of all messages, and give them their place."""
    late: list[Delivery] = []
    touched = db.execute("SELECT seq, record, crc FROM state ORDER BY seq")
    row = touched.fetchone()
    for message in ledger.all_messages():
        seq = message.seq
        known: set[str] = set()
        if row is not None and row[0] < seq:
            raise damaged("state", row[0], "has no message")
        if row is not None and row[0] == seq:
            check("state", seq, row[2], seq, row[1])
            for stored in _decode(row[1]):
                known.add(stored.group)
                delivery = _make(ledger, message, stored, now)
                if delivery.state in WAITING and delivery.due_at > message.created_at:
                    late.append(delivery)
                elif delivery.state in WAITING:
                    ledger.place(delivery)
            row = touched.fetchone()
        for group in ledger.queue(message.spec.queue).groups.values():
            if group.name not in known and group.from_seq < seq and not group.removing:
                ledger.deliver((message,), group)
        if not message.deliveries:
            raise damaged("message", seq, "belongs to no consumer group")
        ledger.arm_expiry(message)
    if row is not None:
        raise damaged("state", row[0], "has no message")
    for delivery in sorted(late, key=lambda each: each.due_at):
        # behind the others: a line grows at its end, and what comes between costs more
        ledger.place(delivery)
    _sort_dead_letters(ledger)
    _time_leases(ledger)


def _make(ledger: Ledger, message: Message, stored: DeliveryRecord, now: float) -> Delivery:
    """Make a delivery as it was; the caller gives it its place in line."""
    group = ledger.queue(message.spec.queue).groups.get(stored.group)
    if group is None:
        raise damaged("state", message.seq, f"has no consumer group {stored.group!r}")
    state = State(stored.state)
    delivery = Delivery(message, group, state, stored.due_at)
    delivery.deliveries = stored.deliveries
    delivery.failures = stored.failures
    delivery.deaths = _deaths(stored, state)
    delivery.receipt = stored.receipt
    delivery.leased_at = stored.leased_at
    delivery.cancelling = stored.cancelling
    delivery.errors = [error.info for error in stored.errors] or None
    message.deliveries = (*message.deliveries, delivery)
    if state in ENDED:
        return delivery  # counted in the group's record
    group.counts[state] += 1
    group.bytes += len(message.payload)
    if state is State.LEASED:
        _lease(ledger, delivery, stored, now)
    elif state is State.DEAD:
        group.dead[message.seq] = delivery
        group.dead_bytes += len(message.payload)
    elif state is State.PARKED:
        group.parked.count(message.spec.task, 1)
    return delivery


def _deaths(stored: DeliveryRecord, state: State) -> int:
    if stored.deaths is not None:
        return stored.deaths
    return stored.deliveries - stored.failures - (state is State.LEASED)


def _lease(ledger: Ledger, delivery: Delivery, stored: DeliveryRecord, now: float) -> None:
    worker = worker_named(ledger, stored.worker, now)
    consumer = consumer_named(worker, stored.consumer)
    delivery.consumer = consumer
    ledger.leases[stored.receipt] = consumer.leases[stored.receipt] = delivery
    # nobody knows any more what it had begun: at least the first, or a crash of all would be free
    consumer.began = min(consumer.began or stored.receipt, stored.receipt)
    worker.shortest_lease = min(worker.shortest_lease, delivery.message.spec.options.lease)


def _sort_dead_letters(ledger: Ledger) -> None:
    """Order them by the time of their death, as they were."""
    for queue in ledger.queues.values():
        for group in queue.groups.values():
            dead = sorted(group.dead.values(), key=lambda letter: letter.last_error.at)
            group.dead = {delivery.message.seq: delivery for delivery in dead}


def _time_leases(ledger: Ledger) -> None:
    """Give every worker a full lease from now on, since it is not known which ones live."""
    for worker in ledger.workers.values():
        for consumer in worker.consumers.values():
            consumer.leases = dict(sorted(consumer.leases.items()))  # in the order of their claims
            for delivery in consumer.leases.values():
                worker.timer.set(min(worker.timer.when, worker.lease_ends(delivery)))


SUBJECT = Subject(
    STATE,
    "CREATE TABLE state (seq INTEGER PRIMARY KEY, record BLOB, crc INTEGER)",
    "INSERT OR REPLACE INTO state VALUES (?,?,?)",
    _row,
    _restore,
)

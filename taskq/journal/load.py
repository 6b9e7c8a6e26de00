"""From the journal back into an engine: the same steps as live, without the requests."""

from __future__ import annotations

import sqlite3

from taskq.engine.capacity import Capacity
from taskq.engine.changes import HighWaterMarks
from taskq.engine.engine import Engine
from taskq.engine.ledger import Ledger
from taskq.engine.model import Delivery, Message
from taskq.engine.states import ENDED, WAITING, State
from taskq.engine.workers import consumer_named, worker_named
from taskq.journal import rows
from taskq.journal.archive import load_results
from taskq.journal.checksums import check, damaged

_TOTALS = (State.SUCCEEDED, State.CANCELLED, State.EXPIRED)


def load(db: sqlite3.Connection, engine: Engine, now: float) -> None:
    """Fill a new engine. Raises `JournalError` naming the first row whose checksum is wrong."""
    ledger = engine.ledger
    marks = load_marks(db)
    ledger.marks = marks
    ledger.seq, ledger.fence = marks.seq, marks.fence
    _load_groups(db, ledger)
    load_results(db, ledger.results)
    _load_messages(db, ledger, now)
    _check_whole(db, ledger)
    _sort_dead_letters(ledger)
    for worker in ledger.workers.values():
        # whether it lives is not known: it has a full lease from now on to come back
        for consumer in worker.consumers.values():
            for delivery in consumer.leases.values():
                worker.timer.set(min(worker.timer.when, worker.lease_ends(delivery)))
    ledger.changes.take()  # all of it is in the journal


def last_time(db: sqlite3.Connection) -> float:
    """The latest engine time that the journal tells of, 0 for a new one."""
    latest = load_marks(db).now
    for (record,) in db.execute("SELECT record FROM message ORDER BY seq DESC LIMIT 1"):
        latest = max(latest, rows.decode_message(record).created_at)
    for (record,) in db.execute("SELECT record FROM result ORDER BY seq DESC LIMIT 1"):
        latest = max(latest, rows.decode_result(record).finished_at)
    return latest


def load_marks(db: sqlite3.Connection) -> HighWaterMarks:
    """The marks, all 0 in a new journal. Raises `JournalError`."""
    row = db.execute("SELECT record, crc FROM marks").fetchone()
    if row is None:
        return HighWaterMarks()
    record, crc = row
    check("marks", 1, crc, 0, record)
    return rows.decode_marks(record)


def _load_groups(db: sqlite3.Connection, ledger: Ledger) -> None:
    query = "SELECT queue, name, record, crc FROM consumer_group"
    for queue_name, name, record, crc in db.execute(query):
        check("consumer_group", queue_name, crc, rows.group_key(queue_name, name), record)
        stored = rows.decode_group(record)
        group = ledger.group(queue_name, name)
        group.from_seq = stored.from_seq
        group.failed = stored.failed
        group.paused = stored.paused
        if group.is_first:
            group.queue.capacity = Capacity(stored.max_messages, stored.max_bytes)
        for state in _TOTALS:
            group.counts[state] = stored.counts[state]
        group.counts[State.PURGED] = stored.purged


def _load_messages(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    query = (
        "SELECT m.seq, m.record, m.payload, m.crc, s.seq, s.record, s.crc "
        "FROM message m LEFT JOIN state s ON s.seq = m.seq ORDER BY m.seq"
    )
    late: list[Delivery] = []
    for seq, record, payload, crc, touched, state, state_crc in db.execute(query):
        check("message", seq, crc, seq, record, payload)
        stored = rows.decode_message(record)
        spec = ledger.specs.of(stored.spec.queue, stored.spec.task, stored.spec.options)
        message = Message(
            seq, stored.id, spec, payload, stored.created_at, stored.due_at, stored.expires_at
        )
        spec.uses += 1
        ledger.messages[message.id] = message
        ledger.bytes += len(payload)
        known: set[str] = set()
        if touched is not None:
            check("state", seq, state_crc, seq, state)
            for entry in rows.decode_deliveries(state):
                known.add(entry.group)
                delivery = _restore(ledger, message, entry, now)
                if delivery.state not in WAITING:
                    continue
                if delivery.due_at > message.created_at:
                    late.append(delivery)
                else:
                    ledger.place(delivery)
        for group in ledger.queue(spec.queue).groups.values():
            if group.name not in known and group.from_seq < seq:
                ledger.deliver(message, group)
        if not message.deliveries:
            raise damaged("message", seq, "belongs to no consumer group")
        ledger.arm_expiry(message)
    for delivery in sorted(late, key=lambda each: each.due_at):
        # behind the others: a line grows at its end, and what comes between costs more
        ledger.place(delivery)


def _restore(ledger: Ledger, message: Message, entry: rows.DeliveryRecord, now: float) -> Delivery:
    """Make a delivery as it was; the caller gives it its place in line."""
    group = ledger.group(message.spec.queue, entry.group)
    state = State(entry.state)
    delivery = Delivery(message, group, state, entry.due_at)
    delivery.deliveries = entry.deliveries
    delivery.failures = entry.failures
    delivery.deaths = _deaths(entry, state)
    delivery.receipt = entry.receipt
    delivery.leased_at = entry.leased_at
    delivery.cancelling = entry.cancelling
    delivery.errors = entry.errors or None
    message.deliveries = (*message.deliveries, delivery)
    if state in ENDED:
        return delivery  # counted in the group's record
    group.counts[state] += 1
    group.bytes += len(message.payload)
    if state is State.LEASED:
        _restore_lease(ledger, delivery, entry, now)
    elif state is State.DEAD:
        group.dead[message.id] = delivery
        group.dead_bytes += len(message.payload)
    elif state is State.PARKED:
        group.parked.count(message.spec.task, 1)
    return delivery


def _deaths(entry: rows.DeliveryRecord, state: State) -> int:
    if entry.deaths is not None:
        return entry.deaths
    return entry.deliveries - entry.failures - (state is State.LEASED)


def _restore_lease(
    ledger: Ledger, delivery: Delivery, entry: rows.DeliveryRecord, now: float
) -> None:
    worker = worker_named(ledger, entry.worker, now)
    consumer = consumer_named(worker, entry.consumer)
    delivery.consumer = consumer
    ledger.leases[entry.receipt] = consumer.leases[entry.receipt] = delivery
    worker.shortest_lease = min(worker.shortest_lease, delivery.message.spec.options.lease)


def _check_whole(db: sqlite3.Connection, ledger: Ledger) -> None:
    """Whether the tables fit each other. Raises `JournalError`."""
    for table in ("message", "result"):
        (last,) = db.execute(f"SELECT max(seq) FROM {table}").fetchone()
        if last is not None and last > ledger.seq:
            raise damaged(table, last, f"is younger than the last mark, {ledger.seq}")
    query = "SELECT seq FROM state WHERE seq NOT IN (SELECT seq FROM message) LIMIT 1"
    orphan = db.execute(query).fetchone()
    if orphan is not None:
        raise damaged("state", orphan[0], "has no message")


def _sort_dead_letters(ledger: Ledger) -> None:
    """Order them by the time of their death, as they were."""
    for queue in ledger.queues.values():
        for group in queue.groups.values():
            dead = sorted(group.dead.values(), key=lambda letter: letter.last_error.at)
            group.dead = {delivery.message.id: delivery for delivery in dead}

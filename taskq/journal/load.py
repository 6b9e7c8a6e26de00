"""From the journal back into an engine: the same steps as live, without the requests."""

from __future__ import annotations

import sqlite3
from zlib import crc32

import msgspec

from taskq.engine import leases
from taskq.engine.changes import Changes, Marks
from taskq.engine.engine import Engine
from taskq.engine.group import DEFAULT_GROUP
from taskq.engine.ledger import Ledger
from taskq.engine.message import Delivery, Message
from taskq.engine.results import Result
from taskq.engine.states import State
from taskq.errors import JournalError
from taskq.journal import rows

_TOTALS = (State.SUCCEEDED, State.CANCELLED, State.EXPIRED)


def load(db: sqlite3.Connection, engine: Engine, now: float) -> None:
    """Fill a new engine. Raises `JournalError` naming the first row whose checksum is wrong."""
    ledger = engine.ledger
    _load_marks(db, ledger)
    _load_groups(db, ledger)
    _load_results(db, ledger)
    _load_messages(db, ledger, now)
    for worker in ledger.workers.values():
        # whether it lives is not known: it has a full lease from now on to come back
        for consumer in worker.consumers.values():
            for delivery in consumer.leases.values():
                worker.alarm.set(min(worker.alarm.when, worker.lease_ends(delivery)))
    ledger.changes = Changes()
    ledger.results.use(ledger.changes)


def _load_marks(db: sqlite3.Connection, ledger: Ledger) -> None:
    row = db.execute("SELECT record FROM marks").fetchone()
    if row:
        marks = msgspec.msgpack.decode(row[0], type=Marks)
        ledger.seq, ledger.fence = marks.seq, marks.fence


def _load_groups(db: sqlite3.Connection, ledger: Ledger) -> None:
    found = db.execute("SELECT queue, name, record FROM consumer_group").fetchall()
    for queue_name, name, record in sorted(found, key=lambda row: row[1] != DEFAULT_GROUP):
        stored = rows.decode_group(record)
        group = ledger.group(queue_name, name)
        group.from_seq = stored.from_seq
        group.failed = stored.failed
        group.purged = stored.purged
        group.paused = stored.paused
        for state in _TOTALS:
            group.counts[state] = stored.counts[state]


def _load_results(db: sqlite3.Connection, ledger: Ledger) -> None:
    for seq, record, crc in db.execute("SELECT seq, record, crc FROM result ORDER BY seq"):
        _check("result", seq, crc, crc32(record))
        stored = rows.decode_result(record)
        result = Result(
            seq,
            stored.id,
            ledger.spec(stored.spec.queue, stored.spec.task, stored.spec.options),
            State(stored.state),
            stored.value,
            stored.error,
            stored.receipt,
            stored.attempts,
            stored.worker,
            stored.created_at,
            stored.started_at,
            stored.finished_at,
        )
        ledger.results.restore(result)


def _load_messages(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    query = (
        "SELECT m.seq, m.record, m.payload, m.crc, s.record, s.crc "
        "FROM message m LEFT JOIN state s USING (seq) ORDER BY m.seq"
    )
    for seq, record, payload, crc, state, state_crc in db.execute(query):
        _check("message", seq, crc, crc32(payload, crc32(record)))
        stored = rows.decode_message(record)
        spec = ledger.spec(stored.spec.queue, stored.spec.task, stored.spec.options)
        message = Message(
            seq, stored.id, spec, payload, stored.created_at, stored.due_at, stored.expires_at
        )
        message.stored = True
        spec.uses += 1
        ledger.messages[message.id] = message
        known: set[str] = set()
        if state is not None:
            _check("state", seq, state_crc, crc32(state))
            for entry in rows.decode_deliveries(state):
                known.add(entry.group)
                _restore(ledger, message, entry, now)
        for group in ledger.queue(spec.queue).groups.values():
            if group.name not in known and group.from_seq < seq:
                ledger.deliver(message, group)
        ledger.restore_expiry(message)


def _restore(ledger: Ledger, message: Message, entry: rows.DeliveryRecord, now: float) -> None:
    group = ledger.group(message.spec.queue, entry.group)
    state = State(entry.state)
    delivery = Delivery(message, group, state, entry.due_at)
    delivery.claims = entry.claims
    delivery.failures = entry.failures
    delivery.receipt = entry.receipt
    delivery.leased_at = entry.leased_at
    delivery.cancelling = entry.cancelling
    delivery.errors = entry.errors or None
    message.deliveries = (*message.deliveries, delivery)
    if state in _TOTALS:
        return  # counted in the group's record
    group.counts[state] += 1
    group.bytes += len(message.payload)
    if state is State.LEASED:
        _restore_lease(ledger, delivery, entry, now)
    elif state is State.DEAD:
        group.dead[message.id] = delivery
    else:
        if state is State.HELD:
            group.count_unknown(message.spec.task, 1)
        ledger.place(delivery)


def _restore_lease(
    ledger: Ledger, delivery: Delivery, entry: rows.DeliveryRecord, now: float
) -> None:
    worker = leases.worker_named(ledger, entry.worker, now)
    consumer = leases.consumer_named(worker, entry.consumer)
    delivery.consumer = consumer
    ledger.leases[entry.receipt] = consumer.leases[entry.receipt] = delivery
    worker.shortest_lease = min(worker.shortest_lease, delivery.message.spec.options.lease)


def _check(table: str, seq: int, stored: int, computed: int) -> None:
    if stored != computed:
        raise JournalError(
            f"the journal is damaged: row {seq} of table {table} does not fit its checksum; "
            "nothing was changed. Restore a backup of the directory"
        )

"""Messages: what never changes of a call. A row is written once and deleted once, payload and all."""

from __future__ import annotations

import sqlite3
from zlib import crc32

import msgspec

from taskq.engine.ledger import Ledger
from taskq.engine.model import MESSAGE, Message
from taskq.journal.checksums import check, check_seq
from taskq.journal.records import SpecReader, encode, spec_record
from taskq.journal.subject import Subject, runs


class MessageRecord(msgspec.Struct, array_like=True):
    """One message; its payload is a column of its own."""

    id: str
    spec: msgspec.Raw
    created_at: float
    due_at: float
    expires_at: float | None


_decode = msgspec.msgpack.Decoder(MessageRecord).decode


def _row(message: Message) -> tuple[int, bytes, bytes, int]:
    record = encode(
        (
            message.id,
            spec_record(message.spec),
            message.created_at,
            message.due_at,
            message.expires_at,
        )
    )
    payload = message.payload
    return message.seq, record, payload, crc32(payload, crc32(record, message.seq))


def _restore(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    """Messages without deliveries; `states` makes these."""
    specs = SpecReader(ledger.specs)
    for seq, record, payload, crc in db.execute("SELECT * FROM message ORDER BY seq"):
        check("message", seq, crc, seq, record, payload)
        stored = _decode(record)
        spec = specs.read(stored.spec)
        message = Message(
            seq, stored.id, spec, payload, stored.created_at, stored.due_at, stored.expires_at
        )
        spec.uses += 1
        if message.id in ledger.messages:
            ledger.supersede(message.id)
        ledger.messages[message.id] = message
        ledger.queue(spec.queue).messages.append(message)
        ledger.bytes += len(payload)
    check_seq(db, "message", ledger)


def _latest(db: sqlite3.Connection) -> float:
    for (record,) in db.execute("SELECT record FROM message ORDER BY seq DESC LIMIT 1"):
        return _decode(record).created_at
    return 0.0


SUBJECT = Subject(
    MESSAGE,
    "CREATE TABLE message (seq INTEGER PRIMARY KEY, record BLOB, payload BLOB, crc INTEGER)",
    "INSERT INTO message VALUES (?,?,?,?)",
    _row,
    _restore,
    # the row of its deliveries goes with it, if there is one
    delete=(
        "DELETE FROM state WHERE seq BETWEEN ? AND ?",
        "DELETE FROM message WHERE seq BETWEEN ? AND ?",
    ),
    keys=runs,
    latest=_latest,
)

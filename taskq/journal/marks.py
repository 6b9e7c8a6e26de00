"""High-water marks: bounds of the numbers that were given, and the engine's clock when set."""

from __future__ import annotations

import sqlite3
from zlib import crc32

import msgspec

from taskq.engine.changes import MARKS, HighWaterMarks
from taskq.engine.ledger import Ledger
from taskq.journal.checksums import check
from taskq.journal.records import encode
from taskq.journal.subject import Subject


class MarksRecord(msgspec.Struct, array_like=True):
    """The only row of its table. Older journals have no `epoch`, or no `dropped`."""

    seq: int
    fence: int
    now: float
    epoch: str = ""
    dropped: int = 0


_decode = msgspec.msgpack.Decoder(MarksRecord).decode


def _row(marks: HighWaterMarks) -> tuple[bytes, int]:
    record = encode((marks.seq, marks.fence, marks.now, marks.epoch, marks.dropped))
    return record, crc32(record)


def _read(db: sqlite3.Connection) -> HighWaterMarks:
    row = db.execute("SELECT record, crc FROM marks").fetchone()
    if row is None:  # a new journal
        return HighWaterMarks()
    record, crc = row
    check("marks", 1, crc, 0, record)
    stored = _decode(record)
    return HighWaterMarks(stored.seq, stored.fence, stored.now, stored.epoch, stored.dropped)


def _restore(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    ledger.marks = _read(db)
    ledger.seq, ledger.fence = ledger.marks.seq, ledger.marks.fence
    ledger.epoch = ledger.marks.epoch


def _latest(db: sqlite3.Connection) -> float:
    return _read(db).now


SUBJECT = Subject(
    MARKS,
    "CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB, crc INTEGER)",
    "INSERT OR REPLACE INTO marks VALUES (1,?,?)",
    _row,
    _restore,
    latest=_latest,
)

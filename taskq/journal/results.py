"""Results: the ends of messages. All of them go into memory as entries, and some are read whole."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Sequence
from zlib import crc32

import msgspec

from taskq.engine.ledger import Ledger
from taskq.engine.result import RESULT, Result, remembered_until
from taskq.engine.segment import pack
from taskq.engine.specs import Specs
from taskq.engine.states import State
from taskq.journal.checksums import check, check_seq, damaged
from taskq.journal.records import (
    ErrorRecord,
    SpecReader,
    decode_spec,
    encode,
    error_record,
    spec_record,
)
from taskq.journal.subject import Subject, runs

_TOGETHER = 500  # rows of one query


class ResultRecord(msgspec.Struct, array_like=True):
    """The end of a message. Version 1 had no `deliveries` and `deaths`."""

    id: str
    spec: msgspec.Raw
    state: int
    value: bytes | None
    error: ErrorRecord | None
    receipt: int
    attempts: int
    worker: str
    created_at: float
    started_at: float
    finished_at: float
    deliveries: int | None = None
    deaths: int = 0


class _ResultHead(msgspec.Struct, array_like=True):
    """`ResultRecord`, with what is not needed at a start left as it is."""

    id: str
    spec: msgspec.Raw
    state: int
    value: memoryview | None
    error: ErrorRecord | None
    receipt: int
    attempts: int
    worker: msgspec.Raw
    created_at: float
    started_at: float
    finished_at: float


_decode = msgspec.msgpack.Decoder(ResultRecord).decode
_decode_head = msgspec.msgpack.Decoder(_ResultHead).decode


def _row(result: Result) -> tuple[int, bytes, int]:
    record = encode(
        (
            result.id,
            spec_record(result.spec),
            result.state,
            result.value,
            error_record(result.error),
            result.receipt,
            result.attempts,
            result.worker,
            result.created_at,
            result.started_at,
            result.finished_at,
            result.deliveries,
            result.deaths,
        )
    )
    return result.seq, record, crc32(record, result.seq)


def _restore(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    ids: list[str] = []
    entries: list[bytes] = []
    times, finished = array("d"), array("d")
    total, latest, is_ordered = 0, 0.0, True
    ttls: dict[bytes, tuple[float, float]] = {}
    for seq, record, crc in db.execute("SELECT seq, record, crc FROM result ORDER BY seq"):
        if type(record) is not bytes or crc32(record, seq) != crc:
            check("result", seq, crc, seq, record)  # raises, with a sentence
        head = _decode_head(record)
        spec = bytes(head.spec)
        ttl, remembered = ttls.get(spec) or _ttls(spec, ttls)
        size = 0 if head.value is None else len(head.value)
        if head.error is not None:
            size += head.error.info.size
        finished_at = head.finished_at
        ids.append(head.id)
        entries.append(pack(seq, head.receipt, finished_at + ttl, size, head.state))
        times.append(finished_at + remembered)
        finished.append(finished_at)
        total += size
        if finished_at < latest:
            is_ordered = False
        latest = finished_at
    if not is_ordered:
        order = sorted(range(len(ids)), key=finished.__getitem__)
        ids = [ids[position] for position in order]
        entries = [entries[position] for position in order]
        times = array("d", [times[position] for position in order])
    ledger.results.restore(ids, entries, times, total)
    check_seq(db, "result", ledger)


def _ttls(spec: bytes, known: dict[bytes, tuple[float, float]]) -> tuple[float, float]:
    """Seconds for which values of that spec are kept, and for which their results are remembered."""
    ttl = decode_spec(spec).options.result_ttl
    times = known[spec] = ttl, remembered_until(ttl, 0.0)
    return times


def _latest(db: sqlite3.Connection) -> float:
    for (record,) in db.execute("SELECT record FROM result ORDER BY seq DESC LIMIT 1"):
        return _decode_head(record).finished_at
    return 0.0


def read_results(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, Result]:
    """Those results whole. Raises `JournalError` if one is missing or damaged."""
    found: dict[int, Result] = {}
    specs = SpecReader(Specs())
    for start in range(0, len(seqs), _TOGETHER):
        piece = seqs[start : start + _TOGETHER]
        marks = ",".join("?" * len(piece))
        query = f"SELECT seq, record, crc FROM result WHERE seq IN ({marks})"
        for seq, record, crc in db.execute(query, piece):
            check("result", seq, crc, seq, record)
            found[seq] = _result(seq, _decode(record), specs)
    for seq in seqs:
        if seq not in found:
            raise damaged("result", seq, "is missing")
    return found


def _result(seq: int, stored: ResultRecord, specs: SpecReader) -> Result:
    return Result(
        seq,
        stored.id,
        specs.read(stored.spec),
        State(stored.state),
        stored.value,
        None if stored.error is None else stored.error.info,
        stored.receipt,
        stored.attempts,
        stored.worker,
        stored.created_at,
        stored.started_at,
        stored.finished_at,
        stored.attempts if stored.deliveries is None else stored.deliveries,
        stored.deaths,
    )


SUBJECT = Subject(
    RESULT,
    "CREATE TABLE result (seq INTEGER PRIMARY KEY, record BLOB, crc INTEGER)",
    "INSERT OR REPLACE INTO result VALUES (?,?,?)",
    _row,
    _restore,
    delete=("DELETE FROM result WHERE seq BETWEEN ? AND ?",),
    keys=runs,
    latest=_latest,
)

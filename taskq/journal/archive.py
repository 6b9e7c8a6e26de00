"""Results in the journal: all of them into an engine's memory as entries, and some of them whole."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import msgspec

from taskq.engine.model import Spec
from taskq.engine.result import Result, remembered_until
from taskq.engine.results import Results
from taskq.engine.segment import pack
from taskq.engine.states import State
from taskq.journal import rows
from taskq.journal.checksums import check, damaged
from taskq.protocol.values import ErrorInfo

_TOGETHER = 500  # rows of one query

Row = tuple[int, bytes, int]


class _ResultHead(msgspec.Struct, array_like=True):
    """`rows.ResultRecord`, with what is not needed at a start left as it is."""

    id: str
    spec: msgspec.Raw
    state: int
    value: memoryview | None
    error: ErrorInfo | None
    receipt: int
    attempts: int
    worker: msgspec.Raw
    created_at: float
    started_at: float
    finished_at: float


_decode_head = msgspec.msgpack.Decoder(_ResultHead).decode


def load_results(db: sqlite3.Connection, results: Results) -> None:
    """Fill new results. Raises `JournalError` for a row whose checksum is wrong."""
    ids: list[str] = []
    entries: list[bytes] = []
    times, finished = array("d"), array("d")
    total = 0
    ttls: dict[bytes, float] = {}
    for seq, record, crc in db.execute("SELECT seq, record, crc FROM result ORDER BY seq"):
        if type(record) is not bytes or crc32(record, seq) != crc:
            check("result", seq, crc, seq, record)  # raises, with a sentence
        head = _decode_head(record)
        spec = bytes(head.spec)
        ttl = ttls.get(spec)
        if ttl is None:
            ttl = ttls[spec] = rows.decode_spec(spec).options.result_ttl
        size = 0 if head.value is None else len(head.value)
        if head.error is not None:
            size += head.error.size
        expires_at = head.finished_at + ttl
        ids.append(head.id)
        entries.append(pack(seq, head.receipt, expires_at, size, head.state))
        times.append(remembered_until(expires_at, head.finished_at))
        finished.append(head.finished_at)
        total += size
    if any(earlier > later for earlier, later in pairwise(finished)):
        order = sorted(range(len(ids)), key=finished.__getitem__)
        ids = [ids[position] for position in order]
        entries = [entries[position] for position in order]
        times = array("d", [times[position] for position in order])
    results.restore(ids, entries, times, total)


def read_results(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, Result]:
    """Those results whole. Raises `JournalError` where one is missing or damaged."""
    found: dict[int, Result] = {}
    for start in range(0, len(seqs), _TOGETHER):
        piece = seqs[start : start + _TOGETHER]
        marks = ",".join("?" * len(piece))
        query = f"SELECT seq, record, crc FROM result WHERE seq IN ({marks})"
        found.update((row[0], _result(row)) for row in db.execute(query, piece))
    for seq in seqs:
        if seq not in found:
            raise damaged("result", seq, "is missing")
    return found


def _result(row: Row) -> Result:
    seq, record, crc = row
    check("result", seq, crc, seq, record)
    stored = rows.decode_result(record)
    spec = stored.spec
    return Result(
        seq,
        stored.id,
        Spec(spec.queue, spec.task, spec.options),
        State(stored.state),
        stored.value,
        stored.error,
        stored.receipt,
        stored.attempts,
        stored.worker,
        stored.created_at,
        stored.started_at,
        stored.finished_at,
        stored.attempts if stored.deliveries is None else stored.deliveries,
        stored.deaths,
    )

"""Consumer groups: where they begin, their limits, and the totals of messages that are gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from zlib import crc32

import msgspec

from taskq.engine.capacity import Capacity
from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP, Group
from taskq.engine.states import State
from taskq.journal.checksums import check
from taskq.journal.records import encode
from taskq.journal.subject import Subject

_TOTALS = (State.SUCCEEDED, State.CANCELLED, State.EXPIRED)


class GroupRecord(msgspec.Struct, array_like=True):
    """One group. The record of the first group of a queue also has the limits of the queue.

    `filled_to`: of a group that is still being given the messages of before its beginning, the last one
    that it has. `removing`: it is being removed.
    """

    from_seq: int
    counts: list[int]
    failed: int
    purged: int
    paused: bool
    max_messages: int = 0
    max_bytes: int = 0
    filled_to: int | None = None
    removing: bool = False


_decode = msgspec.msgpack.Decoder(GroupRecord).decode


def _row(group: Group) -> tuple[str, str, bytes, int]:
    record = encode(
        (
            group.from_seq,
            group.counts,
            group.failed,
            group.counts[State.PURGED],
            group.paused,
            *(group.queue.capacity if group.is_first else ()),
            *_unsettled(group),
        )
    )
    queue = group.queue.name
    return queue, group.name, record, crc32(record, _key(queue, group.name))


def _unsettled(group: Group) -> tuple[int | bool | None, ...]:
    """What is stored of a group that is being filled or removed; never the first one."""
    if group.removing:
        return 0, 0, None, True
    return () if group.filled_to is None else (0, 0, group.filled_to)


def _key(queue: str, group: str) -> int:
    """What the checksum of a consumer group begins with."""
    return crc32(f"{queue}\0{group}".encode())


def _names(groups: Iterable[Group]) -> list[tuple[str, str]]:
    return [(group.queue.name, group.name) for group in groups]


def _restore(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    query = "SELECT queue, name, record, crc FROM consumer_group"
    for queue_name, name, record, crc in db.execute(query):
        check("consumer_group", queue_name, crc, _key(queue_name, name), record)
        stored = _decode(record)
        group = ledger.group(queue_name, name)
        group.from_seq = stored.from_seq
        group.failed = stored.failed
        group.paused = stored.paused
        if group.is_first:
            group.queue.capacity = Capacity(stored.max_messages, stored.max_bytes)
        for state in _TOTALS:
            group.counts[state] = stored.counts[state]
        group.counts[State.PURGED] = stored.purged
        group.filled_to = stored.filled_to
        group.removing = stored.removing


SUBJECT = Subject(
    GROUP,
    """CREATE TABLE consumer_group (
    queue TEXT, name TEXT, record BLOB, crc INTEGER, PRIMARY KEY (queue, name)
) WITHOUT ROWID""",
    "INSERT OR REPLACE INTO consumer_group VALUES (?,?,?,?)",
    _row,
    _restore,
    delete=("DELETE FROM consumer_group WHERE queue=? AND name=?",),
    keys=_names,
)

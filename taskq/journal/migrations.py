"""Brings an older journal up to date: one step from each version to the next, each a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec

from taskq.errors import JournalError

# The numbers that states had when the steps were written: they say what is on the disk.
_HELD, _PARKED = 0, 8


def _held_becomes_parked(db: sqlite3.Connection) -> None:
    """What waits for a worker that knows its task was held in version 1, and is parked since."""
    encode = msgspec.msgpack.encode
    changed = []
    for seq, record, crc in db.execute("SELECT seq, record, crc FROM state"):
        if crc32(record, seq) != crc:
            raise JournalError(
                f"the journal is damaged: row {seq} of table state does not fit its checksum; "
                "nothing was changed. Restore a backup of the directory"
            )
        deliveries: list[list[Any]] = msgspec.msgpack.decode(record)
        if any(delivery[1] == _HELD for delivery in deliveries):
            for delivery in deliveries:
                delivery[1] = _PARKED if delivery[1] == _HELD else delivery[1]
            new = encode(deliveries)
            changed.append((new, crc32(new, seq), seq))
    db.executemany("UPDATE state SET record=?, crc=? WHERE seq=?", changed)


MIGRATIONS: list[tuple[int, int, Callable[[sqlite3.Connection], None]]] = [
    (1, 2, _held_becomes_parked),
]


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Take the steps from `version` on. A step that fails has changed nothing.

    Raises:
        JournalError: the journal is damaged.
    """
    for old, new, step in MIGRATIONS:
        if old < version:
            continue
        db.execute("BEGIN IMMEDIATE")
        try:
            step(db)
            db.execute(f"PRAGMA user_version={new}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

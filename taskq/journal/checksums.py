"""Whether a row of the journal is what was written."""

from __future__ import annotations

import sqlite3
from typing import Any
from zlib import crc32

from taskq.engine.ledger import Ledger
from taskq.errors import JournalError


def check(table: str, row: int | str, stored: Any, start: int, *columns: Any) -> None:
    """Raise `JournalError` unless the columns, begun with `start`, fit the stored checksum."""
    computed = start
    for column in columns:
        if not isinstance(column, bytes):
            raise damaged(table, row, "has a column of another type")
        computed = crc32(column, computed)
    if stored != computed:
        raise damaged(table, row, "does not fit its checksum")


def check_seq(db: sqlite3.Connection, table: str, ledger: Ledger) -> None:
    """Raise `JournalError` if a row has a number that was never given."""
    (last,) = db.execute(f"SELECT max(seq) FROM {table}").fetchone()
    if last is not None and last > ledger.seq:
        raise damaged(table, last, f"is younger than the last mark, {ledger.seq}")


def damaged(table: str, row: int | str, how: str) -> JournalError:
    """The error that names a bad row."""
    return JournalError(
        f"the journal is damaged: row {row!r} of table {table} {how}; "
        "nothing was changed. Restore a backup of the directory"
    )

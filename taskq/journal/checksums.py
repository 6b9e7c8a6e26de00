"""Whether a row of the journal is what was written."""

from __future__ import annotations

from typing import Any
from zlib import crc32

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


def damaged(table: str, row: int | str, how: str) -> JournalError:
    """The error that names a bad row."""
    return JournalError(
        f"the journal is damaged: row {row!r} of table {table} {how}; "
        "nothing was changed. Restore a backup of the directory"
    )

"""The journal: SQLite in WAL mode, one writer, one transaction a tick.

`fsync` (synchronous=FULL) syncs the log at each commit, `os` (NORMAL) leaves that to the kernel.
A commit that fails is never tried again: after a failed fsync nobody knows what the disk holds
(Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). The broker stops,
and the next one reads what is there.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from taskq.engine.changes import Changes, Marks
from taskq.engine.engine import Engine
from taskq.errors import DiskFull, JournalError
from taskq.journal import rows, schema
from taskq.journal.load import load

FILE = "journal.db"
SYNCHRONOUS = {"fsync": "FULL", "os": "NORMAL"}
CHECKPOINT_PAGES = 4000  # 16 MB of log between checkpoints
LOG_LIMIT = 64 * 2**20  # bytes to which the log is cut back after a checkpoint


class SqliteJournal:
    """One open journal. Its directory's lock is held by the caller."""

    def __init__(self, path: Path | str, durability: str = "fsync") -> None:
        """Open or make the journal file.

        Args:
            path: the file, or `":memory:"`.
            durability: `"fsync"` or `"os"`.

        Raises:
            JournalError: the file is damaged, or newer than this taskq.
        """
        self.path = path
        self.durability = durability
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._prepare(SYNCHRONOUS[durability])
        except sqlite3.Error as error:
            raise _sentence(error, path, "opened") from error

    def _prepare(self, synchronous: str) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={LOG_LIMIT}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > schema.VERSION:
            raise JournalError(
                f"{self.path} was written by a newer taskq (schema {version}, this one knows "
                f"{schema.VERSION}); upgrade taskq, nothing was changed"
            )
        if version == 0:
            db.executescript(
                f"BEGIN IMMEDIATE; {schema.TABLES} PRAGMA user_version={schema.VERSION}; COMMIT;"
            )
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise JournalError(
                f"{self.path} is damaged ({verdict}); nothing was changed. Keep a copy of the "
                "directory, then restore a backup or recover it with the sqlite3 command .recover"
            )

    def load(self, engine: Engine, now: float) -> None:
        """Fill a new engine with what the journal holds. Raises `JournalError`."""
        try:
            load(self._db, engine, now)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise _sentence(error, self.path, "read") from error

    def last_time(self) -> float:
        """Engine time of the last commit, 0 for a new journal."""
        row = self._db.execute("SELECT record FROM marks").fetchone()
        return msgspec.msgpack.decode(row[0], type=Marks).now if row else 0.0

    def commit(self, changes: Changes) -> None:
        """Write all changes in one transaction.

        Raises:
            DiskFull, JournalError: nothing of it is in the journal, or nobody knows; stop.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._write(changes)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _sentence(error, self.path, "written") from error

    def _write(self, changes: Changes) -> None:
        many = self._db.executemany
        added = [message for message in changes.added if message.deliveries]
        if added:
            many("INSERT INTO message VALUES (?,?,?,?)", map(rows.message_row, added))
        touched = [message for message in changes.touched if message.deliveries]
        if touched:
            many("INSERT OR REPLACE INTO state VALUES (?,?,?)", map(rows.state_row, touched))
        removed = [(message.seq,) for message in changes.removed if message.stored]
        if removed:
            many("DELETE FROM state WHERE seq=?", removed)
            many("DELETE FROM message WHERE seq=?", removed)
        if changes.results:
            many(
                "INSERT OR REPLACE INTO result VALUES (?,?,?)",
                map(rows.result_row, changes.results),
            )
        if changes.forgotten:
            many("DELETE FROM result WHERE seq=?", [(gone.seq,) for gone in changes.forgotten])
        if changes.groups:
            many(
                "INSERT OR REPLACE INTO consumer_group VALUES (?,?,?)",
                map(rows.group_row, changes.groups),
            )
        record = rows.encode(changes.marks)
        self._db.execute("INSERT OR REPLACE INTO marks VALUES (1,?)", (record,))
        for message in added:
            message.stored = True

    def close(self) -> None:
        """Fold the log into the file and close it."""
        self._db.close()


def _sentence(error: Exception, path: Path | str, verb: str) -> JournalError | DiskFull:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return DiskFull(f"the disk of {path} is full: make room, then start the broker again")
    if name == "SQLITE_BUSY":
        return JournalError(f"{path} is in use by another program; close that one first")
    return JournalError(f"{path} cannot be {verb}: {error}")

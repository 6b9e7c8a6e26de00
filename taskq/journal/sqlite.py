"""The journal: SQLite in WAL mode, one writer, one transaction a tick.

`fsync` (synchronous=FULL) syncs the log at each commit, `os` (NORMAL) leaves that to the kernel.
A commit that fails is never tried again: after a failed fsync nobody knows what the disk holds
(Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). The broker stops,
and the next one reads what is there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from taskq.engine.changes import Changes
from taskq.engine.engine import Engine
from taskq.engine.result import Result
from taskq.errors import DiskFull, JournalError
from taskq.journal import schema
from taskq.journal.load import last_time, load
from taskq.journal.log import check_log
from taskq.journal.migrations import migrate
from taskq.journal.preallocate import preallocate
from taskq.journal.presence import Presence
from taskq.journal.results import read_results
from taskq.journal.room import Room
from taskq.journal.subject import statements
from taskq.journal.subjects import SUBJECTS

FILE = "journal.db"
SYNCHRONOUS = {"fsync": "FULL", "os": "NORMAL"}
CHECKPOINT_PAGES = 4000  # 16 MB of log between checkpoints
LOG_AHEAD = (CHECKPOINT_PAGES + 100) * 4120  # bytes: so many frames, and the last transaction
BUSY = 1.0  # seconds to wait for another program that has the file open
LOG_LIMIT = 64 * 2**20  # bytes to which the log is cut back after a checkpoint
# sqlite3 decodes its own messages, which may quote a damaged schema
_UNREADABLE = (sqlite3.Error, msgspec.DecodeError, UnicodeDecodeError)


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
        self._presence = Presence(Path(path), Path(f"{path}-wal"))
        self._left_over = check_log(Path(path), synced=durability == "fsync")
        try:
            if path != ":memory:" and not os.path.exists(path):
                _make(Path(path))
            self._db = sqlite3.connect(
                path, timeout=BUSY, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as error:
            raise _sentence(error, path, "opened") from error
        try:
            self._prepare(SYNCHRONOUS[durability])
            self._room = Room(Path(path), self._fold_log, self._spare)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._db.close()  # or its lock would stay for as long as the error is looked at
            raise _sentence(error, path, "opened") from error
        except JournalError:
            self._db.close()
            raise

    def _prepare(self, synchronous: str) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        # Debian's SQLite overwrites what is deleted: each payload would be written a second time
        db.execute("PRAGMA secure_delete=OFF")
        db.execute(f"PRAGMA synchronous={synchronous}")
        # macOS: its fsync leaves what is written in the cache of the drive; no effect elsewhere
        db.execute(f"PRAGMA fullfsync={synchronous == 'FULL'}")
        db.execute(f"PRAGMA checkpoint_fullfsync={synchronous == 'FULL'}")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={LOG_LIMIT}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > schema.VERSION:
            raise JournalError(
                f"{self.path} was written by a newer taskq (schema {version}, this one knows "
                f"{schema.VERSION}); upgrade taskq, nothing was changed"
            )
        if version == 0 and self.path == ":memory:":
            _make_tables(db)
        elif version < 1:
            raise JournalError(
                f"{self.path} is damaged: its schema version is {version}; nothing was changed. "
                "Restore a backup of the directory"
            )
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise JournalError(
                f"{self.path} is damaged ({verdict}); nothing was changed. Keep a copy of the "
                "directory, then restore a backup or recover it with the sqlite3 command .recover"
            )
        if version:
            migrate(db, version)
        found = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")}
        if found != set(schema.TABLES):
            raise JournalError(f"{self.path} is damaged: its tables are not those of a journal")

    def load(self, engine: Engine, now: float) -> None:
        """Fill a new engine with what the journal holds. Raises `JournalError`."""
        try:
            load(self._db, engine, now)
        except _UNREADABLE as error:
            raise _sentence(error, self.path, "read") from error
        engine.ledger.results.archive = self
        if self._left_over:
            # `check_log` relies on it: no log holds the torn ends of two brokers
            self._left_over = False
            self._fold_log()
        if self.durability == "fsync" and self._room.is_left(now):
            self._preallocate()
        self.verify()

    def last_time(self) -> float:
        """The latest engine time in the journal; 0 for a new one."""
        try:
            return last_time(self._db)
        except _UNREADABLE as error:
            raise _sentence(error, self.path, "read") from error

    def read_results(self, seqs: Sequence[int]) -> dict[int, Result]:
        """Results that were committed. Raises `JournalError`."""
        try:
            return read_results(self._db, seqs)
        except _UNREADABLE as error:
            raise _sentence(error, self.path, "read") from error

    def has_room(self, now: float, size: int = 0) -> bool:
        """Whether the disk has room for new messages of so many bytes, in addition to its reserve."""
        try:
            return self._room.is_left(now, size)
        except FileNotFoundError:  # the directory is gone
            self.verify()
            raise

    def verify(self) -> None:
        """See that the journal and its log are still in their place. Raises `JournalError`."""
        self._presence.verify()

    def _spare(self) -> int:
        (pages,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def _fold_log(self) -> None:
        # where the disk is too full even for that, the next commit will say so
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _preallocate(self) -> None:
        try:
            # a transaction that changes nothing: it gives the log its header
            self._db.execute(f"PRAGMA user_version={schema.VERSION}")
            preallocate(Path(f"{self.path}-wal"), LOG_AHEAD)
        except (sqlite3.Error, OSError) as error:
            raise _sentence(error, self.path, "written") from error

    def commit(self, changes: Changes) -> None:
        """Write all changes in one transaction.

        Raises:
            DiskFull, JournalError: nothing of it is in the journal, or nobody knows; stop.
        """
        try:
            work = list(statements(SUBJECTS, changes))
            if len(work) == 1 and len(work[0][1]) == 1:
                # one statement is a transaction by itself: a third less for the lone enqueue
                statement, (row,) = work[0]
                self._db.execute(statement, row)
                return
            self._db.execute("BEGIN IMMEDIATE")
            for statement, rows in work:
                self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _sentence(error, self.path, "written") from error

    def close(self) -> None:
        """Fold the log into the file and close it."""
        self._db.close()


def _make(path: Path) -> None:
    """Make an empty journal. It gets its name when it is whole: what is cut off to nothing later
    is not taken for a new one."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA journal_mode=OFF")
        _make_tables(db)
        db.execute("PRAGMA journal_mode=WAL")
    _sync(draft)
    draft.rename(path)
    _sync(path.parent)


def _make_tables(db: sqlite3.Connection) -> None:
    tables = ";".join(schema.TABLES)
    db.executescript(f"BEGIN; {tables}; PRAGMA user_version={schema.VERSION}; COMMIT;")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sentence(error: Exception, path: Path | str, verb: str) -> JournalError | DiskFull:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return DiskFull(f"the disk of {path} is full: make room, then start the broker again")
    if name == "SQLITE_BUSY":
        return JournalError(f"{path} is in use by another program; close that one first")
    return JournalError(f"{path} cannot be {verb}: {error}")

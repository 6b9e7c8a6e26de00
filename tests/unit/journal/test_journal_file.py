"""The journal's file: its version, its durability, its lock, and commits that fail."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from taskq.errors import DiskFull, JournalError, TaskqError
from taskq.journal import open_journal, schema
from taskq.journal.none import NoJournal
from taskq.journal.sqlite import CHECKPOINT_PAGES, FILE, LOG_LIMIT, SqliteJournal
from taskq.protocol.values import Finished
from tests.kit.engine import EngineBench
from tests.kit.messages import missing, naming
from tests.unit.journal.files import alter, fill, load

# --- opening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "level"), [("fsync", 2), ("os", 1)])
def test_durability_is_really_set(
    tmp_path: Path, connections: list[sqlite3.Connection], durability: str, level: int
) -> None:
    journal = open_journal(tmp_path, durability)
    assert isinstance(journal, SqliteJournal)
    assert connections[-1].execute("PRAGMA synchronous").fetchone() == (level,)
    assert connections[-1].execute("PRAGMA fullfsync").fetchone() == (level == 2,)
    assert connections[-1].execute("PRAGMA checkpoint_fullfsync").fetchone() == (level == 2,)
    assert connections[-1].execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal.durability == durability
    journal.close()
    assert (tmp_path / FILE).exists()


def test_the_log_is_kept_short_and_nothing_is_written_twice(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    journal = SqliteJournal(tmp_path / FILE)

    def setting(name: str) -> int:
        (value,) = connections[-1].execute(f"PRAGMA {name}").fetchone()
        return int(value)

    assert setting("wal_autocheckpoint") == CHECKPOINT_PAGES
    assert setting("journal_size_limit") == LOG_LIMIT
    assert setting("secure_delete") == 0
    journal.close()


def test_what_a_broker_left_that_was_killed_while_it_made_its_journal(tmp_path: Path) -> None:
    draft = tmp_path / f"{FILE}.new"
    fill(draft)
    assert not load(tmp_path / FILE).ledger.messages
    assert not draft.exists()


def test_no_durability_makes_no_file(tmp_path: Path) -> None:
    assert isinstance(open_journal(tmp_path, "none"), NoJournal)
    assert not list(tmp_path.iterdir())


def test_another_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming("fsync", "os", "none", "'perhaps'")):
        open_journal(tmp_path, "perhaps")


def test_63_a_newer_journal_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / FILE
    fill(path)
    alter(path, f"PRAGMA user_version={schema.VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(JournalError, match=f"newer taskq .schema {schema.VERSION + 1}"):
        SqliteJournal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_cannot_be_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / FILE
    fill(path)
    alter(path, f"PRAGMA user_version={version}")
    with pytest.raises(JournalError):
        SqliteJournal(path)


def test_a_file_in_use_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / FILE
    SqliteJournal(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=naming(path, "in use")):
        SqliteJournal(path)
    other.close()


def test_a_file_of_garbage_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / FILE
    garbage = random.Random(1).randbytes(20_000)
    path.write_bytes(garbage)
    with pytest.raises(JournalError, match=naming(path, "opened", "not a database")):
        SqliteJournal(path)
    assert path.read_bytes() == garbage


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=f"^{tmp_path / 'none' / FILE} cannot be opened: "):
        SqliteJournal(tmp_path / "none" / FILE)


@pytest.mark.parametrize("change", ["DROP TABLE state", "CREATE TABLE theirs (x)"])
def test_03_other_tables_are_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / FILE
    fill(path)
    alter(path, change)
    with pytest.raises(JournalError, match=naming(path, "tables")):
        SqliteJournal(path)


def test_a_database_of_another_program_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / FILE
    alter(path, "PRAGMA journal_mode=WAL", "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match=naming(path, "version is 0")):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_a_damaged_record_is_reported_when_the_last_time_is_read(tmp_path: Path) -> None:
    path = tmp_path / FILE
    fill(path)
    alter(path, "UPDATE message SET record=x'ff' WHERE seq=4")
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match=f"^{path} cannot be read: "):
        journal.last_time()
    journal.close()


# --- writing ------------------------------------------------------------------------------------


def broken_commit(path: Path, connections: list[sqlite3.Connection], *spoil: str) -> TaskqError:
    """The error of a commit on a connection on which these statements were executed."""
    bench = EngineBench(journal=SqliteJournal(path, "os"))
    assert bench.journal is not None
    bench.enqueue("before")
    for statement in spoil:
        connections[-1].execute(statement)
    with pytest.raises(TaskqError) as caught:
        bench.enqueue("after", payload=b"x" * 100_000)
    assert bench.replies[1][-1].rid == 1  # no reply but the first has left
    bench.journal.close()
    return caught.value


def test_48_a_full_disk_is_disk_full_and_leaves_what_was_there(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    path = tmp_path / FILE
    error = broken_commit(path, connections, "PRAGMA max_page_count=1")  # no more than there are
    assert isinstance(error, DiskFull)
    assert not missing(str(error), path, "make room")
    assert set(load(path).ledger.messages) == {"before"}


def test_05_a_commit_that_fails_is_a_journal_error(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    path = tmp_path / FILE
    error = broken_commit(path, connections, "PRAGMA query_only=1")
    assert isinstance(error, JournalError)
    assert str(error).startswith(f"{path} cannot be written: ")
    assert set(load(path).ledger.messages) == {"before"}


def test_what_one_journal_wrote_another_process_opens(tmp_path: Path) -> None:
    path = tmp_path / FILE
    fill(path)
    assert set(load(path).ledger.messages) == {"b", "c", "d"}
    engine = load(path)
    assert engine.ledger.results.get("a") is not None
    assert not isinstance(engine.ledger.results.get("a"), Finished)

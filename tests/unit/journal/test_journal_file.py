"""The journal's file: its version, its durability, its lock, and what happens when it is damaged."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from taskq.engine import commands as c
from taskq.engine.engine import Engine
from taskq.errors import DiskFull, JournalError, TaskqError
from taskq.journal import open_journal, schema
from taskq.journal.none import NoJournal
from taskq.journal.sqlite import FILE, SqliteJournal
from tests.unit.engine.bench import Bench
from tests.unit.engine.snapshot import snapshot


def fill(path: Path) -> dict[str, object]:
    """A journal with rows in every table; the snapshot of what is in it."""
    bench = Bench(journal=SqliteJournal(path, "os"))
    bench.register()
    bench.enqueue(*"abcd", payload=b"payload" * 20, retries=1)
    a, b, _ = bench.claim(3)
    bench.ack(a, b"result" * 20)
    bench.fail(b)
    assert bench.journal is not None
    bench.journal.close()
    return snapshot(load(path))


def load(path: Path) -> Engine:
    journal = SqliteJournal(path, "os")
    try:
        engine = Engine()
        journal.load(engine, 2000.0)
        engine.advance(2000.0)
        return engine
    finally:
        journal.close()


def alter(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


# --- opening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "level"), [("fsync", 2), ("os", 1)])
def test_durability_is_really_set(tmp_path: Path, durability: str, level: int) -> None:
    journal = open_journal(tmp_path, durability)
    assert isinstance(journal, SqliteJournal)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (level,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal.durability == durability
    journal.close()
    assert (tmp_path / FILE).exists()


def test_no_durability_makes_no_file(tmp_path: Path) -> None:
    assert isinstance(open_journal(tmp_path, "none"), NoJournal)
    assert not list(tmp_path.iterdir())


def test_another_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fsync, os, none, not 'perhaps'"):
        open_journal(tmp_path, "perhaps")


def test_fault_63_a_newer_journal_is_refused_and_unchanged(tmp_path: Path) -> None:
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
    first = SqliteJournal(path)
    first._db.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="in use by another program"):
        SqliteJournal(path)
    first.close()


def test_a_file_of_garbage_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / FILE
    garbage = random.Random(1).randbytes(20_000)
    path.write_bytes(garbage)
    with pytest.raises(JournalError, match="not a database"):
        SqliteJournal(path)
    assert path.read_bytes() == garbage


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(tmp_path / "none" / FILE)


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column", "where", "row"),
    [
        ("message", "payload", "seq=4", "4"),
        ("message", "record", "seq=4", "4"),
        ("state", "record", "seq=2", "2"),
        ("result", "record", "seq=1", "1"),
        ("consumer_group", "record", "name='default'", "'q'"),
        ("marks", "record", "one=1", "1"),
    ],
)
@pytest.mark.parametrize("how", ["flipped", "null", "text", "cut"])
def test_fault_3_a_damaged_column_is_named_with_its_place(
    tmp_path: Path, table: str, column: str, where: str, row: str, how: str
) -> None:
    path = tmp_path / FILE
    fill(path)
    db = sqlite3.connect(path)
    (value,) = db.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
    middle = len(value) // 2
    damaged = {
        "flipped": value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :],
        "null": None,
        "text": value.decode("latin-1"),
        "cut": value[:-1],
    }[how]
    with db:
        db.execute(f"UPDATE {table} SET {column}=? WHERE {where}", (damaged,))
    db.close()
    with pytest.raises(JournalError, match=f"row {row} of table {table}"):
        load(path)


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE message SET crc=crc+1 WHERE seq=3", "row 3 of table message"),
        ("UPDATE message SET seq=9 WHERE seq=4", "row 9 of table message"),
        ("UPDATE result SET seq=9 WHERE seq=1", "row 9 of table result"),
        ("UPDATE state SET seq=4 WHERE seq=3", "row 4 of table state"),
        ("UPDATE state SET seq=9 WHERE seq=3", "row 9 of table state"),
        ("UPDATE state SET record=NULL WHERE seq=3", "row 3 of table state"),
        ("UPDATE state SET record=NULL, crc=NULL WHERE seq=3", "row 3 of table state"),
        ("UPDATE consumer_group SET queue='p'", "row 'p' of table consumer_group"),
        ("DELETE FROM marks", "row 4 of table message"),
        ("DELETE FROM message WHERE seq=3", "row 3 of table state"),
    ],
)
def test_fault_3_a_row_in_another_place_is_noticed(
    tmp_path: Path, statement: str, place: str
) -> None:
    path = tmp_path / FILE
    fill(path)
    alter(path, statement)
    with pytest.raises(JournalError, match=place):
        load(path)


def test_fault_3_any_flipped_bit_is_harmless_or_refused(tmp_path: Path) -> None:
    path, copy = tmp_path / FILE, tmp_path / "copy.db"
    whole = fill(path)
    content = path.read_bytes()
    dice = random.Random(3)
    used = [place for place, byte in enumerate(content) if byte]
    refused = 0
    for place in used:
        damaged = bytearray(content)
        damaged[place] ^= 1 << dice.randrange(8)
        copy.write_bytes(damaged)
        try:
            assert snapshot(load(copy)) == whole, f"bit of byte {place}"
        except JournalError:
            refused += 1
        for leftover in tmp_path.glob("copy.db-*"):
            leftover.unlink()
    assert refused > 100


def test_fault_2_a_log_cut_anywhere_gives_a_prefix_of_the_commits(tmp_path: Path) -> None:
    path, cut = tmp_path / FILE, tmp_path / "cut.db"
    bench = Bench(journal=SqliteJournal(path, "os"))
    states = [snapshot(bench.engine)]
    bench.register()
    for id in "abcd":
        bench.enqueue(id)
        states.append(snapshot(bench.reload()))
    bench.ack(bench.claim_one())
    states.append(snapshot(bench.reload()))
    log = Path(f"{path}-wal").read_bytes()
    dice = random.Random(2)
    seen = set()
    for length in [0, *sorted(dice.sample(range(len(log)), 60)), len(log)]:
        shutil.copy(path, cut)
        Path(f"{cut}-wal").write_bytes(log[:length])
        ids = set(load(cut).ledger.messages)
        assert ids in ({*"abcd"[:n]} for n in range(5)) or ids == {*"bcd"}
        seen.add(len(ids))
    assert seen >= {0, 1, 2, 3, 4}
    assert bench.journal is not None
    bench.journal.close()


# --- writing ------------------------------------------------------------------------------------


def broken_commit(path: Path, spoil: Callable[[SqliteJournal], None]) -> TaskqError:
    bench = Bench(journal=SqliteJournal(path, "os"))
    assert bench.journal is not None
    bench.enqueue("before")
    spoil(bench.journal)
    with pytest.raises(TaskqError) as caught:
        bench.enqueue("after", payload=b"x" * 100_000)
    assert bench.replies[1][-1].rid == 1  # no reply but the first has left
    bench.journal.close()
    return caught.value


def test_fault_48_a_full_disk_is_disk_full_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / FILE

    def full(journal: SqliteJournal) -> None:
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count={pages}")

    error = broken_commit(path, full)
    assert isinstance(error, DiskFull)
    assert "make room" in str(error)
    assert set(load(path).ledger.messages) == {"before"}


def test_fault_5_a_commit_that_fails_is_a_journal_error(tmp_path: Path) -> None:
    path = tmp_path / FILE
    error = broken_commit(path, lambda journal: journal._db.execute("PRAGMA query_only=1") and None)
    assert isinstance(error, JournalError)
    assert "cannot be written" in str(error)
    assert set(load(path).ledger.messages) == {"before"}


def test_what_one_journal_wrote_another_process_opens(tmp_path: Path) -> None:
    path = tmp_path / FILE
    fill(path)
    assert set(load(path).ledger.messages) == {"b", "c", "d"}
    engine = load(path)
    assert engine.ledger.results.get("a") is not None
    assert not isinstance(engine.ledger.results.get("a"), c.Finished)

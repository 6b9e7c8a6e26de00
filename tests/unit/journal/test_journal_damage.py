"""A journal that is damaged: refused with the place, and never changed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.engine.engine import Engine
from taskq.errors import JournalError
from taskq.journal.sqlite import FILE, SqliteJournal
from tests.kit.engine import EngineBench
from tests.kit.messages import missing, naming
from tests.kit.snapshot import snapshot
from tests.unit.journal.files import alter, fill, load


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
def test_03_a_damaged_column_is_named_with_its_place(
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
        ("DELETE FROM marks", "row 1 of table result"),
        ("DELETE FROM consumer_group", "row 4 of table message"),
        ("DELETE FROM message WHERE seq=3", "row 3 of table state"),
    ],
)
def test_03_a_row_in_another_place_is_noticed(tmp_path: Path, statement: str, place: str) -> None:
    path = tmp_path / FILE
    fill(path)
    alter(path, statement)
    with pytest.raises(JournalError, match=place):
        load(path)


def test_03_any_flipped_bit_is_harmless_or_refused(tmp_path: Path) -> None:
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


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[Path, bytes]]:
    """A journal whose broker was killed, a commit for each of a to f, and its log."""
    path = tmp_path / FILE
    bench = EngineBench(journal=SqliteJournal(path))
    for id in "abcdef":
        bench.enqueue(id)
    copy = tmp_path / "killed.db"
    log = Path(f"{path}-wal").read_bytes()
    shutil.copy(path, copy)
    yield copy, log
    assert bench.journal is not None
    bench.journal.close()


HEADER, FRAME = 32, 24 + 4096


def test_02_a_log_cut_anywhere_gives_a_prefix_of_the_commits(killed: tuple[Path, bytes]) -> None:
    path, log = killed
    empty = path.read_bytes()
    boundaries = range(HEADER, len(log) + 1, FRAME)
    inside = random.Random(2).sample(range(len(log)), 60)
    seen = []
    for length in sorted({0, *boundaries, *inside}):
        path.write_bytes(empty)
        Path(f"{path}-wal").write_bytes(log[:length])
        ids = list(load(path).ledger.messages)
        assert ids == list("abcdef")[: len(ids)]
        seen.append(len(ids))
    assert seen == sorted(seen)
    assert {*seen} == {*range(7)}


def test_02_a_journal_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path, copy = tmp_path / FILE, tmp_path / "copy.db"
    whole = fill(path)
    content = path.read_bytes()
    pages = range(0, len(content), 4096)
    for length in sorted({*pages, *random.Random(4).sample(range(len(content)), 40)}):
        copy.write_bytes(content[:length])
        with pytest.raises(JournalError):
            load(copy)
        assert copy.read_bytes() == content[:length]
    copy.write_bytes(content)
    assert snapshot(load(copy)) == whole


def test_02_a_log_without_its_journal_is_refused(killed: tuple[Path, bytes]) -> None:
    path, log = killed
    Path(f"{path}-wal").write_bytes(log)
    path.unlink()
    for _ in range(2):
        with pytest.raises(JournalError, match=naming("killed.db", "empty")):
            load(path)
        path.write_bytes(b"")
    assert Path(f"{path}-wal").read_bytes() == log


def test_03_any_flipped_bit_of_the_log_is_refused_with_its_place(
    killed: tuple[Path, bytes],
) -> None:
    path, log = killed
    before = path.read_bytes()
    last = len(log) - FRAME  # of the last transaction, which might as well be torn
    dice = random.Random(3)
    places = [*range(HEADER), *range(HEADER, last, FRAME), *dice.sample(range(HEADER, last), 200)]
    for place in places:
        damaged = bytearray(log)
        damaged[place] ^= 1 << dice.randrange(8)
        Path(f"{path}-wal").write_bytes(damaged)
        frame = (place - HEADER) // FRAME + 1
        where = "its header" if place < HEADER else f"frame {frame} "
        with pytest.raises(JournalError, match=f"-wal is damaged: {where}"):
            load(path)
        assert path.read_bytes() == before
        assert Path(f"{path}-wal").read_bytes() == damaged


def test_03_a_damaged_end_of_the_log_is_reported(
    killed: tuple[Path, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path, log = killed
    Path(f"{path}-wal").write_bytes(log[:-50] + b"!" + log[-49:])
    assert list(load(path).ledger.messages) == list("abcde")
    frames = (len(log) - HEADER) // FRAME
    assert not missing(caplog.text, "killed.db-wal", f"frame {frames}")


def test_02_a_torn_transaction_of_many_pages_is_reported_and_not_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = EngineBench(journal=SqliteJournal(tmp_path / FILE))
    bench.enqueue("a")
    before = (tmp_path / f"{FILE}-wal").stat().st_size
    bench.enqueue("b", payload=bytes(20_000))
    log = (tmp_path / f"{FILE}-wal").read_bytes()
    assert len(log) - before > 3 * FRAME
    path = tmp_path / "torn.db"
    shutil.copy(tmp_path / FILE, path)
    at = before + FRAME // 2  # its first page has not reached the disk, the others have
    Path(f"{path}-wal").write_bytes(log[:at] + b"torn" * 25 + log[at + 100 :])
    assert list(load(path).ledger.messages) == ["a"]
    assert not missing(caplog.text, f"{path}-wal", "left out")
    assert bench.journal is not None
    bench.journal.close()


def test_02_without_syncs_a_torn_log_is_reported_and_not_refused(
    killed: tuple[Path, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path, log = killed
    middle = len(log) // 2
    Path(f"{path}-wal").write_bytes(log[:middle] + bytes(100) + log[middle + 100 :])
    ids = list(load(path, "os").ledger.messages)
    assert ids == list("abcdef")[: len(ids)]
    assert not missing(caplog.text, f"{path}-wal", "left out")


def test_02_the_log_of_a_killed_broker_is_folded_at_the_start(killed: tuple[Path, bytes]) -> None:
    path, log = killed
    Path(f"{path}-wal").write_bytes(log)
    journal = SqliteJournal(path, "os")  # `fsync` writes it out again
    journal.load(Engine(), 2000.0)
    assert Path(f"{path}-wal").stat().st_size == 0
    journal.close()

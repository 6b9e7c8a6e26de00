"""Room on the disk: a reserve for the ends of what was accepted, looked at now and then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from taskq.journal.room import LOOK, LOOK_AGAIN, RESERVE, Room
from taskq.journal.sqlite import FILE, SqliteJournal
from taskq.protocol.operating import Control
from tests.kit.engine import EngineBench

BLOCK = 4096
LARGE = 100 * RESERVE


@dataclass
class Disk:
    """A file system of a given size, in place of a real one."""

    free: int
    size: int = LARGE
    spare: int = 0
    log: int = 0
    looks: int = 0
    folds: int = 0
    freed_by_folding: int = 0

    def statvfs(self, path: Path) -> Disk:
        assert path.is_absolute()
        self.looks += 1
        return self

    @property
    def f_frsize(self) -> int:
        return BLOCK

    @property
    def f_blocks(self) -> int:
        return self.size // BLOCK

    @property
    def f_bavail(self) -> int:
        return self.free // BLOCK

    def fold(self) -> None:
        self.folds += 1
        self.free += self.freed_by_folding

    def room(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
        monkeypatch.setattr("os.statvfs", self.statvfs)
        with open(directory / "journal.db-wal", "wb") as log:
            log.truncate(self.log)
        return Room(directory / "journal.db", self.fold, lambda: self.spare)


MB = 2**20
SMALL = 64 * MB  # its reserve is 8 MB


@pytest.mark.parametrize(
    ("disk", "is_left"),
    [
        (Disk(RESERVE), True),
        (Disk(RESERVE - BLOCK), False),
        (Disk(SMALL // 8, size=SMALL), True),
        (Disk(SMALL // 8 - BLOCK, size=SMALL), False),
        (Disk(RESERVE + 5 * MB, log=5 * MB), True),
        (Disk(RESERVE + 5 * MB - BLOCK, log=5 * MB), False),
        (Disk(RESERVE - 5 * MB, spare=5 * MB), True),
        (Disk(RESERVE - 5 * MB - BLOCK, spare=5 * MB), False),
        (Disk(RESERVE // 4, spare=RESERVE), True),
        (Disk(RESERVE // 4 - BLOCK, spare=RESERVE), False),
    ],
)
def test_48_new_messages_leave_a_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, is_left: bool
) -> None:
    disk = replace(disk)
    assert disk.room(tmp_path, monkeypatch).is_left(0.0) is is_left
    assert disk.folds == (not is_left)


def test_48_a_large_message_needs_room_for_itself_in_the_log_and_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE + 20 * MB)
    room = disk.room(tmp_path, monkeypatch)
    assert not room.is_left(0.0, 11 * MB)
    assert disk.folds == 1
    assert room.is_left(0.0, 10 * MB)
    assert not room.is_left(0.0, 1)  # in the same tick, and the first one is not written yet
    disk.free -= 10 * MB
    assert room.is_left(LOOK_AGAIN, 5 * MB)
    disk.free -= 10 * MB
    assert room.is_left(3 * LOOK_AGAIN)
    assert not room.is_left(3 * LOOK_AGAIN, 1)


def test_48_the_log_is_folded_before_a_message_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE - BLOCK, freed_by_folding=BLOCK)
    assert disk.room(tmp_path, monkeypatch).is_left(0.0)
    assert disk.folds == 1


def test_48_a_log_that_is_not_there_yet_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE)
    room = disk.room(tmp_path, monkeypatch)
    (tmp_path / "journal.db-wal").unlink()
    assert room.is_left(0.0)


def test_the_disk_is_looked_at_now_and_then_and_more_seldom_when_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(RESERVE)
    room = disk.room(tmp_path, monkeypatch)
    assert room.is_left(0.0)
    disk.free = 0
    assert room.is_left(LOOK / 2)
    assert not room.is_left(LOOK)
    disk.free = RESERVE
    assert not room.is_left(LOOK + LOOK_AGAIN / 2)
    assert room.is_left(LOOK + LOOK_AGAIN)
    assert disk.looks == 4  # two of them when it was full: before and after folding


def test_48_a_journal_counts_its_free_pages_and_folds_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path / FILE)
    log = tmp_path / f"{FILE}-wal"
    bench = EngineBench(journal=journal)
    bench.enqueue(*(f"{n}" for n in range(100)), payload=bytes(10_000))
    bench.call(Control(queue="q", action="purge"))
    disk = Disk(RESERVE - MB // 2)
    monkeypatch.setattr("os.statvfs", disk.statvfs)
    assert log.stat().st_size > MB
    assert journal.has_room(0.0)  # with the million bytes that are free in the file
    assert log.stat().st_size == 0
    disk.free = RESERVE - 2 * MB
    assert not journal.has_room(1.0)
    journal.close()

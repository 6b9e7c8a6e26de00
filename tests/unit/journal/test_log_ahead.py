"""The log that is written out beforehand: longer from the start, and otherwise without effect."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskq.engine.engine import Engine
from taskq.journal.preallocate import preallocate
from taskq.journal.sqlite import FILE, LOG_AHEAD, SqliteJournal
from tests.kit.engine import EngineBench
from tests.unit.journal.files import load


def opened(path: Path, durability: str = "fsync") -> EngineBench:
    journal = SqliteJournal(path, durability)
    journal.load(Engine(), 0.0)
    return EngineBench(journal=journal)


def length(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def test_commits_do_not_lengthen_the_log(tmp_path: Path) -> None:
    bench = opened(tmp_path / FILE)
    assert length(tmp_path / FILE) == LOG_AHEAD
    for number in range(5000):  # past a checkpoint
        bench.enqueue(str(number))
    assert length(tmp_path / FILE) == LOG_AHEAD
    assert bench.journal is not None
    bench.journal.close()


def test_without_syncs_nothing_is_written_beforehand(tmp_path: Path) -> None:
    bench = opened(tmp_path / FILE, "os")
    assert not length(tmp_path / FILE)
    assert bench.journal is not None
    bench.journal.close()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_killed_broker_leaves_its_messages_and_no_more(tmp_path: Path, count: int) -> None:
    bench = opened(tmp_path / FILE)
    bench.enqueue(*map(str, range(count)))
    left = tmp_path / "left.db"
    shutil.copy(tmp_path / FILE, left)
    shutil.copy(tmp_path / f"{FILE}-wal", f"{left}-wal")
    assert bench.journal is not None
    bench.journal.close()
    assert list(load(left).ledger.messages) == [*map(str, range(count))]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [2**20, 2**21, 3_000_000])  # within a piece, and between two
def test_what_does_not_fit_is_given_back(tmp_path: Path, limit: int) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"header")
    with files_of_at_most(limit):
        preallocate(log, LOG_AHEAD)
    assert log.read_bytes() == b"header"


def test_a_longer_log_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100)
    preallocate(log, 50)
    assert log.read_bytes() == b"x" * 100

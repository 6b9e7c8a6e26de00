"""What the machine and the parts cost by themselves, in µs: the floor under all other figures."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from multiprocessing.managers import BaseManager
from pathlib import Path

from tests.benchmarks import redis_server
from tests.benchmarks.records import Sample

BATCH = 100  # messages of one commit, and of one pipeline
SIZE = 200  # bytes of a message
_SYNCS, _PAGE = 500, 4096


def baseline(name: str, directory: Path, count: int) -> Sample:
    """One of them by its name; the value is the median cost in µs."""
    return _BY_NAME[name](directory, count)


def _timed(count: int, work: Callable[[], object], each: int = 1) -> Sample:
    """The median cost of `work` in µs, divided by the `each` messages that it deals with."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e6 / each)
    times.sort()
    return Sample(
        statistics.median(times), count * each, extra={"p99": times[len(times) * 99 // 100]}
    )


def _pipe(directory: Path, count: int) -> Sample:
    ours, theirs = Pipe()
    Process(target=_echo, args=(theirs,), daemon=True).start()

    def turn() -> None:
        ours.send_bytes(b"x" * SIZE)
        ours.recv_bytes()

    return _timed(count, turn)


def _echo(end: Connection) -> None:
    while True:
        end.send_bytes(end.recv_bytes())


class _Servant:
    def give(self, data: bytes) -> bytes:
        return data


class _Manager(BaseManager):
    pass


_Manager.register("Servant", _Servant)


def _manager(directory: Path, count: int) -> Sample:
    manager = _Manager()
    manager.start()
    servant = manager.Servant()  # type: ignore[attr-defined]  # made by `register`
    return _timed(count, lambda: servant.give(b"x" * SIZE))


def _append(directory: Path, count: int) -> Sample:
    file = os.open(directory / "sync", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    return _timed(min(count, _SYNCS), lambda: _write_durably(file))


def _fdatasync(directory: Path, count: int) -> Sample:
    """As our journal writes: the file has its length and its blocks already."""
    (directory / "sync").write_bytes(bytes(_PAGE * _SYNCS))
    file = os.open(directory / "sync", os.O_WRONLY)
    os.fsync(file)
    return _timed(min(count, _SYNCS), lambda: _write_durably(file))


def _write_durably(file: int) -> None:
    os.write(file, b"x" * _PAGE)
    os.fdatasync(file)


def _sqlite(directory: Path, count: int) -> Sample:
    """A message: written, and deleted in a later transaction, as a queue in SQLite would."""
    base = sqlite3.connect(directory / "base.db", isolation_level=None)
    base.execute("pragma journal_mode=wal")
    base.execute("pragma synchronous=full")
    base.execute("create table message (id integer primary key, body blob)")
    position = 0

    def turn() -> None:
        nonlocal position
        rows = [(n, b"x" * SIZE) for n in range(position, position + BATCH)]
        for statement, values in (
            ("insert into message values (?, ?)", rows),
            ("delete from message where id = ?", [(n,) for n, _ in rows]),
        ):
            base.execute("begin")
            base.executemany(statement, values)
            base.execute("commit")
        position += BATCH

    return _timed(max(count // 10, 50), turn, BATCH)


def _redis_stream(directory: Path, count: int) -> Sample:
    """Add a batch, read it, acknowledge and delete it: three pipelines."""
    import redis

    client = redis.Redis.from_url(redis_server.start(directory))
    client.xgroup_create("s", "g", id="0", mkstream=True)

    def turn() -> None:
        with client.pipeline(transaction=False) as pipe:
            for _ in range(BATCH):
                pipe.xadd("s", {"d": b"x" * SIZE})
            pipe.execute()
        ((_, messages),) = client.xreadgroup("g", "c", {"s": ">"}, count=BATCH)
        ids = [id for id, _ in messages]
        with client.pipeline(transaction=False) as pipe:
            pipe.xack("s", "g", *ids)
            pipe.xdel("s", *ids)
            pipe.execute()

    return _timed(max(count // 10, 50), turn, BATCH)


_BY_NAME = {
    "pipe": _pipe,
    "manager": _manager,
    "fdatasync": _fdatasync,
    "append": _append,
    "sqlite": _sqlite,
    "redis-stream": _redis_stream,
}

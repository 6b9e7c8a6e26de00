"""Journal files for tests: filled, loaded, altered behind the journal's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from taskq.engine.engine import Engine
from taskq.engine.result import Result
from taskq.engine.results import Results
from taskq.journal.sqlite import SqliteJournal
from tests.kit.engine import EngineBench
from tests.kit.snapshot import snapshot


class Copied:
    """An archive that outlives its journal."""

    def __init__(self, results: Results) -> None:
        whole = [result for result in map(results.get, results) if result is not None]
        self._results = {result.seq: result for result in whole}

    def read_results(self, seqs: Sequence[int]) -> dict[int, Result]:
        """See `Archive.read_results`."""
        return {seq: self._results[seq] for seq in seqs}


def fill(path: Path) -> dict[str, object]:
    """A journal with rows in every table; the snapshot of what is in it."""
    bench = EngineBench(journal=SqliteJournal(path, "os"))
    bench.register()
    bench.enqueue(*"abcd", payload=b"payload" * 20, retries=1)
    a, b, _ = bench.claim(3)
    bench.ack(a, b"result" * 20)
    bench.fail(b)
    assert bench.journal is not None
    bench.journal.close()
    return snapshot(load(path))


def load(path: Path, durability: str = "fsync") -> Engine:
    journal = SqliteJournal(path, durability)
    try:
        engine = Engine()
        journal.load(engine, 2000.0)
        engine.advance(2000.0)
        engine.ledger.results.archive = Copied(engine.ledger.results)
        return engine
    finally:
        journal.close()


def alter(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()

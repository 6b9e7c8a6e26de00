"""The registry of durable subjects: a new one needs a module and a line, nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest

from taskq.engine.changes import Changes
from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP
from taskq.journal import load, records, schema, sqlite
from taskq.journal.checksums import check
from taskq.journal.subject import Subject, runs, statements
from taskq.journal.subjects import SUBJECTS
from taskq.protocol.backoff import Backoff
from taskq.protocol.values import ErrorInfo, Options
from tests.kit.engine import EngineBench

remembered: dict[str, bytes] = {}


def _restore(db: sqlite3.Connection, ledger: Ledger, now: float) -> None:
    for name, record, crc in db.execute("SELECT * FROM note"):
        check("note", name, crc, 0, record)
        remembered[name] = record


def _keys(gone: Iterable[Any]) -> list[tuple[str]]:
    return [(name,) for name, _ in gone]


NOTES = Subject(
    "note",
    "CREATE TABLE note (name TEXT PRIMARY KEY, record BLOB, crc INTEGER)",
    "INSERT OR REPLACE INTO note VALUES (?,?,?)",
    lambda note: (*note, crc32(note[1])),
    _restore,
    delete=("DELETE FROM note WHERE name=?",),
    keys=_keys,
)


def test_a_new_subject_is_written_removed_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = (*SUBJECTS, NOTES)
    for module in (load, sqlite):
        monkeypatch.setattr(module, "SUBJECTS", subjects)
    monkeypatch.setattr(schema, "TABLES", [each.table for each in subjects])
    journal = sqlite.SqliteJournal(tmp_path / "journal.db", "os")
    bench = EngineBench(journal=journal)
    changes = bench.engine.ledger.changes
    changes.put["note"]["first", b"1"] = None
    changes.put["note"]["second", b"2"] = None
    bench.enqueue("a")
    changes.remove("note", ("first", b"1"))
    bench.tick()
    remembered.clear()
    bench.restart()
    assert (remembered, bench.state("a")) == ({"second": b"2"}, "ready")
    journal.close()


def test_each_subject_has_a_name_of_its_own_and_a_table_of_that_name() -> None:
    names = [subject.name for subject in SUBJECTS]
    assert len(set(names)) == len(names)
    for subject in SUBJECTS:
        assert subject.table.startswith(f"CREATE TABLE {subject.name} (")


def test_nothing_of_a_tick_without_changes_is_written() -> None:
    bench = EngineBench()
    bench.enqueue("a")
    assert bench.engine.take_changes() is None
    assert list(statements(SUBJECTS, Changes())) == []


def test_what_is_removed_is_removed_before_what_is_put() -> None:
    bench = EngineBench()
    group = bench.engine.ledger.group("q", "audit")
    changes = Changes()
    changes.put[GROUP][group] = None
    changes.removed[GROUP][group] = None  # one of the same name
    done = [statement.split()[0] for statement, _ in statements(SUBJECTS, changes)]
    assert done == ["DELETE", "INSERT"]


def test_successive_numbers_are_one_deletion() -> None:
    class Numbered:
        def __init__(self, seq: int) -> None:
            self.seq = seq

    assert runs([Numbered(seq) for seq in (7, 3, 1, 2, 9)]) == [(1, 3), (7, 7), (9, 9)]
    assert runs([]) == []


def test_records_hold_all_that_the_engine_knows_of_options_and_errors() -> None:
    """A field that is added to the vocabulary is added to the records, or it is lost by a restart."""
    options = Options(
        priority=1,
        retries=2,
        backoff=Backoff(1.5, 2.5, 10.0, False, (1.0, 2.0)),
        timeout=3.0,
        lease=4.0,
        max_deliveries=6,
        result_ttl=7.0,
        ack_early=True,
        carries_code=True,
    )
    for field in msgspec.structs.fields(Options):
        assert getattr(options, field.name) != field.default, field.name
    spec = EngineBench().engine.ledger.specs.of("q", "t", options)
    stored = records.decode_spec(records.spec_record(spec))
    assert records.read_options(stored.options) == options
    error = ErrorInfo("ValueError", "no", "Traceback …", b"pickled", 2, 1000.5, "w")
    for field in msgspec.structs.fields(ErrorInfo):
        assert getattr(error, field.name) != field.default, field.name
    record = msgspec.msgpack.encode(records.error_record(error))
    read = msgspec.msgpack.decode(record, type=records.ErrorRecord)
    assert msgspec.structs.asdict(read.info) == msgspec.structs.asdict(error)

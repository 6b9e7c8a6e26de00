"""Journals of older versions, made by them, are brought up to date when they are opened."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from taskq.errors import JournalError
from taskq.journal import migrations, schema
from taskq.journal.sqlite import SqliteJournal
from tests.kit.engine import EngineBench
from tests.kit.messages import naming
from tests.kit.snapshot import snapshot

GOLDEN = Path(__file__).with_name("golden")
MADE_AT = 1_700_000_000.0

# what version 1 had, in the group `default` and in `audit`; it called parked messages held
STATES = {
    "dead": ("dead", "ready"),
    "backing-off": ("scheduled", "ready"),
    "leased": ("leased", "ready"),
    "asked-to-stop": ("leased", "cancelled"),
    "held": ("parked", "succeeded"),
    "held-too": ("parked", "ready"),
    "by-value": ("scheduled", "scheduled"),
    "scheduled": ("scheduled", "scheduled"),
    "ready": ("ready", "succeeded"),
    "elsewhere": ("ready",),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    shutil.copyfile(GOLDEN / "journal-1.db", path)
    return path


def load(path: Path) -> EngineBench:
    bench = EngineBench(now=MADE_AT + 10, journal=SqliteJournal(path, "os"))
    bench.restart()
    return bench


def close(bench: EngineBench) -> None:
    assert bench.journal is not None
    bench.journal.close()


def version_of(path: Path) -> int:
    db = sqlite3.connect(path)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return int(version)


def test_63_everything_of_version_1_is_there(path: Path) -> None:
    bench = load(path)
    messages = bench.engine.ledger.messages
    assert len(messages["succeeded"].deliveries) == 2
    for id, states in STATES.items():
        assert tuple(each.state.label for each in messages[id].deliveries) == states, id
    assert {id: bench.state(id) for id in ("cancelled", "expired")} == {
        "cancelled": "cancelled",
        "expired": "expired",
    }
    assert bench.end("succeeded").value == b"value"
    stats = bench.stats()
    assert (stats.parked, stats.held, stats.unknown) == (2, 0, {"unknown": 2})
    assert (stats.max_messages, stats.max_bytes) == (100, 1_000_000)
    assert bench.stats("p").paused
    close(bench)


def test_63_counts_of_version_1_are_kept_apart(path: Path) -> None:
    bench = load(path)
    dead = bench.job("dead")
    assert (dead.attempts, dead.deliveries, dead.deaths) == (2, 2, 0)
    audited = [bench.job(id, "audit") for id in STATES if len(STATES[id]) == 2]
    (lost,) = (job for job in audited if job.errors)
    assert (lost.attempts, lost.deaths, lost.errors[0].kind) == (0, 1, "WorkerLost")
    leased = bench.job("leased")
    assert (leased.attempts, leased.deliveries, leased.deaths) == (0, 1, 0)
    close(bench)


def test_a_migrated_journal_is_one_of_this_version(path: Path) -> None:
    bench = load(path)
    before = snapshot(bench.engine)
    close(bench)
    assert version_of(path) == schema.VERSION
    again = load(path)
    assert snapshot(again.engine) == before
    close(again)


def test_what_was_parked_in_version_1_is_run_by_a_worker_that_knows_it(path: Path) -> None:
    bench = load(path)
    bench.register(9, worker="new", tasks=["unknown"])
    assert [each.id for each in bench.claim(session=9)] == ["held", "held-too"]
    close(bench)


def test_63_a_damaged_old_journal_is_refused_and_left_as_it_is(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE state SET crc=crc+1 WHERE seq=(SELECT max(seq) FROM state)")
    db.commit()
    db.close()
    with pytest.raises(JournalError, match=naming("damaged", "table state")):
        SqliteJournal(path, "os")
    assert version_of(path) == 1


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM state")
        raise JournalError("no")

    monkeypatch.setattr(migrations, "MIGRATIONS", [(1, 2, fail)])
    with pytest.raises(JournalError, match="no"):
        SqliteJournal(path, "os")
    monkeypatch.undo()
    assert version_of(path) == 1
    close(load(path))


def test_the_steps_lead_from_the_first_version_to_this_one() -> None:
    steps = [(old, new) for old, new, _ in migrations.MIGRATIONS]
    assert steps == [(version, version + 1) for version in range(1, schema.VERSION)]

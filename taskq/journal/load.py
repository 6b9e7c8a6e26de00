"""Loads an engine from the journal, with the steps that requests use."""

from __future__ import annotations

import sqlite3

from taskq.engine.engine import Engine
from taskq.engine.ledger import Ledger
from taskq.engine.removing import remove_group
from taskq.journal.subjects import SUBJECTS


def load(db: sqlite3.Connection, engine: Engine, now: float) -> None:
    """Fill a new engine. Raises `JournalError` naming the first row whose checksum is wrong."""
    for subject in SUBJECTS:
        subject.restore(db, engine.ledger, now)
    engine.ledger.changes.take()  # all of it is in the journal
    _resume(engine.ledger)


def _resume(ledger: Ledger) -> None:
    """Resume the fillings and removals of groups that a crash has interrupted."""
    for queue in ledger.queues.values():
        for group in list(queue.groups.values()):
            if group.filled_to is not None:
                ledger.filling.begin(group, group.filled_to)
            elif group.removing:
                ledger.operations.start(0, 0, remove_group(ledger, group))


def last_time(db: sqlite3.Connection) -> float:
    """The latest engine time in the journal; 0 for a new one."""
    return max(subject.latest(db) for subject in SUBJECTS)

"""A durable subject: one kind of object that the journal keeps, and its table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from taskq.engine.changes import Changes
from taskq.engine.ledger import Ledger

Row = tuple[Any, ...]


def nothing_tells(db: sqlite3.Connection) -> float:
    """The `latest` of a subject whose records hold no time."""
    return 0.0


class Subject(NamedTuple):
    """The storage of one kind of object. All subjects are in `journal.subjects`.

    Attributes:
        name: in `Changes`; the name of its table.
        table: the statement that makes the table.
        put: the statement that writes one row.
        row: makes the row of an object, with its checksum.
        restore: fills the ledger from the table, at that time. The subjects are restored in their
            order, and each finds what those before it have restored. Raises `JournalError`.
        delete: the statements that remove what `keys` gives.
        keys: of objects that are gone.
        latest: the latest engine time in the table.
    """

    name: str
    table: str
    put: str
    row: Callable[[Any], Row]
    restore: Callable[[sqlite3.Connection, Ledger, float], None]
    delete: tuple[str, ...] = ()
    keys: Callable[[Iterable[Any]], list[Row]] = list
    latest: Callable[[sqlite3.Connection], float] = nothing_tells


def statements(subjects: Iterable[Subject], changes: Changes) -> Iterator[tuple[str, list[Row]]]:
    """What writes all changes: each statement with the rows that it is carried out for."""
    removed, put = changes.removed, changes.put
    if removed:
        for subject in subjects:
            gone = removed.get(subject.name)
            if gone and subject.delete:
                keys = subject.keys(gone)
                for statement in subject.delete:
                    yield statement, keys
    for subject in subjects:
        objects = put.get(subject.name)
        if objects:
            yield subject.put, [subject.row(each) for each in objects]


def runs(objects: Iterable[Any]) -> list[Row]:
    """First and last of each run of successive numbers: one deletion for all of it."""
    found: list[Row] = []
    first = last = -1
    for number in sorted([each.seq for each in objects]):
        if number != last + 1:
            if first >= 0:
                found.append((first, last))
            first = number
        last = number
    if first >= 0:
        found.append((first, last))
    return found

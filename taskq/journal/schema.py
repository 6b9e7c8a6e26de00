"""The tables of the journal, and their version.

Bodies are written once and deleted once; the small state that changes lies apart, so a claim or a
retry never rewrites a payload. Everything is found by its integer primary key: there is no other
index to keep up. A message without a row in `state` is fresh: nobody has claimed it yet.
"""

from __future__ import annotations

VERSION = 2

TABLES = """
CREATE TABLE message (seq INTEGER PRIMARY KEY, record BLOB, payload BLOB, crc INTEGER);
CREATE TABLE state (seq INTEGER PRIMARY KEY, record BLOB, crc INTEGER);
CREATE TABLE result (seq INTEGER PRIMARY KEY, record BLOB, crc INTEGER);
CREATE TABLE consumer_group (
    queue TEXT, name TEXT, record BLOB, crc INTEGER, PRIMARY KEY (queue, name)
) WITHOUT ROWID;
CREATE TABLE marks (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB, crc INTEGER);
"""

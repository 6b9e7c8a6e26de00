"""The tables of the journal, and their version.

Each durable subject has one. Everything is found by its primary key: there is no other index to keep
up. Every row carries a checksum, which begins with the key: a row that turns up under another key is
damaged, too.
"""

from __future__ import annotations

from taskq.journal.subjects import SUBJECTS

VERSION = 2
TABLES = [subject.table for subject in SUBJECTS]

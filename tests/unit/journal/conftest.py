"""Fixtures of the tests of the journal."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections to SQLite that are opened from now on; some settings only they know."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def record(*arguments: Any, **how: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **how))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", record)
    return opened

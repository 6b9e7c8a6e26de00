"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import short_directory


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A new directory with a path that is short enough for a unix socket."""
    with short_directory() as path:
        yield path

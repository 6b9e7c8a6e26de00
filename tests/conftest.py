"""Fixtures of all tests."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.files import short_directory


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """A run in the background ignores SIGINT, and so would every process that a test starts."""
    inherited = signal.getsignal(signal.SIGINT)
    if inherited is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if inherited is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A new directory with a path that is short enough for a unix socket."""
    with short_directory() as path:
        yield path


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command run in this process sets up logging for a process of its own: undo that."""
    ours = [logging.getLogger("taskq"), logging.getLogger("taskq.loader")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in ours]
    yield
    for logger, (handlers, level, propagate) in zip(ours, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate

"""Fixtures of all tests."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.files import short_directory

# A run starts hundreds of processes: without compiled files, each would compile the package anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MOST_WORKERS = 16  # the longest test ends last with more
SLOWEST_FIRST = ["crash", "property", "integration", "conformance", "unit"]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """The workers of `-n auto`: two a core, because most of the long tests wait for processes.

    None of them for single files, for what is printed (`-s`) or listed only: pytest's own process
    starts at once.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    option = config.option
    if option.capture == "no" or option.collectonly or all(".py" in each for each in config.args):
        return 0
    return min(2 * _cores(), MOST_WORKERS)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for processes start before those that take milliseconds.

    So a run on several workers does not end with one long test.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    for place, directory in enumerate(SLOWEST_FIRST):
        if item.nodeid.startswith(f"tests/{directory}/"):
            return place
    return len(SLOWEST_FIRST)


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

"""Every backend that the suite is run against."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from taskq.backends import connect
from taskq.backends.port import Broker
from taskq.protocol.operating import Ping
from tests.conformance.hand import Hand
from tests.support import short_directory, wait_until

_numbers = count(1)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with suppress(OSError):  # a zombie of this container's first process has ended, too
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


def _end(broker: Broker) -> None:
    pid = broker.call(Ping()).pid
    broker.close()
    if pid == os.getpid():
        return
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: _is_gone(pid))


@pytest.fixture(scope="session", params=["memory", "embedded"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker that lives for the whole run; each test has a queue of its own."""
    with short_directory() as directory:
        url = "memory:" if request.param == "memory" else f"embedded:{directory / 'b'}"
        broker = connect(url, "conformance")
        yield broker
        _end(broker)


@pytest.fixture
def hand(broker: Broker) -> Iterator[Hand]:
    """Short commands on a queue of this test's own."""
    hand = Hand(broker, f"q{next(_numbers)}")
    yield hand
    hand.close()

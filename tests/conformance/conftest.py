"""Every backend that the suite is run against."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from taskq.backends import connect
from taskq.backends.port import Broker
from tests.kit.broker import stop_broker
from tests.kit.files import short_directory
from tests.kit.port import PortBench

_numbers = count(1)


@pytest.fixture(scope="session", params=["memory", "embedded"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker that lives for the whole run; each test has a queue of its own."""
    with short_directory() as directory:
        url = "memory:" if request.param == "memory" else f"embedded:{directory / 'b'}"
        broker = connect(url, "conformance")
        yield broker
        stop_broker(broker)


@pytest.fixture
def bench(broker: Broker) -> Iterator[PortBench]:
    """Short commands on a queue of this test's own."""
    bench = PortBench(broker, f"q{next(_numbers)}")
    yield bench
    bench.close()

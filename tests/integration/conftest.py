"""Fixtures of the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_process import BrokerProcess
from tests.integration.pool import Place
from tests.proxy import Proxy


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


@pytest.fixture
def tcp_broker(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerProcess]:
    """A broker on TCP, to which every client of the test has the key."""
    monkeypatch.setenv("TASKQ_AUTHKEY_FILE", str(short_dir / "key"))
    with BrokerProcess(short_dir) as broker:
        yield broker


@pytest.fixture
def proxy(tcp_broker: BrokerProcess) -> Iterator[Proxy]:
    """A faulty network in front of that broker."""
    with Proxy(tcp_broker.place) as proxy:
        yield proxy


@pytest.fixture
def far_place(tcp_broker: BrokerProcess, proxy: Proxy) -> Iterator[Place]:
    """Workers that reach the broker through the proxy; the test itself reaches it directly."""
    place = Place(proxy.url, tcp_broker.url)
    yield place
    place.close()

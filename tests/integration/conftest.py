"""Fixtures of the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import worker_app
from tests.kit.broker import BrokerProcess
from tests.kit.proxy import Proxy
from tests.kit.scene import Scene
from tests.kit.terminal import Terminal, open_terminal


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A broker that clients start, and workers of `worker_app` on it."""
    scene = Scene(worker_app)
    yield scene
    scene.close()


@pytest.fixture
def tcp_broker(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerProcess]:
    """A broker on TCP, to which every client of the test has the key."""
    monkeypatch.setenv("TASKQ_AUTHKEY_FILE", str(short_dir / "key"))
    with BrokerProcess(short_dir, listen="tcp") as broker:
        yield broker


@pytest.fixture
def proxy(tcp_broker: BrokerProcess) -> Iterator[Proxy]:
    """A faulty network in front of that broker."""
    assert isinstance(tcp_broker.address, tuple)
    with Proxy(tcp_broker.address) as proxy:
        yield proxy


@pytest.fixture
def far_scene(tcp_broker: BrokerProcess, proxy: Proxy) -> Iterator[Scene]:
    """Workers that reach the broker through the proxy; the test itself reaches it directly."""
    scene = Scene(worker_app, proxy.url, tcp_broker.url)
    yield scene
    scene.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A user's terminal: commands with a state directory of their own."""
    with open_terminal() as terminal:
        yield terminal

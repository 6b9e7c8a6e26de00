"""An embedded broker that does not come up: what may pass is tried again, the rest is told at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.backends.embedded import EmbeddedBroker
from taskq.backends.stop import stop_broker
from taskq.errors import BrokerUnavailable
from taskq.protocol.operating import GetStats, Ping
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from taskq.transport.keys import ensure_key
from taskq.transport.lock import starting
from tests.kit.messages import naming
from tests.kit.processes import send
from tests.kit.waiting import wait_until

MANY = 20_000  # messages: reading them takes long enough to be hit

FAILS_TWICE = """#!/bin/sh
count=$(cat {count} 2>/dev/null || echo 0)
echo $((count + 1)) > {count}
if [ $count -lt 2 ]; then {how}; fi
exec {python} "$@"
"""


@pytest.fixture
def broker(short_dir: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(short_dir / "b", durability="os")
    yield broker
    broker.close()
    stop_broker(short_dir / "b")


def attempts(directory: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> Path:
    """Have the first two starts end like that; the file that counts them."""
    count, program = directory / "count", directory / "python"
    program.write_text(FAILS_TWICE.format(count=count, how=how, python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    return count


# killed before it has left its parent, and after
@pytest.mark.parametrize("how", ["kill -KILL $$", "exit 0"])
def test_a_broker_that_is_killed_while_it_starts_is_started_again(
    short_dir: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    count = attempts(short_dir, monkeypatch, how)
    assert broker.call(Ping()).version
    assert count.read_text() == "3\n"


def test_a_program_that_fails_by_itself_is_reported_at_once(
    short_dir: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = attempts(short_dir, monkeypatch, "exit 1")
    with pytest.raises(
        BrokerUnavailable, match=naming("not start", short_dir / "b" / "broker.log")
    ):
        broker.call(Ping())
    assert count.read_text() == "1\n"


def test_a_stated_reason_is_reported_at_once(short_dir: Path, broker: EmbeddedBroker) -> None:
    ensure_key(short_dir / "b" / "key")
    (short_dir / "b" / "journal.db").write_bytes(b"")
    with pytest.raises(
        BrokerUnavailable, match=naming("not start", short_dir / "b" / "journal.db", "damaged")
    ):
        broker.call(Ping())


def test_waiting_clients_outlive_brokers_that_are_killed_while_they_read_the_journal(
    short_dir: Path, broker: EmbeddedBroker
) -> None:
    for start in range(0, MANY, 1000):
        calls = [Call(f"m{number}", b"p" * 100) for number in range(start, start + 1000)]
        broker.call(Enqueue(queue="q", task="t", options=Options(), calls=calls))
    send(broker.call(Ping()).pid, signal.SIGKILL)
    found: list[int] = []

    def count() -> None:
        client = EmbeddedBroker(short_dir / "b", durability="os")
        found.append(client.call(GetStats()).queues[0].ready)
        client.close()

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    killed: set[int] = set()

    def another() -> int:
        # asked once: between two questions the start may end, and 0 would be our own process group
        pid = starting(short_dir / "b")
        return 0 if pid in killed else pid

    for _ in range(3):
        killed.add(pid := wait_until(another, every=0.001))
        send(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert found == [MANY] * 3

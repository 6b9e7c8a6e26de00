"""Somebody removes files of a broker that runs: they come back, or the broker stops and says why."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import TaskQueue
from taskq.backends.embedded import EmbeddedBroker, UnixBroker
from taskq.backends.stop import stop_broker
from taskq.errors import AuthenticationFailed, BrokerRunning, BrokerUnavailable, TaskqError
from taskq.protocol.operating import GetStats, Ping
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from taskq.transport.directory import BrokerDirectory
from taskq.transport.lock import holder_of, key_of
from tests.kit.processes import is_alive, send, wait_for_end
from tests.kit.waiting import wait_until


class Place:
    """A broker directory, and clients of what serves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._brokers: list[EmbeddedBroker] = []
        self._count = 0

    def client(self) -> EmbeddedBroker:
        """A client that has not connected yet."""
        self._brokers.append(EmbeddedBroker(self.path, durability="os"))
        return self._brokers[-1]

    def pid(self, client: EmbeddedBroker) -> int:
        return client.call(Ping()).pid

    def enqueue(self, client: EmbeddedBroker) -> None:
        self._count += 1
        call = Call(f"m{self._count}", b"p")
        client.call(Enqueue(queue="q", task="t", options=Options(), calls=[call]))

    def ready(self, client: EmbeddedBroker) -> int:
        return sum(each.ready for each in client.call(GetStats()).queues)

    def log(self) -> str:
        return (self.path / "broker.log").read_text()

    def close(self) -> None:
        for each in self._brokers:
            each.close()
        stop_broker(self.path)


@pytest.fixture
def place(short_dir: Path) -> Iterator[Place]:
    place = Place(short_dir / "b")
    yield place
    place.close()


@pytest.mark.parametrize("end", [signal.SIGTERM, None])
def test_a_broker_that_leaves_takes_nothing_from_its_successor(
    place: Place, end: signal.Signals | None
) -> None:
    first = place.client()
    pid = place.pid(first)
    shutil.rmtree(place.path)
    second = place.client()
    place.enqueue(second)
    assert place.pid(second) != pid
    inode = (place.path / "sock").stat().st_ino
    if end is not None:
        send(pid, end)
    wait_for_end(pid)  # by itself, too: its directory is gone
    assert (place.path / "sock").stat().st_ino == inode
    third = place.client()
    assert place.ready(third) == 1
    assert place.pid(third) == place.pid(second)


def test_a_socket_that_was_removed_comes_back(place: Place) -> None:
    pid = place.pid(place.client())
    (place.path / "sock").unlink()
    assert place.pid(place.client()) == pid
    (place.path / "sock").unlink()
    (place.path / "sock").touch()  # nor does it help to put something else there
    assert place.pid(place.client()) == pid


def test_a_key_that_was_removed_comes_back_and_is_no_new_one(place: Place) -> None:
    first = place.client()
    pid, key = place.pid(first), first.payload_key
    (place.path / "key").unlink()
    with pytest.raises(BrokerRunning, match=rf"pid {pid}\) uses it"):
        key_of(BrokerDirectory(place.path))
    second = place.client()
    assert place.pid(second) == pid
    assert second.payload_key == key
    assert "is back" in place.log()


def test_a_client_on_a_socket_waits_for_the_key_that_was_removed(place: Place) -> None:
    first = place.client()
    pid, key = place.pid(first), first.payload_key
    (place.path / "key").unlink()
    second = UnixBroker(place.path / "sock")
    assert second.payload_key == key
    (place.path / "key").unlink()
    assert second.call(Ping()).pid == pid
    second.close()


def test_a_program_that_has_read_a_key_does_not_sign_with_it_when_it_was_replaced(
    place: Place,
) -> None:
    queue = TaskQueue("q", broker=f"embedded:{place.path}")
    queue.task(abs, name="one")
    queue.tasks["one"](-1)
    stop_broker(place.path)
    (place.path / "key").write_text("k" * 64)
    later = place.client()
    assert place.ready(later) == 1
    with pytest.raises(AuthenticationFailed, match=r"was replaced .* restart the process"):
        queue.tasks["one"](-2)
    assert place.ready(later) == 1
    queue.close()
    restarted = TaskQueue("q", broker=f"embedded:{place.path}")
    restarted.task(abs, name="one")(-2)
    assert place.ready(later) == 2
    restarted.close()


def test_another_key_is_logged(place: Place) -> None:
    pid = place.pid(place.client())
    (place.path / "key").write_text("k" * 64)
    wait_until(lambda: "holds another key" in place.log())
    assert is_alive(pid)


def test_without_its_lock_it_stops_and_says_why(place: Place) -> None:
    client = place.client()
    place.enqueue(client)
    pid = place.pid(client)
    (place.path / "lock").unlink()
    wait_for_end(pid)
    assert f"{place.path / 'lock'} was removed" in place.log()
    assert place.ready(client) == 1


def test_without_its_log_it_acknowledges_no_more_and_loses_nothing(place: Place) -> None:
    client = place.client()
    place.enqueue(client)
    pid = place.pid(client)
    (place.path / "journal.db-wal").unlink()
    acknowledged = 1
    while place.pid(client) == pid:
        place.enqueue(client)
        acknowledged += 1
    assert "journal.db-wal was removed" in place.log()
    assert place.ready(client) == acknowledged


def test_without_its_journal_it_acknowledges_no_more(place: Place) -> None:
    client = place.client()
    place.enqueue(client)
    (place.path / "journal.db").unlink()

    refusals: list[str] = []

    def refused() -> bool:
        try:
            place.enqueue(client)
        except BrokerUnavailable as error:
            refusals.append(str(error))
        return bool(refusals)

    wait_until(refused)
    assert "restore a backup" in refusals[0]
    assert "journal.db was removed" in place.log()
    assert holder_of(place.path) is None
    with pytest.raises(TaskqError, match="restore a backup"):
        place.pid(place.client())

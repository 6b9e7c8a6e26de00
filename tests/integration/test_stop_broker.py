"""A broker is ended from outside, through the lock of its directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.backends.embedded import EmbeddedBroker
from taskq.backends.stop import stop_broker
from taskq.errors import BrokerTimeout
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from taskq.transport.directory import BrokerDirectory
from taskq.transport.lock import DirectoryLock, holder_of
from tests.kit.messages import naming
from tests.kit.processes import send

IMPOSTOR = """
import os, sys
with open(sys.argv[1], "w") as lock:
    lock.write(f"{os.getppid()}\\n")
"""


@pytest.fixture
def broker(short_dir: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(short_dir / "b", durability="os")
    yield broker
    broker.close()
    holder = holder_of(short_dir / "b")
    if holder is not None:
        send(holder.pid, signal.SIGCONT)
        stop_broker(short_dir / "b")


def enqueue(broker: EmbeddedBroker) -> None:
    broker.call(Enqueue(queue="q", task="t", options=Options(), calls=[Call("m", b"p")]))


def test_it_ends_in_good_order_and_nothing_is_lost(short_dir: Path, broker: EmbeddedBroker) -> None:
    enqueue(broker)
    holder = holder_of(short_dir / "b")
    assert holder is not None
    assert stop_broker(short_dir / "b") == holder.pid
    assert holder_of(short_dir / "b") is None
    assert not (short_dir / "b" / "sock").exists()
    assert not (short_dir / "b" / "journal.db-wal").exists()
    assert broker.call(GetStats()).queues[0].ready == 1
    assert holder_of(short_dir / "b") not in (None, holder)


def test_where_none_runs_there_is_nothing_to_stop(short_dir: Path) -> None:
    assert stop_broker(short_dir / "none") == 0
    (short_dir / "lock").write_text(f"{os.getpid()}\n")
    assert stop_broker(short_dir) == 0


def test_a_process_that_a_killed_broker_s_lock_names_is_left_alone(
    short_dir: Path, broker: EmbeddedBroker
) -> None:
    enqueue(broker)
    holder = holder_of(short_dir / "b")
    assert holder is not None
    send(holder.pid, signal.SIGKILL)
    # its number may be anybody's by now: say, that of this process
    subprocess.run([sys.executable, "-c", IMPOSTOR, short_dir / "b" / "lock"], check=True)
    assert stop_broker(short_dir / "b") == 0


def test_one_that_does_not_end_in_time_is_named(short_dir: Path, broker: EmbeddedBroker) -> None:
    enqueue(broker)
    holder = holder_of(short_dir / "b")
    assert holder is not None
    send(holder.pid, signal.SIGSTOP)
    with pytest.raises(
        BrokerTimeout, match=naming(f"pid {holder.pid}", "0.05 s", f"kill -KILL {holder.pid}")
    ):
        stop_broker(short_dir / "b", timeout=0.05)
    send(holder.pid, signal.SIGCONT)
    stop_broker(short_dir / "b")
    assert holder_of(short_dir / "b") is None


def test_a_look_at_the_lock_keeps_nobody_from_taking_it(short_dir: Path) -> None:
    directory = BrokerDirectory(short_dir)
    DirectoryLock(directory).release()
    with open(short_dir / "lock", "w") as lock:
        lock.write("1 starting\n")  # as a broker leaves it that is killed just then
    looking = (
        "import sys, pathlib; from taskq.transport.lock import starting\nprint()\nwhile True: "
    )
    looking += "starting(pathlib.Path(sys.argv[1]))"
    probe = subprocess.Popen([sys.executable, "-uc", looking, short_dir], stdout=subprocess.PIPE)
    try:
        assert probe.stdout is not None
        probe.stdout.readline()
        for _ in range(2000):
            DirectoryLock(directory).release()
    finally:
        probe.kill()
        probe.communicate()

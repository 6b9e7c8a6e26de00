"""Brokers that are started again: many times in a row, on a large journal, and by nobody's program.

`TASKQ_TESTS=long python -m pytest tests/crash/test_restarts.py` takes a thousand crashes and a
million messages.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.backends import embedded
from taskq.backends.channel import Channel
from taskq.backends.embedded import EmbeddedBroker
from taskq.broker.settings import BrokerSettings
from taskq.cli.support.processes import is_alive
from taskq.errors import BrokerTimeout, BrokerUnavailable
from taskq.protocol.consuming import Claim, Reap, Register, Settle
from taskq.protocol.operating import GetStats, Ping
from taskq.protocol.producing import Inspect, Wait
from taskq.protocol.values import Ack
from taskq.transport.lock import starting
from tests.crash.operations import enqueue
from tests.kit.files import ROOT
from tests.kit.marks import LONG, long_only
from tests.kit.messages import missing
from tests.kit.processes import send
from tests.kit.tracing import TracedBroker
from tests.kit.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.timeout(3600 if LONG else 120),
]

CRASHES = 1000 if LONG else 12
MANY = 20_000


@pytest.fixture
def broker(short_dir: Path) -> Iterator[TracedBroker]:
    it = TracedBroker(short_dir, "os")
    it.start()
    yield it
    it.close()


def test_14_counts_survive_a_crash_loop_and_the_journal_stays_bounded(broker: TracedBroker) -> None:
    sizes = []
    channel = broker.connect()
    channel.call(enqueue("kept", *"abc"))
    for number in range(CRASHES):
        ids = [f"{number}-{index}" for index in range(40)]
        channel.call(enqueue("q", *ids, size=5000, result_ttl=0))
        channel.call(Register(worker="w", consumer="c", group="default", queues=["q"]))
        claimed = channel.call(Claim(queues=["q"], n=40, wait=0)).messages
        channel.call(Settle(outcomes=[Ack(each.receipt, each.id, b"r") for each in claimed]))
        broker.kill()
        sizes.append(sum(file.stat().st_size for file in broker.directory.glob("journal.*")))
        broker.start()
        channel = broker.connect()
        stats = channel.call(GetStats())
        assert stats.broker.acknowledged == 3 + 40 * (number + 1)
        groups = {each.queue: each for each in stats.queues}
        assert groups["q"].succeeded == 40 * (number + 1)
        assert groups["q"].ready == groups["q"].leased == 0
        assert groups["kept"].ready == 3
    # the first rounds find their level; the ids of what has finished are kept for a minute
    assert max(sizes[3:]) - max(sizes[:3]) < CRASHES * 40 * 5000 // 20


def test_14_deliveries_are_counted_through_a_crash_loop(broker: TracedBroker) -> None:
    channel = broker.connect()
    channel.call(enqueue("q", "poison", max_deliveries=6))
    for number in range(1, 7):
        registration = Register(worker="w", consumer="c", group="default", queues=["q"])
        channel.call(registration)
        (claimed,) = channel.call(Claim(queues=["q"], n=1, wait=0)).messages
        broker.kill()
        broker.start()
        channel = broker.connect()
        registration.holding = [claimed.receipt]  # the worker lived on, and is about to die
        channel.call(registration)
        channel.call(Reap(worker="w", consumer="c", running=[claimed.receipt], reason="killed"))
        (job,) = channel.call(Inspect(id="poison")).jobs
        assert job.deliveries == number
    assert job.state == "dead"


# --- a large journal ----------------------------------------------------------------------------


def fill(broker: TracedBroker, count: int) -> None:
    channel = broker.connect()
    for start in range(0, count, 1000):
        channel.call(enqueue("q", *(f"m{n}" for n in range(start, start + 1000)), size=100))


@pytest.fixture
def halted(broker: TracedBroker) -> Iterator[TracedBroker]:
    """A broker that is stopped (SIGSTOP) while it reads its journal."""
    fill(broker, MANY)
    broker.kill()
    thread = threading.Thread(target=broker.start)
    thread.start()
    pid = wait_until(lambda: starting(broker.directory), every=0.001)
    send(pid, signal.SIGSTOP)
    assert starting(broker.directory) == pid, "it was ready before it could be stopped"
    yield broker
    send(pid, signal.SIGCONT)
    thread.join()


def test_15_a_broker_that_reads_its_journal_is_reported_as_starting(
    halted: TracedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = rf"{halted.directory} \(pid {halted.pid}\) is (still )?starting"
    monkeypatch.setattr(embedded, "START", 0.2)
    monkeypatch.setattr(embedded, "HANDSHAKE", 0.2)
    for patience in (0.1, 0.0):
        with pytest.raises(BrokerTimeout, match=told):
            EmbeddedBroker(halted.directory).connect(patience=patience)
    for command, code in (("status", 3), ("doctor", 5), ("health", 5)):
        done = subprocess.run(
            [sys.executable, "-m", "taskq", "--broker", f"embedded:{halted.directory}", command],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code
        assert not missing(done.stdout + done.stderr, f"pid {halted.pid}", "starting")


def test_15_a_client_waits_for_a_broker_that_is_starting(halted: TracedBroker) -> None:
    answers: list[int] = []

    def ask() -> None:
        broker = EmbeddedBroker(halted.directory)
        answers.append(broker.call(Ping()).pid)
        broker.close()

    client = threading.Thread(target=ask)
    client.start()
    wait_until(lambda: (halted.directory / "start.lock").exists())
    send(halted.pid, signal.SIGCONT)
    client.join(60)
    assert answers == [halted.pid]


@long_only
def test_15_a_million_messages_at_the_start(short_dir: Path) -> None:
    """The time to start is in proportion to the messages."""
    seconds = {}
    for count in (100_000, 1_000_000):
        broker = TracedBroker(short_dir / str(count), "os")
        broker.base.mkdir()
        try:
            broker.start()
            fill(broker, count)
            broker.kill()
            began = time.monotonic()
            broker.start()
            seconds[count] = time.monotonic() - began
            assert broker.connect().call(GetStats()).broker.messages == count
        finally:
            broker.close()
    print(seconds)
    assert seconds[1_000_000] < 15 * seconds[100_000]


# --- nobody's broker ----------------------------------------------------------------------------

PROGRAM = """
import signal, sys
from pathlib import Path
from taskq.backends.embedded import EmbeddedBroker
from taskq.protocol.operating import Ping
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
broker = EmbeddedBroker(Path(sys.argv[1]), idle_exit=0.5)
broker.call(Enqueue(queue="q", task="task", options=Options(), calls=[Call("a", b"")]))
print(broker.call(Ping()).pid, flush=True)
signal.pause()
"""


def test_10_the_broker_of_a_killed_program_leaves_when_nobody_needs_it(short_dir: Path) -> None:
    directory = short_dir / "broker"
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    other = EmbeddedBroker(directory, autostart=False)
    assert other.call(Ping()).pid == pid
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    assert other.call(Ping()).pid == pid  # it is not that program's alone
    assert is_alive(pid)
    other.close()
    wait_until(lambda: not is_alive(pid))
    with pytest.raises(BrokerUnavailable):
        other.connect(patience=0)
    again = EmbeddedBroker(directory, idle_exit=0.1)
    assert [each.ready for each in again.call(GetStats()).queues] == [1]
    pid = again.call(Ping()).pid
    again.close()
    wait_until(lambda: not is_alive(pid))


def test_10_a_broker_whose_starter_was_killed_meanwhile_leaves(short_dir: Path) -> None:
    directory = short_dir / "broker"
    reader, writer = os.pipe()
    os.close(reader)  # nobody waits for `ready` any more
    settings = BrokerSettings(directory, idle_exit=0.1, ready_fd=writer)
    with open(short_dir / "log", "wb") as log:
        broker = subprocess.run(
            [sys.executable, "-m", "taskq.broker", settings.to_json()],
            cwd=ROOT,
            stderr=log,
            pass_fds=(writer,),
            timeout=60,
        )
    os.close(writer)
    assert broker.returncode == 0
    assert "leaving" in (short_dir / "log").read_text()


# --- waiters ------------------------------------------------------------------------------------


def test_36_ten_thousand_waiters_raise_when_the_broker_is_gone(broker: TracedBroker) -> None:
    broker.connect().call(enqueue("q", "never"))
    client = EmbeddedBroker(broker.directory, autostart=False)
    channels = [client.connect(patience=0.01) for _ in range(100)]  # each wait tries again once
    outcomes: list[type[BaseException]] = []
    parked = threading.Barrier(len(channels) + 1)

    def wait_for_it(channel: Channel) -> None:
        waits = [Wait(watch=n, add=["never"], wait=3600) for n in range(100)]
        for wait in waits:
            channel.send(wait)
        channel.call(Ping())  # so they have all arrived
        parked.wait()
        for wait in waits:
            try:
                channel.receive(wait)
            except BaseException as error:
                outcomes.append(type(error))
        channel.close()

    threads = [threading.Thread(target=wait_for_it, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    parked.wait()
    broker.kill()
    for thread in threads:
        thread.join(60)
    assert outcomes == [BrokerUnavailable] * 10_000

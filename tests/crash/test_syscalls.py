"""A broker that is killed at each single system call of a request, or whose call fails.

`TASKQ_TESTS=long python -m pytest tests/crash/test_syscalls.py` also takes the paths of many
messages, of large ones and of each durability.
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.operations import CrashOperation, EnqueueOperation, SettleOperation, load
from tests.kit.marks import long_only
from tests.kit.messages import missing
from tests.kit.tracing import TracedBroker, is_answered, needs_strace

# not those that only look, such as the statfs for free space: they depend on the time of the last look
CHANGING = ("recvfrom", "pwrite64", "fdatasync", "sendto")

pytestmark = [needs_strace, pytest.mark.timeout(600)]


@pytest.fixture
def broker(short_dir: Path) -> Iterator[TracedBroker]:
    it = TracedBroker(short_dir)
    it.start()
    yield it
    it.close()


def kill_at_each_syscall(broker: TracedBroker, operation: CrashOperation) -> Counter[str]:
    """Kill at the first, second, … of each system call, until a request gets past it.

    Returns how often each one was struck.
    """
    struck: Counter[str] = Counter()
    number = 0
    for name in CHANGING:
        answered = False
        while not answered:
            number += 1
            channel = broker.connect()
            request = operation.prepare(channel, number)
            when = struck[name] + 1
            broker.attach("-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={when}")
            answered = is_answered(channel, request)
            if answered:
                broker.kill()  # right after the reply
            else:
                assert broker.wait() == -signal.SIGKILL
                struck[name] += 1
            broker.start()
            operation.check(broker.connect(), number, answered)
    return struck


def test_01_killed_at_each_syscall_of_an_enqueue(broker: TracedBroker) -> None:
    struck = kill_at_each_syscall(broker, EnqueueOperation())
    assert struck.keys() == set(CHANGING)
    assert struck["pwrite64"] >= 4  # at least two pages, each with its header


def test_13_killed_at_each_syscall_of_a_settle(broker: TracedBroker) -> None:
    struck = kill_at_each_syscall(broker, SettleOperation())
    assert struck.keys() == set(CHANGING)
    assert struck["pwrite64"] >= 6


@long_only
@pytest.mark.parametrize("durability", ["fsync", "os"])
@pytest.mark.parametrize(
    "operation",
    [
        EnqueueOperation(new_queue=False),
        EnqueueOperation(count=500, size=100),
        EnqueueOperation(size=100_000, new_queue=False),
        SettleOperation(),
    ],
    ids=["one more", "many", "large", "settle"],
)
def test_01_13_killed_on_longer_paths(
    short_dir: Path, operation: CrashOperation, durability: str
) -> None:
    broker = TracedBroker(short_dir, durability)
    broker.start()
    try:
        struck = kill_at_each_syscall(broker, operation)
    finally:
        broker.close()
    assert struck["pwrite64"] >= 2
    assert struck["fdatasync"] or durability == "os"


def test_01_11_killed_at_each_syscall_of_a_stop(broker: TracedBroker) -> None:
    """A stop folds the log into the journal, as a checkpoint does, and removes it."""
    broker.kill()
    operation = EnqueueOperation(count=3, size=3000)
    struck: Counter[str] = Counter()
    for name in ("pwrite64", "ftruncate", "fdatasync", "unlink", "unlinkat"):
        code = -signal.SIGKILL
        while code:
            shutil.rmtree(broker.directory)
            broker.start()
            channel = broker.connect()
            assert is_answered(channel, operation.prepare(channel, 1))
            when = struck[name] + 1
            broker.attach("-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={when}")
            code = broker.stop()
            assert code in (0, -signal.SIGKILL)
            struck[name] += code != 0
            assert set(load(broker.directory).ledger.messages) == {"1-0", "1-1", "1-2"}
    assert struck["pwrite64"] >= 4
    assert struck["fdatasync"] >= 2  # of the log before it is folded, of the journal after
    assert struck["unlink"] == 1  # the log
    assert struck["unlinkat"] == 1  # the socket, in the directory in which it was made


@pytest.mark.parametrize(
    ("name", "error", "reason", "times"),
    [
        ("fdatasync", "EIO", "disk I/O error", 2),
        ("pwrite64", "EIO", "disk I/O error", 5),
        ("pwrite64", "ENOSPC", "full", 5),
    ],
)
def test_05_48_a_failed_write_or_fsync_stops_the_broker_without_a_reply(
    broker: TracedBroker, name: str, error: str, reason: str, times: int
) -> None:
    failed = 0
    operation = EnqueueOperation()
    for number, when in enumerate(("1", "1+", "2", "3", "4"), start=1):
        channel = broker.connect()
        request = operation.prepare(channel, number)
        broker.attach("-e", f"trace={name}", "-e", f"inject={name}:error={error}:when={when}")
        answered = is_answered(channel, request)
        if answered:
            broker.kill()
        else:
            failed += 1
            assert broker.wait() == 1
            told = [line for line in broker.output.splitlines() if "stopped:" in line]
            assert len(told) == failed
            assert not missing(told[-1], broker.directory / "journal.db", reason)
        broker.start()
        operation.check(broker.connect(), number, answered)
    assert failed >= times

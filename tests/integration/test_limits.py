"""Producers that are faster than their workers: real processes, real limits."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from taskq.protocol.operating import GetStats, Stats
from tests.kit.messages import missing
from tests.kit.processes import send
from tests.kit.terminal import Terminal
from tests.kit.waiting import wait_until

PRODUCER = """
import os, sys
from taskq import TaskQueue, errors

queue = TaskQueue("narrow")

@queue.task(result_ttl=0)
def swallow(data):
    return len(data)

def produce(how, calls, size):
    patient = swallow.options(when_full=60)
    items = (os.urandom(size) for _ in range(calls))
    refused = 0
    if how == "map":
        patient.map(items)
    for item in items:
        try:
            (patient if how == "wait" else swallow)(item)
        except errors.QueueFull:
            refused += 1
    print(refused)

if __name__ == "__main__":
    produce(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""

START = "import producer; producer.queue.stats()"
MESSAGES, BYTES, SIZE = 40, 2 * 2**20, 100_000


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    """One whose commands run in its own directory."""
    (terminal.directory / "producer.py").write_text(PRODUCER)
    terminal.cwd = terminal.directory
    return terminal


def memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stats(terminal: Terminal) -> Stats:
    from taskq.backends.embedded import EmbeddedBroker

    broker = EmbeddedBroker(terminal.state / "narrow", autostart=False)
    try:
        return broker.call(GetStats())
    finally:
        broker.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_53_producers_faster_than_consumers_are_bounded(terminal: Terminal) -> None:
    terminal.run("-c", START)
    terminal.taskq("queue", "limit", "narrow", "--max-messages", str(MESSAGES), "--max-bytes", "2M",
                   "--broker", "narrow")  # fmt: skip
    pid = terminal.broker_pid("narrow")
    before = memory(pid)
    calls = {"raise": 300, "wait": 150, "map": 150}  # 60 MB in all, for a queue of 2
    producers = {
        how: terminal.start("producer.py", how, str(n), str(SIZE)) for how, n in calls.items()
    }
    wait_until(lambda: stats(terminal).queues[0].producers == 2)
    assert stats(terminal).queues[0].unfinished_bytes > BYTES - SIZE - 1000
    worker = terminal.start("-m", "taskq", "worker", "producer:queue", "-c", "1")
    peak = 0
    while any(process.poll() is None for process in producers.values()):
        now = stats(terminal)
        assert now.broker.messages <= MESSAGES
        assert now.broker.bytes <= BYTES
        peak = max(peak, memory(pid))
    told = {how: process.communicate() for how, process in producers.items()}
    assert [process.returncode for process in producers.values()] == [0, 0, 0], told
    refused = int(told["raise"][0])
    assert refused > 0
    assert (int(told["wait"][0]), int(told["map"][0])) == (0, 0)
    accepted = sum(calls.values()) - refused
    wait_until(lambda: stats(terminal).queues[0].succeeded == accepted)
    assert peak - before < 40 * 2**20, "the broker has kept what it should not"
    assert terminal.end(worker) == 0


def test_limits_of_the_broker_and_of_a_queue_are_shown_and_survive_a_restart(
    terminal: Terminal,
) -> None:
    terminal.environment["TASKQ_MAX_BYTES"] = "1MiB"
    terminal.run("-c", START)
    terminal.taskq("queue", "limit", "narrow", "--max-messages", "2", "--broker", "narrow")
    send(terminal.broker_pid("narrow"), signal.SIGKILL)
    wait_until(lambda: not terminal.broker_pid("narrow"))
    refused = terminal.run("producer.py", "raise", "3", "10").stdout
    assert refused == "1\n"
    told = terminal.taskq("status", "--broker", "narrow").stdout
    assert not missing(told, "broker holds 2 messages", "limit is 1.0 MiB")
    assert not missing(told, "group default", "limit is 2 messages")
    full = terminal.run("producer.py", "wait", "1", "2000000", code=1).stderr
    assert "PayloadTooLarge" in full
    listed = terminal.taskq("queue", "ls", "--broker", "narrow").stdout
    assert not missing(listed, "limit is 2 messages")
    off = terminal.taskq("queue", "limit", "narrow", "--max-messages", "0", "--broker", "narrow")
    assert not missing(off.stdout, "narrow", "no limit")
    assert terminal.run("producer.py", "raise", "3", "10").stdout == "0\n"


def test_a_map_that_is_interrupted_while_it_waits_takes_back_what_was_accepted(
    terminal: Terminal,
) -> None:
    terminal.run("-c", START)
    terminal.taskq("queue", "limit", "narrow", "--max-messages", "3", "--broker", "narrow")
    producer = terminal.start("producer.py", "map", "10", "10")
    wait_until(lambda: stats(terminal).queues[0].producers == 1)
    assert stats(terminal).queues[0].ready == 3
    producer.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in producer.communicate(timeout=30)[1]
    (queue,) = stats(terminal).queues
    assert (queue.ready, queue.cancelled, queue.producers) == (0, 3, 0)


def test_a_limit_that_is_none_is_refused(terminal: Terminal) -> None:
    for wrong in (["--max-bytes", "much"], ["--max-messages", "-1"]):
        told = terminal.taskq("queue", "limit", "narrow", *wrong, "--broker", "narrow", code=2)
        assert "Traceback" not in told.stderr
    terminal.environment["TASKQ_MAX_BYTES"] = "much"
    told = terminal.run("producer.py", "raise", "1", "1", code=1)
    assert not missing(told.stderr, "TASKQ_MAX_BYTES", "'much'")

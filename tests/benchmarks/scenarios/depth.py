"""What many ready messages cost: claim rate, memory, restart. Ours only."""

from __future__ import annotations

import time

from taskq.protocol.consuming import Claim, Register
from taskq.protocol.values import Ack
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.processes import resident
from tests.benchmarks.records import Sample

BATCH = 128
PART = 20_000  # messages whose handles are held at once while a queue is filled
CLAIMS = 20_000  # messages claimed to find the rate: enough for the journal to fold its log
SHALLOW = 10_000


def depth(peer: Ours, marks: Marks, count: int) -> Sample:
    """The claim rate with `count` ready messages, divided by that with 10,000.

    As many messages are claimed at each depth. A shallow queue is filled up again, off the clock,
    when half of it is gone, so both are measured at their depth.
    """
    empty = resident(peer.broker_pid)
    extra: dict[str, float] = {}
    rates: dict[int, float] = {}
    filled = 0
    for level in (1_000, SHALLOW, 100_000, 1_000_000):
        if level > count:
            break
        began = time.perf_counter()
        _fill(level - filled)
        if level == count:
            extra["fill"] = (level - filled) / (time.perf_counter() - began)
        extra[f"rss at {level}"] = (resident(peer.broker_pid) - empty) / level
        part = min(CLAIMS, level // 2)
        seconds = _claim(part)
        for _ in range(CLAIMS // part - 1):
            _fill(part)
            seconds += _claim(part)
        rates[level] = extra[f"rate at {level}"] = CLAIMS / seconds
        filled = level - part
    _fill(count - filled)
    extra["bytes a message"] = extra[f"rss at {count}"]
    extra["restart"] = _restart(peer, count)
    return Sample(rates[count] / rates[SHALLOW], count, extra=extra)


def _fill(count: int) -> None:
    for start in range(0, count, PART):
        noop.map(range(-1, -1 - min(PART, count - start), -1))


def _claim(count: int) -> float:
    """Claim and settle that many as a worker does, without running anything; the seconds."""
    connection = queue.broker.connect()
    connection.call(Register(worker="bench", consumer="bench", group="default", queues=["bench"]))
    done = 0
    began = time.perf_counter()
    claim = Claim(queues=["bench"], n=BATCH, wait=1.0)
    messages = connection.call(claim).messages
    while done < count:
        outcomes = [Ack(receipt=each.receipt, id=each.id, value=b"") for each in messages]
        done += len(outcomes)
        claim = Claim(queues=["bench"], n=min(BATCH, max(count - done, 1)), wait=1.0)
        connection.turn(list(outcomes), claim)
        messages = connection.receive(claim).messages
    seconds = time.perf_counter() - began
    connection.close()  # what was claimed last goes back
    return seconds


def _restart(peer: Ours, count: int) -> float:
    """Kill the broker and start it on its journal; seconds until it answers, nothing missing."""
    assert peer.broker is not None
    peer.broker.kill()
    peer.broker.wait()
    queue.close()
    began = time.perf_counter()
    peer.start_broker()
    found = queue.stats().broker.messages
    seconds = time.perf_counter() - began
    if found != count:
        raise RuntimeError(f"{found} messages after the restart, {count} before")
    return seconds

"""The broker in this process: whom it serves, and when it goes."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import pytest

from taskq import TaskQueue
from taskq.backends.memory import MemoryBroker
from taskq.errors import BrokerUnavailable, TaskTimeout
from taskq.interrupts import Shield, own_shield
from taskq.protocol.operating import GetStats, Ping
from taskq.protocol.producing import Enqueue, Wait
from taskq.protocol.values import Call, Options
from tests.kit.messages import naming


def test_it_is_freed_when_nobody_uses_it() -> None:
    queue = TaskQueue("freed", broker="memory:")
    task = queue.task(abs, name="abs")
    with queue.workers(2):
        assert task(-1).result(timeout=20) == 1
    gone = weakref.ref(queue.broker)
    queue.close()
    del queue, task
    for thread in threading.enumerate():
        if thread.name == "taskq-pulse":  # it may outlive the block for a moment
            thread.join()
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_connection_that_nobody_closes_goes_with_its_thread() -> None:
    broker = MemoryBroker()

    def use() -> None:
        connection = broker.connect()
        connection.send(Wait(watch=1, add=[], wait=60.0))
        connection.fileno()

    gc.collect()  # what earlier tests have left
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_it_answers_ping_as_any_broker_does() -> None:
    pong = MemoryBroker().call(Ping())
    assert (pong.pid, pong.durability.kind, pong.directory) == (os.getpid(), "none", "")


def test_a_connection_names_the_time_at_which_the_engine_has_to_run() -> None:
    clock = SimpleNamespace(time=1000.0)
    clock.now = lambda: clock.time
    broker = MemoryBroker(clock)  # type: ignore[arg-type]
    connection = broker.connect()
    assert connection.due() is None
    calls = [Call("m", b"p")]
    broker.call(Enqueue(queue="q", task="t", options=Options(), calls=calls, delay=40.0))
    due = connection.due()
    assert due is not None
    assert due > time.monotonic()
    clock.time += 40
    broker.tick()
    assert broker.call(GetStats()).queues[0].ready == 1


def test_it_does_not_cross_a_fork() -> None:
    broker = MemoryBroker()
    broker.forked()  # what a child does first
    with pytest.raises(BrokerUnavailable, match=naming("memory:", "fork")):
        broker.call(Ping())


def test_the_timeout_of_a_task_ends_its_wait_for_a_reply_and_the_broker_goes_on() -> None:
    broker = MemoryBroker()
    calls = [Call("m", b"p")]
    broker.call(Enqueue(queue="q", task="t", options=Options(), calls=calls))
    shields: list[Shield] = []
    is_there, ended = threading.Event(), threading.Event()

    def wait() -> None:
        shields.append(own_shield())
        is_there.set()
        with pytest.raises(TaskTimeout):
            broker.call(Wait(watch=1, add=["m"], wait=60.0))
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert is_there.wait(10)
    shields[0].ask(TaskTimeout)
    assert ended.wait(10)
    thread.join()
    assert broker.call(Ping()).pid == os.getpid()

"""`await handle` on a broker that does not answer: the loop goes on, and the await ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from taskq import TaskQueue
from taskq.backends.stop import stop_broker
from taskq.client.handle import ResultHandle
from taskq.client.waiting import UnconsumedWarning
from taskq.errors import BrokerTimeout, UnknownMessage
from taskq.protocol.operating import Ping
from taskq.transport.lock import holder_of
from tests.kit.messages import naming
from tests.kit.processes import send

ENOUGH = 100  # rounds of the loop while something is awaited for a second and more


@pytest.fixture
def queue(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskQueue]:
    monkeypatch.setenv("TASKQ_RECONNECT", "2")
    # a broker that is silent for so long counts as one that does not answer
    monkeypatch.setattr("taskq.backends.channel.REPLY_TIMEOUT", 2.0)
    monkeypatch.setattr("taskq.client.waiter.FIRST_SLICE", 0.1)
    queue = TaskQueue("awaited", broker=f"embedded:{short_dir / 'b'}")
    queue.task(abs, name="one")
    yield queue
    if (holder := holder_of(short_dir / "b")) is not None:
        send(holder.pid, signal.SIGCONT)
    queue.close()
    stop_broker(short_dir / "b")


async def outcome(handle: ResultHandle[object]) -> object:
    return await handle


async def rounds(awaited: Awaitable[object]) -> int:
    """How often the loop comes round until that has ended, well or not."""
    count = 0
    waiting = asyncio.ensure_future(awaited)
    while not waiting.done():
        count += 1
        await asyncio.sleep(0.001)
    waiting.exception()
    return count


def stop(queue: TaskQueue) -> None:
    send(queue.broker.call(Ping()).pid, signal.SIGSTOP)


def test_a_stopped_broker_ends_the_await_with_a_timeout(queue: TaskQueue) -> None:
    handle = queue.tasks["one"](-1)

    async def main() -> int:
        with pytest.raises(UnknownMessage):
            await queue.handle("nothing")  # so that there is a connection
        stop(queue)
        waiting = asyncio.ensure_future(outcome(handle))
        count = await rounds(waiting)
        with pytest.raises(BrokerTimeout, match=naming(queue.broker.url, "not answer")):
            await waiting
        return count

    assert asyncio.run(main()) > ENOUGH


def test_after_a_timed_out_await_a_lost_broker_does_not_block_the_loop(queue: TaskQueue) -> None:
    first, second = queue.tasks["one"](-1), queue.tasks["one"](-2)

    async def main() -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first, 0.01)
        stop(queue)
        await asyncio.sleep(0.2)  # until the thread asks the broker to forget the first
        return await rounds(outcome(second))

    assert asyncio.run(main()) > ENOUGH


def test_who_awaits_what_no_worker_runs_is_warned(queue: TaskQueue) -> None:
    handle = queue.tasks["one"](-1)

    async def main() -> None:
        await handle

    with pytest.raises(UnconsumedWarning, match=naming("no worker", "'awaited'")):
        asyncio.run(main())  # where warnings are errors

"""What runs in a chaos run: a task that notes its runs, and producers that note what they may trust.

`python -m tests.crash.chaos_app FIRST COUNT RATE` is one producer. Two threads of it call the task:
singly, in bulk, with a delay and under ids of their own, twice; some calls are cancelled. A third one
awaits calls of its own on an asyncio loop.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time

from taskq import ResultHandle, TaskQueue, current
from tests.crash.history import Notes, now

GROUP = "TASKQ_CHAOS_GROUP"  # the variable with the name of the second group, in its workers
BULK = 10  # calls of one request, at most
THREADS = 3  # of a producer
DELAY = 0.4  # seconds
PATIENCE = 100.0  # seconds for one awaited call
LEASE = 3.0

queue = TaskQueue("chaos")
runs, acked, cancelled = Notes("runs"), Notes("acked"), Notes("cancelled")
audited, awaited = Notes("audited"), Notes("awaited")


@queue.task(name="step", retries=5, backoff=0.05, max_deliveries=1000, visibility_timeout=LEASE)
def step(n: int) -> tuple[int, int]:
    """Takes from 0 to 20 ms; one in twenty fails at first."""
    here = current()
    if GROUP in os.environ:
        audited.write(here.id)
        return n, here.fence
    runs.write("began", here.id, here.fence, os.getppid(), now())
    time.sleep(max(0.0, random.Random(n).uniform(-0.02, 0.02)))
    if n % 20 == 0 and here.attempt == 1:
        runs.write("failed", here.id, here.fence)
        raise ValueError("the first attempt of this one fails")
    runs.write("ok", here.id, here.fence)
    return n, here.fence


def call(draw: random.Random, numbers: range) -> list[ResultHandle[tuple[int, int]]]:
    """Call the task with these numbers in one of the ways that there are; note each handle."""
    due = 0.0
    if len(numbers) > 1:
        handles = list(step.map(numbers))
    else:
        way = draw.choice(("plain", "plain", "delayed", "twice"))
        options = {"delay": DELAY} if way == "delayed" else {}
        if way == "delayed":
            due = now() + DELAY
        if way == "twice":
            options = {"id": f"chaos-{os.getpid()}-{numbers[0]}"}
        handles = [step.options(**options)(numbers[0]) for _ in range(1 + (way == "twice"))]
        numbers = range(numbers[0], numbers[0] + 1)
        assert len({handle.id for handle in handles}) == 1, "one id gave two calls"
        handles = handles[:1]
    for handle, n in zip(handles, numbers, strict=True):
        acked.write(handle.id, n, due)
    return handles


def cancel(draw: random.Random, handle: ResultHandle[tuple[int, int]]) -> None:
    """Cancel one call, soon after it was made; a kill of the worker that runs it is one way."""
    cancelled.write(handle.id)
    time.sleep(draw.uniform(0.0, 0.1))
    handle.cancel(terminate=draw.random() < 0.5)


def produce(first: int, count: int, rate: float) -> None:
    """Call the task `count` times, with numbers from `first` on."""
    draw, sent, began = random.Random(first), 0, time.monotonic()
    while sent < count:
        size = min(draw.choice((1, 1, 1, BULK)), count - sent)
        handles = call(draw, range(first + sent, first + sent + size))
        if draw.random() < 0.04:
            cancel(draw, handles[0])
        sent += size
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))


async def produce_and_await(first: int, count: int, rate: float) -> None:
    """The same, a few calls at a time, each awaited to its end."""
    draw = random.Random(first)
    for start in range(first, first + count, BULK):
        numbers = range(start, min(start + BULK, first + count))
        handles = [handle for n in numbers for handle in call(draw, range(n, n + 1))]
        await asyncio.gather(*map(note_result, handles))
        await asyncio.sleep(len(numbers) / rate)


async def note_result(handle: ResultHandle[tuple[int, int]]) -> None:
    """Await one call, and note what came of it."""

    async def result() -> tuple[int, int]:
        return await handle

    try:
        number, _ = await asyncio.wait_for(result(), PATIENCE)
        awaited.write(handle.id, number)
    except Exception as error:
        awaited.write(handle.id, repr(error).replace("\n", " "))


def main(first: int, count: int, rate: float) -> None:
    """One producer: its threads share the numbers and the rate."""
    share = count // THREADS
    jobs = [(first, share), (first + share, share), (first + 2 * share, count - 2 * share)]
    ways = [
        produce,
        produce,
        lambda first, count, rate: asyncio.run(produce_and_await(first, count, rate)),
    ]
    threads = [
        threading.Thread(target=way, args=(*job, rate / THREADS))
        for way, job in zip(ways, jobs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    from tests.crash import chaos_app  # the task travels by name

    chaos_app.main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

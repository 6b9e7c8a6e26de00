"""SAQ on Redis, two worker processes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import redis
from saq import Queue

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import AsyncContestant, is_tuned, store
from tests.benchmarks.work import work_in_loop

MISSED = 0.05  # seconds after which a notification has been missed

queue = Queue.from_url(store())


async def noop(ctx: Any, *, n: int) -> int:
    """What the scenario's no-op is, with a result."""
    await work_in_loop(n)
    return n


async def echo(ctx: Any, *, n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


settings = {"queue": queue, "functions": [noop, echo], "concurrency": 50 if is_tuned() else 10}


class Saq(AsyncContestant):
    """SAQ. The result and the acknowledgement are one transaction."""

    has_bulk = True
    PARALLEL = 20  # more wait for a semaphore of its own

    def __init__(self) -> None:
        super().__init__()
        self.redis = redis.Redis.from_url(store())

    def worker_command(self) -> list[str]:
        command = ["-m", "saq", f"{__name__}.settings", "--workers", "2"]
        return [*command, "--quiet"] if is_tuned() else command

    def finished(self) -> int:
        left: int = self.redis.zcard("saq:default:incomplete")
        return self.sent - left

    async def send(self, n: int) -> Any:
        return await queue.enqueue("noop", n=n)

    async def send_payload(self, n: int, data: str) -> Any:
        return await queue.enqueue("echo", n=n, data=data)

    async def fetch(self, handle: Any) -> Any:
        # a job that ends between its two steps, a look and a subscription, is not told of
        while not handle.completed:
            with contextlib.suppress(asyncio.TimeoutError):
                await handle.refresh(until_complete=MISSED)
        return handle.result


CONTESTANT = Saq

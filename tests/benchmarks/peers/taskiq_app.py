"""taskiq on a Redis stream, two processes, acknowledged when the result is saved."""

from __future__ import annotations

from typing import Any

import redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import AsyncContestant, is_tuned, store
from tests.benchmarks.work import work_in_loop

# from the beginning of the stream: messages wait in it before the workers come
broker = RedisStreamBroker(url=store(), consumer_id="0").with_result_backend(
    RedisAsyncResultBackend(redis_url=store())
)


@broker.task
async def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    await work_in_loop(n)
    return n


@broker.task
async def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


class Taskiq(AsyncContestant):
    """taskiq."""

    has_bulk = True

    def __init__(self) -> None:
        super().__init__()
        self.redis = redis.Redis.from_url(store())
        self.run(broker.startup())

    def worker_command(self) -> list[str]:
        command = ["-m", "taskiq", "worker", f"{__name__}:broker", "--workers", "2"]
        if is_tuned():
            command += ["--log-level", "WARNING", "--no-parse", "--max-prefetch", "100"]
        return command

    def finished(self) -> int:
        group = self.redis.xinfo_groups("taskiq")[0]
        return int(group["entries-read"] or 0) - int(group["pending"])

    async def send(self, n: int) -> Any:
        return await noop.kiq(n)

    async def send_payload(self, n: int, data: str) -> Any:
        return await echo.kiq(n, data)

    async def fetch(self, handle: Any) -> Any:
        pace = {"check_interval": 0.0005} if is_tuned() else {}
        return (await handle.wait_result(timeout=60, **pace)).return_value


CONTESTANT = Taskiq

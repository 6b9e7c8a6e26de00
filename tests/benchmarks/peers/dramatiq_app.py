"""dramatiq on Redis: two processes of eight threads, results on."""

from __future__ import annotations

import os
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import Contestant, is_tuned, store
from tests.benchmarks.work import work

if is_tuned():  # read by its workers: how many messages each process fetches ahead
    os.environ["dramatiq_queue_prefetch"] = "1000"  # noqa: SIM112 - its own spelling

broker = RedisBroker(url=store())
broker.add_middleware(Results(backend=RedisBackend(url=store()), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    work(n)
    return n


@dramatiq.actor
def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


class Dramatiq(Contestant):
    """dramatiq. It acknowledges after the result is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = redis.Redis.from_url(store())

    def worker_command(self) -> list[str]:
        return ["-m", "dramatiq", __name__, "-p", "2", "-t", "8"]

    def finished(self) -> int:
        left: int = self.redis.hlen("dramatiq:default.msgs")
        return self.sent - left

    def enqueue(self, n: int) -> Any:
        return noop.send(n)

    def enqueue_payload(self, n: int, data: str) -> Any:
        return echo.send(n, data)

    def result(self, handle: Any) -> Any:
        return handle.get_result(block=True, timeout=60_000)


CONTESTANT = Dramatiq

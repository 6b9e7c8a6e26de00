"""RQ: a pool of two workers, which fork for each job unless tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis
from rq import Queue

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import Contestant, is_tuned, store
from tests.benchmarks.work import work


def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    work(n)
    return n


def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


class Rq(Contestant):
    """RQ. A job leaves the queue when it is taken, and is in a registry until it ends."""

    has_bulk = True

    def __init__(self) -> None:
        super().__init__()
        self.redis = Redis.from_url(store())
        self.queue = Queue("default", connection=self.redis)

    def worker_command(self) -> list[str]:
        command = ["-m", "rq.cli", "worker-pool", "default", "-n", "2", "-u", store()]
        if is_tuned():  # its guide to performance: no fork for each job
            command += ["-w", "rq.worker.SimpleWorker", "-q"]
        return command

    def finished(self) -> int:
        count: int = self.redis.zcard("rq:finished:default")
        return count

    def enqueue(self, n: int) -> Any:
        return self.queue.enqueue(noop, n)

    def enqueue_payload(self, n: int, data: str) -> Any:
        return self.queue.enqueue(echo, n, data)

    def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), 1000):
            part = numbers[start : start + 1000]
            self.queue.enqueue_many([Queue.prepare_data(noop, (n,)) for n in part])

    def result(self, handle: Any) -> Any:
        return handle.latest_result(timeout=60).return_value


CONTESTANT = Rq

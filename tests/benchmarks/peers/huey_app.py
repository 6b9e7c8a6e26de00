"""huey, on Redis or on SQLite, with two worker processes."""

from __future__ import annotations

from typing import Any

from huey import RedisHuey, SqliteHuey

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import Contestant, is_about_latency, is_tuned, store
from tests.benchmarks.work import work


def _app() -> Any:
    if not store().startswith("redis:"):
        # stock is SQLite's default, an fsync for each transaction
        settings = {"fsync": False, "cache_mb": 64} if is_tuned() else {}
        return SqliteHuey("bench", filename=f"{store()}/huey.db", **settings)
    # the notification costs two commands a task and serves only those who wait
    settings = {"notify_result": True} if is_tuned() and is_about_latency() else {}
    return RedisHuey("bench", url=store(), **settings)


huey = _app()


@huey.task()
def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    work(n)
    return n


@huey.task()
def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


class Huey(Contestant):
    """huey. It has no acknowledgement: a message leaves the store before it runs."""

    def worker_command(self) -> list[str]:
        command = ["-m", "huey.bin.huey_consumer", f"{__name__}.huey", "-k", "process", "-w", "2"]
        if is_tuned():
            command += ["-q", "-d", "0.001", "-m", "0.005"]
        return command

    def finished(self) -> int:
        count: int = huey.result_count() + self.fetched
        return count

    fetched = 0

    def enqueue(self, n: int) -> Any:
        return noop(n)

    def enqueue_payload(self, n: int, data: str) -> Any:
        return echo(n, data)

    def result(self, handle: Any) -> Any:
        # with stock settings this looks again after 0.1 s, 0.115 s, …; tuned it is notified on
        # Redis, and looks every millisecond on SQLite, which has no notification
        pace = {"backoff": 1.0, "max_delay": 0.001} if is_tuned() else {}
        value = handle.get(blocking=True, timeout=60, **pace)
        self.fetched += 1  # reading a result takes it out of the store
        return value


CONTESTANT = Huey

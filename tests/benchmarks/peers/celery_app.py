"""Celery on Redis, prefork with two processes, late acknowledgement, results on."""

from __future__ import annotations

from typing import Any

import redis
from celery import Celery

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import Contestant, is_tuned, store
from tests.benchmarks.work import work

app = Celery("bench", broker=store(), backend=store())
app.conf.task_acks_late = True
app.conf.broker_connection_retry_on_startup = True
if is_tuned():  # its guide to optimizing: reserve more of short tasks
    app.conf.worker_prefetch_multiplier = 128
    app.conf.worker_send_task_events = False
    app.conf.worker_disable_rate_limits = True


@app.task
def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    work(n)
    return n


@app.task
def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


class CeleryPrefork(Contestant):
    """Celery. A result is stored before the acknowledgement."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = redis.Redis.from_url(store())

    def worker_command(self) -> list[str]:
        command = ["-m", "celery", "-A", __name__, "worker", "-P", "prefork", "-c", "2"]
        if is_tuned():
            command += ["-l", "WARNING", "--without-gossip", "--without-mingle"]
            command += ["--without-heartbeat"]
        return command

    def finished(self) -> int:
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.llen("celery")
            pipe.hlen("unacked")
            ready, unacked = pipe.execute()
        return self.sent - int(ready) - int(unacked)

    def enqueue(self, n: int) -> Any:
        return noop.delay(n)

    def enqueue_payload(self, n: int, data: str) -> Any:
        return echo.delay(n, data)

    def result(self, handle: Any) -> Any:
        return handle.get(timeout=60)


CONTESTANT = CeleryPrefork

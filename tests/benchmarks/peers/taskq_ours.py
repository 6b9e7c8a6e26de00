"""taskq: a broker process with a journal on disk; the column is the durability."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import sleep, time
from typing import Any

from taskq import Backoff, TaskQueue
from taskq.protocol.operating import Ping
from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import COLUMN, ROOT, Contestant, store
from tests.benchmarks.stamps import stamp
from tests.benchmarks.work import work

queue = TaskQueue("bench", broker=f"embedded:{store()}")


@queue.task
def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    work(n)
    return n


@queue.task
def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


@queue.task
def nap(n: int, seconds: float) -> float:
    """Sleep; returns when it ended, a Unix time."""
    mark(n)
    sleep(seconds)
    return time()


@queue.task
def due(n: int, at: float, early: int) -> int:
    """Mark number `n`, and number `early + n` if it is not yet the Unix time `at`."""
    mark(n)
    if time() < at:
        mark(early + n)
    return n


@queue.task
def stamped(n: int) -> int:
    """Note when number `n` ended."""
    stamp(n)
    return n


@queue.task(retries=1_000_000, backoff=Backoff(base=2.0, factor=1.0))
def fail(n: int) -> None:
    """Fail; tried again after 1 to 2 s."""
    raise RuntimeError(f"number {n} fails")


class Ours(Contestant):
    """taskq with a broker of its own in the cell's directory."""

    has_bulk = True

    def __init__(self) -> None:
        super().__init__()
        self.broker: subprocess.Popen[bytes] | None = None
        self.start_broker()

    def start_broker(self) -> None:
        """Start the broker of this cell's directory and wait until it answers."""
        durability = os.environ[COLUMN]
        self.broker = subprocess.Popen(
            [
                *(sys.executable, "-m", "taskq", "broker"),
                *("--dir", store(), "--durability", durability),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=(Path(os.environ["BENCH_DIR"]) / "broker.log").open("ab"),
        )
        assert self.broker.stdout is not None
        self.broker.stdout.readline()

    @property
    def broker_pid(self) -> int:
        """The process that serves the directory now."""
        return queue.broker.call(Ping()).pid

    def worker_command(self) -> list[str]:
        return self.worker_of(2)

    def worker_of(self, children: int) -> list[str]:
        """The worker's command with that many children."""
        app = f"{__name__}:queue"
        return ["-m", "taskq", "worker", app, "-c", str(children), "-l", "warning"]

    def launch(self, *command: str) -> None:
        """Start one more worker; it ends with the cell's process group."""
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=(Path(os.environ["BENCH_DIR"]) / "worker.log").open("ab"),
        )

    def finished(self) -> int:
        return sum(each.succeeded for each in queue.stats().queues)

    def enqueue(self, n: int) -> Any:
        return noop(n)

    def enqueue_payload(self, n: int, data: str) -> Any:
        return echo(n, data)

    def result(self, handle: Any) -> Any:
        return handle.result(60)

    def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        noop.map(numbers)


CONTESTANT = Ours

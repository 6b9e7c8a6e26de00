"""What a scenario knows of a contender."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
STORE, COLUMN, SCENARIO = "BENCH_STORE", "BENCH_COLUMN", "BENCH_SCENARIO"


def store() -> str:
    """URL or directory of this cell's store."""
    return os.environ[STORE]


def is_tuned() -> bool:
    """Whether this cell is of the column `tuned`."""
    return os.environ.get(COLUMN) == "tuned"


def is_about_latency() -> bool:
    """Whether this cell measures latency; some peers have settings that serve it only."""
    return os.environ.get(SCENARIO, "").startswith(("round-trip", "latency"))


class Contestant(ABC):
    """One queue, with its store up and its workers not yet.

    Attributes:
        is_separate: messages wait in a store without workers; a process pool has none.
        has_bulk: there is a call that enqueues many.
    """

    is_separate = True
    has_bulk = False

    def __init__(self) -> None:
        self.sent = 0
        self.worker: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def worker_command(self) -> list[str]:
        """The arguments of `python` that run two worker processes."""

    @abstractmethod
    def finished(self) -> int:
        """How many have finished: result stored, and acknowledged at the broker."""

    @abstractmethod
    def enqueue(self, n: int) -> Any:
        """Enqueue `noop(n)` and return what its result is asked from."""

    @abstractmethod
    def enqueue_payload(self, n: int, data: str) -> Any:
        """Enqueue `echo(n, data)`."""

    @abstractmethod
    def result(self, handle: Any) -> Any:
        """Wait for a result in the way that the contender's documents advise."""

    def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        """Enqueue many in the quickest way there is."""
        raise NotImplementedError

    # --- what the scenarios call ------------------------------------------------------------

    def start_workers(self) -> None:
        """Start two worker processes; they end with the cell's process group."""
        self.worker = subprocess.Popen(
            [sys.executable, *self.worker_command()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(Path(os.environ["BENCH_DIR"]) / "worker.log").open("ab"),
        )

    def enqueue_each(self, numbers: Iterable[int]) -> None:
        """One call after the other."""
        enqueue = self.enqueue
        for n in numbers:
            enqueue(n)
            self.sent += 1

    def enqueue_all(self, numbers: Sequence[int]) -> None:
        """In bulk where that is possible."""
        if self.has_bulk:
            self.enqueue_bulk(numbers)
            self.sent += len(numbers)
        else:
            self.enqueue_each(numbers)

    def enqueue_payloads(self, numbers: Iterable[int], data: str) -> None:
        """One call after the other, each with `data`."""
        for n in numbers:
            self.enqueue_payload(n, data)
            self.sent += 1

    def round_trips(self, count: int) -> list[float]:
        """Seconds from call to result, `count` times, nothing else going on."""
        times = []
        for _ in range(count):
            began = time.perf_counter()
            self.result(self.enqueue(-1))
            times.append(time.perf_counter() - began)
            self.sent += 1
        return times


class AsyncContestant(Contestant):
    """A contender with an asyncio client: all its calls of a kind run in one event loop's turn."""

    PARALLEL = 100  # calls under way at once, where many are to be enqueued

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=_loop_factory())

    @abstractmethod
    async def send(self, n: int) -> Any:
        """`enqueue`, as a coroutine."""

    @abstractmethod
    async def send_payload(self, n: int, data: str) -> Any:
        """`enqueue_payload`, as a coroutine."""

    @abstractmethod
    async def fetch(self, handle: Any) -> Any:
        """`result`, as a coroutine."""

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end in the contender's loop."""
        return self.runner.run(work)

    def enqueue(self, n: int) -> Any:
        return self.run(self.send(n))

    def enqueue_payload(self, n: int, data: str) -> Any:
        return self.run(self.send_payload(n, data))

    def result(self, handle: Any) -> Any:
        return self.run(self.fetch(handle))

    def enqueue_each(self, numbers: Iterable[int]) -> None:
        async def each() -> None:
            for n in numbers:
                await self.send(n)
                self.sent += 1

        self.run(each())

    def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        async def gathered() -> None:
            for start in range(0, len(numbers), self.PARALLEL):
                part = numbers[start : start + self.PARALLEL]
                await asyncio.gather(*(self.send(n) for n in part))

        self.run(gathered())

    def enqueue_payloads(self, numbers: Iterable[int], data: str) -> None:
        async def each() -> None:
            for n in numbers:
                await self.send_payload(n, data)
                self.sent += 1

        self.run(each())

    def round_trips(self, count: int) -> list[float]:
        async def trips() -> list[float]:
            times = []
            for _ in range(count):
                began = time.perf_counter()
                await self.fetch(await self.send(-1))
                times.append(time.perf_counter() - began)
                self.sent += 1
            return times

        times: list[float] = self.run(trips())
        return times


def _loop_factory() -> Any:
    if not is_tuned():
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop

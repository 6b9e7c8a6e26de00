"""Measures one durability class on a broker and workers of its own."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskq.backends.embedded import EmbeddedBroker
from taskq.cli.benchmark.tasks import noop, queue
from taskq.cli.support.processes import defer_signals, stop
from taskq.protocol.operating import Ping

LIMIT = 300.0  # seconds for one drain
LOOK = 0.002  # seconds between two looks at the broker's counters
PART = 20_000  # calls whose handles are held at once


@dataclass(frozen=True)
class Scale:
    """How many messages each figure takes."""

    syncs: int = 200
    enqueue: int = 3_000
    drain: int = 50_000
    trips: int = 1_000
    depth: int = 200_000

    def reduced(self) -> Scale:
        """A tenth of it."""
        return Scale(
            self.syncs // 4,
            self.enqueue // 10,
            self.drain // 10,
            self.trips // 10,
            self.depth // 10,
        )


STEPS = 5


class Bench:
    """One run for one durability class.

    Args:
        directory: an empty directory on the disk to measure; the broker's is made in it.
        durability: `fsync`, `os` or `none`.
        workers: worker processes.
        scale: how many messages.
        say: called with what is being measured, before each step.
    """

    def __init__(
        self,
        directory: Path,
        durability: str,
        workers: int,
        scale: Scale,
        say: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._durability = durability
        self._workers = workers
        self._scale = scale
        self._say = say
        self._pid = 0

    def run(self) -> dict[str, float | None]:
        """Measure everything; see `figures.KINDS` for what the names mean.

        Raises:
            TimeoutError: a drain did not end.
        """
        scale = self._scale
        self._say("the disk")
        found: dict[str, float | None] = {"disk": fdatasync(self._directory, scale.syncs)}
        with self._broker():
            noop(0)  # which makes the queue
            queue.pause()
            with queue.workers(self._workers, log_level="error"):
                found |= self._throughput()
                found |= self._round_trips()
                found |= self._depth()
        return found

    # --- the steps ------------------------------------------------------------------------------

    def _throughput(self) -> dict[str, float | None]:
        scale = self._scale
        self._say(f"{scale.enqueue:,} calls, one by one")
        began = time.perf_counter()
        for n in range(scale.enqueue):
            noop(n)
        enqueue = scale.enqueue / (time.perf_counter() - began)
        queue.purge()
        self._say(f"{scale.drain:,} calls in bulk, and their drain")
        began = time.perf_counter()
        noop.map(range(scale.drain))
        bulk = scale.drain / (time.perf_counter() - began)
        return {"enqueue": enqueue, "bulk": bulk, "drain": self._drain(scale.drain)}

    def _round_trips(self) -> dict[str, float | None]:
        count = self._scale.trips
        self._say(f"{count:,} round trips")
        for n in range(20):
            noop(n)()
        times = []
        for n in range(count):
            began = time.perf_counter()
            noop(n)()
            times.append((time.perf_counter() - began) * 1e6)
        times.sort()
        return {"round trip": times[count // 2], "round trip p99": times[count * 99 // 100]}

    def _depth(self) -> dict[str, float | None]:
        count = self._scale.depth
        self._say(f"{count:,} waiting messages")
        queue.pause()
        before = resident(self._pid)
        for start in range(0, count, PART):
            noop.map(range(start, min(start + PART, count)))
        after = resident(self._pid)
        rate = self._drain(count // 4)
        queue.pause()
        queue.purge()
        memory = None if before is None or after is None else (after - before) / count
        return {"deep drain": rate, "memory": memory}

    def _drain(self, count: int) -> float:
        """Let the paused queue go; tasks a second of its next `count` ones."""
        before = succeeded()
        deadline = time.monotonic() + LIMIT
        began = time.perf_counter()
        queue.resume()
        while (done := succeeded() - before) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {done:,} of {count:,} tasks ended in {LIMIT:.0f} s")
            time.sleep(LOOK)
        return done / (time.perf_counter() - began)

    # --- the ground -----------------------------------------------------------------------------

    @contextmanager
    def _broker(self) -> Iterator[None]:
        """A broker of this class, from its start to its end."""
        queue.use_broker(
            EmbeddedBroker(self._directory / "broker", durability=self._durability, idle_exit=10)
        )
        try:
            with defer_signals(
                signal.SIGINT, signal.SIGTERM
            ):  # else nobody would know whom to stop
                self._pid = queue.broker.call(Ping()).pid or 0
            yield
        finally:
            queue.close()
            stop(self._pid)


def succeeded() -> int:
    """How many tasks the broker has seen end well."""
    return sum(group.succeeded for group in queue.stats().queues)


def fdatasync(directory: Path, count: int) -> float:
    """The median cost of 4 KiB made durable in a file that has its length already, in µs."""
    path = directory / "sync"
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has the latter only
    path.write_bytes(bytes(4096 * count))
    file = os.open(path, os.O_WRONLY)
    times = []
    try:
        os.fsync(file)
        for _ in range(count):
            os.write(file, b"x" * 4096)
            began = time.perf_counter()
            sync(file)
            times.append((time.perf_counter() - began) * 1e6)
    finally:
        os.close(file)
        path.unlink()
    return statistics.median(times)


def resident(pid: int) -> int | None:
    """Resident memory of a process in bytes, as `ps` reports it; `None` if there is no `ps`."""
    try:
        text = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return _resident_of_proc(pid)
    return int(text) * 1024


def _resident_of_proc(pid: int) -> int | None:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")

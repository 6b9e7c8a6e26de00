"""Measures the main job on this machine: enqueue, bulk enqueue, round trip, drain, import.

Run it from the project's root, on a machine that does nothing else:

    python -m tests.benchmarks.main_job [--durability fsync|os] [--repeats 5] [--json]

Everything is real: a broker process, two worker children, the journal on the disk of `--dir`. Each
figure is the median of the repeats, with the lowest and the highest. Beside them stands what bounds
them here: the cost of one `fdatasync` of a 4 KiB append, and one round trip through a pipe.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path

ENQUEUES, BULK, DRAIN, TRIPS, IMPORTS = 5_000, 100_000, 50_000, 2_000, 5

Figures = dict[str, float]


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="tqb", dir=arguments.dir) as directory:
        os.environ["TASKQ_DIR"] = directory
        os.environ["TASKQ_DURABILITY"] = arguments.durability
        runs = [_once(Path(directory)) for _ in range(arguments.repeats)]
    table = {name: sorted(run[name] for run in runs) for name in runs[0]}
    if arguments.json:
        print(json.dumps({"durability": arguments.durability, "figures": table}))
        return
    print(f"durability {arguments.durability}, {arguments.repeats} repeats: median (low … high)")
    for name, values in table.items():
        low, middle, high = values[0], statistics.median(values), values[-1]
        print(f"  {name:34} {middle:12,.1f}   ({low:,.1f} … {high:,.1f})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dir", help="the disk to measure (default: the temporary directory)")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _once(directory: Path) -> Figures:
    from tests.benchmarks.tasks import noop, queue

    figures: Figures = {
        "fdatasync of a 4 KiB append, µs": _fdatasync(directory),
        "pipe round trip p50, µs": _pipe(),
        "import taskq, ms": _import(),
    }
    noop(0)  # the broker starts here
    queue.pause()
    with _worker():
        queue.purge()
        figures["enqueue one by one, /s"] = _rate(ENQUEUES, lambda: _enqueue(ENQUEUES))
        queue.purge()
        figures["map of 100k, /s"] = _rate(BULK, lambda: noop.map(range(BULK)))
        queue.purge()
        figures["drain of 50k, 2 children, /s"] = _drain()
        figures["round trip p50, µs"], figures["round trip p99, µs"] = _round_trips()
    queue.close()
    return figures


def _enqueue(count: int) -> None:
    from tests.benchmarks.tasks import noop

    for n in range(count):
        noop(n)


def _rate(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


@contextmanager
def _worker() -> Iterator[None]:
    command = [sys.executable, "-m", "taskq", "worker", "tests.benchmarks.tasks:queue", "-c", "2"]
    worker = subprocess.Popen([*command, "-l", "WARNING"])
    try:
        from tests.benchmarks.tasks import queue

        while sum(group.consumers for group in queue.stats().queues) < 2:
            time.sleep(0.01)
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def _drain() -> float:
    from tests.benchmarks.tasks import noop, queue

    before = _succeeded()
    noop.map(range(DRAIN))
    start = time.perf_counter()
    queue.resume()
    while _succeeded() < before + DRAIN:
        time.sleep(0.002)
    return DRAIN / (time.perf_counter() - start)


def _succeeded() -> int:
    from tests.benchmarks.tasks import queue

    return sum(group.succeeded for group in queue.stats().queues)


def _round_trips() -> tuple[float, float]:
    from tests.benchmarks.tasks import noop

    times = []
    for n in range(TRIPS):
        start = time.perf_counter()
        noop(n)()
        times.append((time.perf_counter() - start) * 1e6)
    times.sort()
    return times[TRIPS // 2], times[TRIPS * 99 // 100]


# --- what bounds the figures ----------------------------------------------------------------------


def _fdatasync(directory: Path) -> float:
    file = os.open(directory / "sync", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    times = []
    for _ in range(300):
        os.write(file, b"x" * 4096)
        start = time.perf_counter()
        os.fdatasync(file)
        times.append((time.perf_counter() - start) * 1e6)
    os.close(file)
    return statistics.median(times)


def _echo(end: Connection) -> None:
    while (data := end.recv_bytes()) != b"end":
        end.send_bytes(data)


def _pipe() -> float:
    ours, theirs = Pipe()
    other = Process(target=_echo, args=(theirs,))
    other.start()
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        ours.send_bytes(b"x" * 100)
        ours.recv_bytes()
        times.append((time.perf_counter() - start) * 1e6)
    ours.send_bytes(b"end")
    other.join()
    return statistics.median(times)


def _import() -> float:
    program = "import time; t = time.perf_counter(); import taskq; print(time.perf_counter() - t)"
    times = [
        float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(IMPORTS)
    ]
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()

"""How long things take to start: the import, the command line, a broker with a worker. Ours only."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.base import ROOT
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample

IMPORT = "import time; t = time.perf_counter(); import taskq; print(time.perf_counter() - t)"


def import_taskq(peer: Ours, marks: Marks, count: int) -> Sample:
    """`import taskq` in a new interpreter; milliseconds, median of `count`."""
    times = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(count)]
    return Sample(statistics.median(times) * 1000, count)


def show_help(peer: Ours, marks: Marks, count: int) -> Sample:
    """`taskq --help` as a process; milliseconds, median of `count`."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "taskq", "--help"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - began)
    return Sample(statistics.median(times) * 1000, count)


def cold_broker(peer: Ours, marks: Marks, count: int) -> Sample:
    """From the start of a worker that has to start the broker, too, to the first result."""
    noop(0)
    assert peer.broker is not None
    peer.broker.terminate()
    peer.broker.wait()
    queue.close()
    began = time.perf_counter()
    peer.start_workers()
    wait_for(lambda: marks.ran(1) == 1, "the task has run", 60)
    wait_for(lambda: peer.finished() >= 1, "the task is finished", 60)
    seconds = time.perf_counter() - began
    return Sample(seconds * 1000, 1)

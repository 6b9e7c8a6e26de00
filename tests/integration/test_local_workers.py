"""`queue.workers()`: with a block and without, and its end by Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskq import TaskQueue
from taskq.backends.embedded import EmbeddedBroker
from tests.kit.broker import stop_broker
from tests.kit.files import ROOT
from tests.kit.waiting import wait_until

PROGRAM = """
import sys, time
from pathlib import Path
from taskq import TaskQueue

queue = TaskQueue("ctrlc")

@queue.task
def nap(path):
    Path(path).touch()
    time.sleep(60)

if __name__ == "__main__":
    with queue.workers(1):
        nap(sys.argv[1])
        time.sleep(60)
"""


def test_workers_start_and_stop_without_a_block() -> None:
    queue = TaskQueue("notebook", broker="memory:")

    @queue.task
    def double(n: int) -> int:
        return 2 * n

    workers = queue.workers(1).start()
    assert double(2).result(timeout=20) == 4
    with pytest.raises(RuntimeError, match="run already"):
        workers.start()
    workers.stop()
    workers.stop()
    handle = double(3)
    workers.start()
    assert handle.result(timeout=20) == 6
    workers.stop()


UNKEPT = """
import gc
from taskq import TaskQueue

queue = TaskQueue("unkept", broker="memory:")

@queue.task
def double(n):
    return 2 * n

queue.workers(1).start()
gc.collect()
print(double(2).result(timeout=20))
"""


def test_workers_that_nobody_keeps_run_until_the_program_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", UNKEPT], capture_output=True, timeout=60)
    assert (ended.stdout, ended.stderr, ended.returncode) == (b"4\n", b"", 0)


def test_worker_threads_know_a_task_that_is_defined_inside_the_block() -> None:
    queue = TaskQueue("late", broker="memory:")
    with queue.workers(2):

        @queue.task
        def double(n: int) -> int:
            return 2 * n

        assert double.map(range(20)).results(timeout=20) == [2 * n for n in range(20)]


def test_ctrl_c_says_what_it_waits_for_and_the_second_ends_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    started = tmp_path / "started"
    errors = tmp_path / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(program), str(started)],
            stderr=stderr,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TASKQ_DIR": str(tmp_path / "d")},
        )
    try:
        wait_until(started.exists)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "press Ctrl-C again" in errors.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
    finally:
        process.kill()
        process.wait()


LATE = """
import warnings
from taskq import TaskQueue

queue = TaskQueue("late")

@queue.task
def early():
    return 1

with queue.workers(1):
    @queue.task
    def late():
        return 2

    assert early().result(20) == 1
    warnings.simplefilter("error")
    try:
        late().result(20)
    except Warning as warning:
        print(warning)
"""


def test_a_task_defined_inside_the_block_is_said_to_be_unknown_to_its_workers(
    short_dir: Path,
) -> None:
    (short_dir / "late.py").write_text(LATE)
    ended = subprocess.run(
        [sys.executable, "late.py"],
        cwd=short_dir,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TASKQ_BROKER": f"embedded:{short_dir / 'b'}",
            "TASKQ_DURABILITY": "os",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    stop_broker(EmbeddedBroker(short_dir / "b"))
    assert "above that line" in ended.stdout, ended.stderr
    assert "task late.late" in ended.stdout

"""Threads of a real program that call a task for the first time at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.kit.files import ROOT, short_directory

PROGRAM = """
import sys, threading
from taskq import TaskQueue

queue = TaskQueue("races", retries=0)

@queue.task
def add(a, b):
    return a + b

def round_of(number):
    fresh = TaskQueue("races", broker=queue.broker.url)  # with a codec of its own, and nothing in it
    tasks = [fresh.task(name="app.add")(add.fn), fresh.task(name=f"own{number}")(lambda a, b: a + b)]
    start, sums = threading.Barrier(8), []

    def run(thread):
        start.wait(10)
        handles = [task(thread, each) for each in range(3) for task in tasks]
        expected = [thread + each for each in range(3) for task in tasks]
        sums.extend(handle.result(60) == total for handle, total in zip(handles, expected))

    threads = [threading.Thread(target=run, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [True] * 48, f"round {number}: {sums}"

if __name__ == "__main__":
    sys.setswitchinterval(1e-6)
    with queue.workers(1):
        for number in range(20):
            round_of(number)
        assert not len(queue.dlq)
    print("all is well")
"""


def test_22_23_no_call_and_no_result_of_a_first_use_is_refused_or_parked() -> None:
    with short_directory() as place:
        (place / "app.py").write_text(PROGRAM)
        environment = os.environ | {
            "TASKQ_DIR": str(place / "state"),
            "TASKQ_DURABILITY": "os",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [sys.executable, "app.py"],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        stop = ["-m", "taskq", "broker", "stop", "--broker", f"embedded:{place}/state/races"]
        subprocess.run([sys.executable, *stop], env=environment, check=True, capture_output=True)
    assert done.stdout == "all is well\n", done.stderr

"""Timeouts of tasks in worker threads that ring while the task talks to the `memory:` broker."""

from __future__ import annotations

import subprocess
import sys

from tests.kit.files import ROOT

PROGRAM = """
import faulthandler
from taskq import TaskQueue

faulthandler.dump_traceback_later(100, exit=True)
queue = TaskQueue("t", broker="memory:")
calls = []

@queue.task
def leaf(n):
    return n

@queue.task(timeout=0.02, retries=0)
def call():
    while True:
        calls.append(leaf(1))

@queue.task(timeout=0.02, retries=0)
def wait():
    leaf.options(delay=3600)(1).result()

@queue.task
def ping():
    return "pong"

def is_late(handle):
    return "longer than its timeout" in str(handle.exception(60))

with queue.workers(2):
    for number in range(30):
        assert all([is_late(handle) for handle in [call(), wait(), call(), wait()]]), number
        assert [each.result(60) for each in calls] == [1] * len(calls)
        calls.clear()
    assert ping().result(60) == "pong"
print("all is well")
"""


def test_a_timeout_that_rings_inside_the_memory_broker_leaves_it_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.stdout == "all is well\n", done.stdout + done.stderr

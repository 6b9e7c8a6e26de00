"""The application that the crash tests kill under."""

from __future__ import annotations

import os
import time

from taskq import TaskQueue

LOG = "TASKQ_CRASH_LOG"  # the variable with the file of the executions

queue = TaskQueue("crash")


@queue.task(name="step", max_deliveries=100, visibility_timeout=4)
def step(n: int) -> int:
    """Notes its execution in a file before it returns."""
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, f"{n}\n".encode())  # one short append is one piece, whoever else writes
    os.close(log)
    if n % 100 == 0:
        time.sleep(0.02)  # long enough to be killed in the middle now and then
    return n * 2

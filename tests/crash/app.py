"""The application that the crash tests kill under."""

from __future__ import annotations

import os
import time

from taskq import Task, TaskQueue

LOG = "TASKQ_CRASH_LOG"


def build(broker: str | None = None) -> tuple[TaskQueue, Task[[int], int]]:
    """A queue whose task notes every execution in a file before it returns."""
    app = TaskQueue("crash", broker=broker)

    @app.task(name="step", max_deliveries=100, visibility_timeout=4)
    def step(n: int) -> int:
        log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(log, f"{n}\n".encode())  # one short append is one piece, whoever else writes
        os.close(log)
        if n % 100 == 0:
            time.sleep(0.02)  # long enough to be killed in the middle now and then
        return n * 2

    return app, step


queue, step = build()

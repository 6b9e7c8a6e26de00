"""A queue directory, a worker in a process of its own, and the means to kill any part of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from taskq import TaskQueue
from taskq.protocol.operating import Ping
from tests.crash import app
from tests.support import wait_until

ROOT = Path(__file__).parents[2]


class Scene:
    """Everything lives in a temporary directory, which `close` removes."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tqc"))
        self.log = self.directory / "log"
        self.log.touch()
        self.url = f"embedded:{self.directory / 'broker'}"
        self.queue: TaskQueue
        self.queue, self.step = app.build(self.url)
        self._workers: list[subprocess.Popen[bytes]] = []

    def worker(self, children: int = 2) -> subprocess.Popen[bytes]:
        """Start `taskq worker`, and wait until all its children are registered."""
        command = [sys.executable, "-m", "taskq", "--broker", self.url, "worker"]
        command += ["tests.crash.app:queue", "-c", str(children)]
        environment = {**os.environ, "TASKQ_BROKER": self.url, app.LOG: str(self.log)}
        worker = subprocess.Popen(command, cwd=ROOT, env=environment)
        self._workers.append(worker)
        wait_until(lambda: self.consumers_of(worker.pid) == children, 30)
        return worker

    def consumers_of(self, launcher: int) -> int:
        return sum(
            worker.consumers for worker in self.queue.stats().workers if worker.info.pid == launcher
        )

    def succeeded(self) -> int:
        return sum(group.succeeded for group in self.queue.stats().queues)

    def broker_pid(self) -> int:
        return self.queue.broker.call(Ping()).pid

    def kill_broker(self) -> None:
        os.kill(self.broker_pid(), signal.SIGKILL)

    def executions(self) -> Counter[int]:
        """How often each argument was run, as the tasks themselves have noted."""
        return Counter(int(line) for line in self.log.read_text().split())

    def close(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        pid = self.broker_pid()
        self.queue.close()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), 20)
        shutil.rmtree(self.directory)


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it ended while we looked
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether that process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"

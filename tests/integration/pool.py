"""Real worker processes for tests: a broker directory, and workers on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from taskq.protocol.operating import Ping
from tests.integration import worker_app as app
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.integration.worker_app:queue"
PATIENCE = 20.0  # seconds; less than the lease of 30, so nothing here is saved by its end

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if sys.platform != "linux":
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


class Place:
    """A broker directory, and workers on it.

    Args:
        url: the broker that workers use; default: an embedded one.
        direct: the broker that the test uses; default: the same.
    """

    def __init__(self, url: str | None = None, direct: str | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tqw"))
        self.url = url or f"embedded:{self.directory / 'b'}"
        self.workers: list[Worker] = []
        app.queue.use_broker(direct or self.url)

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def lines(self, name: str) -> list[str]:
        path = Path(self.path(name))
        return path.read_text().split() if path.exists() else []

    def worker(self, *args: str, spec: str = APP, ready: bool = True, **env: str) -> Worker:
        worker = Worker(self, spec, args, env)
        self.workers.append(worker)
        if ready:
            assert worker.told() == "ready"
        return worker

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            if worker.ready_fd is not None:
                os.close(worker.ready_fd)
        pid = app.queue.broker.call(Ping()).pid
        app.queue.close()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid))
        shutil.rmtree(self.directory)


class Worker:
    """`python -m taskq.worker`, in a process group of its own."""

    def __init__(self, place: Place, spec: str, args: tuple[str, ...], env: dict[str, str]) -> None:
        self.log = Path(place.path(f"log{len(place.workers)}"))
        self.ready_fd: int | None
        self.ready_fd, writable = os.pipe()
        command = [sys.executable, "-m", "taskq.worker", spec, "--ready-fd", str(writable), *args]
        if "--broker" not in args:
            command += ["--broker", place.url]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "TASKQ_DURABILITY": "os", **env},
                stdout=log,
                stderr=log,
                pass_fds=[writable],
                start_new_session=True,
            )
        os.close(writable)

    def told(self) -> str:
        """The line that the worker writes when it is ready, or cannot be."""
        assert self.ready_fd is not None
        with os.fdopen(self.ready_fd) as pipe:
            self.ready_fd = None
            return pipe.read().strip()

    @property
    def output(self) -> str:
        return self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.exit_code()

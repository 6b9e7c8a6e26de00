"""A scene: a broker directory, an app that uses it, and workers on it."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from taskq import TaskQueue
from taskq.protocol.operating import Ping
from tests.kit.broker import stop_broker
from tests.kit.processes import send
from tests.kit.waiting import wait_until
from tests.kit.worker import WorkerProcess


class Scene:
    """A temporary directory with a broker that clients start, and workers; `close` ends it all.

    Args:
        app: the module whose `queue` the test and the workers use.
        url: the broker of the workers; default: an embedded one.
        direct: the broker of the test; default: that of the workers.
        environment: variables of the workers.
    """

    def __init__(
        self,
        app: ModuleType,
        url: str | None = None,
        direct: str | None = None,
        **environment: str,
    ) -> None:
        self.app: Any = app
        self.queue: TaskQueue = app.queue
        self.directory = Path(tempfile.mkdtemp(prefix="tqs")).resolve()
        self.url = url or f"embedded:{self.directory / 'b'}"
        self.workers: list[WorkerProcess] = []
        self.environment = environment
        self.queue.use_broker(direct or self.url)

    # --- files --------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """A file of this scene."""
        return str(self.directory / name)

    def lines(self, name: str) -> list[str]:
        """The words of such a file; none if it is not there."""
        path = self.directory / name
        return path.read_text().split() if path.exists() else []

    # --- workers ------------------------------------------------------------------------------

    def worker(
        self,
        *arguments: str,
        app: str = "",
        ready: bool = True,
        slow_start: bool = False,
        **environment: str,
    ) -> WorkerProcess:
        """Start `taskq worker`.

        Args:
            arguments: more of the command line.
            app: another one than that of the scene, as `module:attribute`.
            ready: wait until its children are ready.
            slow_start: it waits for the start of a broker as good as for ever.
            environment: variables besides those of the scene.
        """
        if "--broker" not in arguments:
            arguments = (*arguments, "--broker", self.url)
        worker = WorkerProcess(
            app or f"{self.app.__name__}:queue",
            *arguments,
            log=self.directory / f"log{len(self.workers)}",
            environment=self.environment | environment,
            slow_start=slow_start,
        )
        self.workers.append(worker)
        if ready:
            line = worker.ready_line()
            assert line == "ready", f"{line}\n{worker.output}"
        return worker

    def consumers_of(self, worker: WorkerProcess) -> int:
        """How many children of a worker are registered."""
        workers = self.queue.stats().workers
        return sum(each.consumers for each in workers if each.info.pid == worker.pid)

    def wait_for_consumers(self, worker: WorkerProcess, count: int) -> None:
        """Wait until so many children of a worker are registered."""
        wait_until(lambda: self.consumers_of(worker) == count, 30)

    # --- the broker ---------------------------------------------------------------------------

    def succeeded(self) -> int:
        """How many messages have succeeded."""
        return sum(group.succeeded for group in self.queue.stats().queues)

    def broker_pid(self) -> int:
        """The broker's process."""
        return self.queue.broker.call(Ping()).pid

    def kill_broker(self) -> None:
        """SIGKILL for the broker; the next call starts another one."""
        send(self.broker_pid(), signal.SIGKILL)

    def stop_broker(self) -> None:
        """End the broker in good order; the next call starts another one."""
        stop_broker(self.queue.broker)

    def close(self) -> None:
        """End the workers and the broker, and remove the directory."""
        for worker in self.workers:
            worker.close()
        self.stop_broker()
        self.queue.close()
        shutil.rmtree(self.directory)

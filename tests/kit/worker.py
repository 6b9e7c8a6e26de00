"""A worker as processes of its own: a launcher and its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from taskq.cli.commands import worker
from taskq.cli.support.shared import Shared
from taskq.worker.settings import WorkerSettings
from tests.kit import processes
from tests.kit.files import ROOT

PATIENCE = 20.0  # seconds; less than the lease of 30, so nothing is saved by its end

_WITH_SLOW_START = """
import sys
from taskq.backends import embedded
from taskq.worker.__main__ import main
embedded.HANDSHAKE = 600.0
sys.exit(main())
"""


def settings_of(app: str, *arguments: str) -> WorkerSettings:
    """What `taskq worker` makes of that command line; the broker's URL as it stands there."""
    shared = Shared()
    context = worker.command.make_context("worker", [app, *arguments], obj=shared)
    url, shared.broker = shared.broker, None
    return msgspec.structs.replace(worker.settings_of(shared, **context.params), broker=url)


def as_json(settings: WorkerSettings, **changes: Any) -> str:
    """The argument of `python -m taskq.worker`."""
    return msgspec.json.encode(msgspec.structs.replace(settings, **changes)).decode()


class WorkerProcess:
    """`python -m taskq.worker`, in a process group of its own.

    Args:
        app: the app to serve, as `module:attribute`.
        arguments: more of the command line.
        log: the file of its output.
        environment: variables besides those of this process.
        slow_start: it waits for the start of a broker as good as for ever.
    """

    def __init__(
        self,
        app: str,
        *arguments: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        slow_start: bool = False,
    ) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes]
        self._ready: int | None
        program = ["-c", _WITH_SLOW_START] if slow_start else ["-m", "taskq.worker"]
        settings = settings_of(app, *arguments)
        with log.open("wb") as output:
            self.process, self._ready = processes.start(
                lambda fd: [sys.executable, *program, as_json(settings, ready_fd=fd)],
                output,
                {"TASKQ_DURABILITY": "os", **(environment or {})},
                stdout=output,
                cwd=ROOT,
                start_new_session=True,
            )

    def ready_line(self) -> str:
        """The line that it writes when it is ready, or cannot be."""
        assert self._ready is not None
        reader, self._ready = self._ready, None
        return processes.ready_line(reader)

    @property
    def pid(self) -> int:
        """The launcher."""
        return self.process.pid

    @property
    def children(self) -> list[int]:
        """The processes that run tasks. Linux only."""
        return processes.children_of(self.pid)

    @property
    def is_running(self) -> bool:
        """Whether the launcher has not ended."""
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """What it has written."""
        return self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the launcher."""
        self.process.send_signal(number)

    def exit_code(self, timeout: float = PATIENCE) -> int:
        """Wait for its end."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.exit_code()

    def kill(self) -> None:
        """SIGKILL for the launcher; its children end by themselves."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Kill it if it runs."""
        if self.is_running:
            self.kill()
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None

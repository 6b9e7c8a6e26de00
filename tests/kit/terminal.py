"""A user's terminal for tests: real `taskq` processes with a state directory of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.kit.files import ROOT, short_directory
from tests.kit.processes import is_alive, send
from tests.kit.waiting import wait_until

LIMIT = 60.0  # seconds for one command


class Terminal:
    """Runs commands from the root of the repository, as if the package were installed.

    Args:
        directory: for files of the test; `state` in it is `TASKQ_DIR` of every command.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = state = directory / "state"
        state.mkdir()
        self.cwd = ROOT
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TASKQ_")
        } | {"TASKQ_DIR": str(state), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self._running: list[subprocess.Popen[str]] = []

    def run(
        self, *command: str, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`python COMMAND…`; it must end with that exit code."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.cwd,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def taskq(
        self, *args: str, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`taskq ARGS…`."""
        return self.run("-m", "taskq", *args, code=code, **environment)

    def data(self, *args: str, code: int = 0) -> Any:
        """What `taskq --json ARGS…` prints."""
        return json.loads(self.taskq("--json", *args, code=code).stdout)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """`python COMMAND…` in another terminal; it is ended with the test."""
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.cwd,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> int:
        """Ask it to end, and return its exit code."""
        process.terminate()
        process.communicate(timeout=LIMIT)
        return process.returncode

    def broker_pid(self, name: str) -> int:
        """The process that serves a queue's directory; 0 if none does."""
        try:
            pid = int((self.state / name / "lock").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return 0
        return pid if pid and is_alive(pid) else 0

    def close(self) -> None:
        """End everything that was started here."""
        for process in self._running:
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        for directory in self.state.iterdir():
            if pid := self.broker_pid(directory.name):
                with suppress(ProcessLookupError):
                    send(pid, signal.SIGTERM)
                wait_until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


@contextmanager
def open_terminal() -> Iterator[Terminal]:
    """A terminal for the length of a block."""
    with short_directory() as directory:
        terminal = Terminal(directory)
        try:
            yield terminal
        finally:
            terminal.close()

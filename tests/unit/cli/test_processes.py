"""Which processes still run."""

from __future__ import annotations

import os
import subprocess
import sys

from taskq.cli.processes import is_alive, state_of


def test_ourselves() -> None:
    assert is_alive(os.getpid())


def test_a_process_that_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_alive(process.pid)


def test_the_command_may_hold_anything() -> None:
    assert state_of("7 (a) Z (b) S 1 2") == "S"

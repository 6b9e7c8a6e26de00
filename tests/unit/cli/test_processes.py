"""Which processes still run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from taskq.cli.support.processes import defer_signals, is_alive, state_of


def test_ourselves() -> None:
    assert is_alive(os.getpid())


def test_a_process_that_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_alive(process.pid)


def test_the_command_may_hold_anything() -> None:
    assert state_of("7 (a) Z (b) S 1 2") == "S"


def test_a_signal_waits_until_the_block_is_over() -> None:
    steps: list[str] = []

    def block() -> None:
        with defer_signals(signal.SIGINT):
            signal.raise_signal(signal.SIGINT)
            steps.append("inside")
        steps.append("after")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert steps == ["inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

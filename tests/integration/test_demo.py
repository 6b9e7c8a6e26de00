"""`taskq demo`, from a strange directory, to its end."""

from __future__ import annotations

import json
import signal

import pytest

from taskq.cli.support.processes import is_alive
from tests.kit.files import short_directory
from tests.kit.terminal import Terminal
from tests.kit.waiting import wait_until


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    """One whose commands run in its own directory."""
    terminal.cwd = terminal.directory
    return terminal


def test_the_demo_claims_and_proves_that_nothing_was_lost(terminal: Terminal) -> None:
    with short_directory() as temporary:
        done = terminal.taskq("demo", "--json", TMPDIR=str(temporary))
        assert list(temporary.iterdir()) == []  # neither the journal nor a broker is left
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert report["ok"] is True
    assert [claim for claim in report["claims"] if not claim["holds"]] == []
    numbers = report["numbers"]
    assert numbers["enqueued"] > 300
    assert numbers["succeeded"] == numbers["enqueued"]
    assert numbers["lost"] == 0
    assert numbers["redelivered"] >= 1
    assert numbers["retried"] == 3
    assert numbers["dead, then replayed"] == 1
    assert numbers["duplicates"] <= numbers["redelivered"]


def test_the_demo_prints_its_story_and_can_keep_it(terminal: Terminal) -> None:
    with short_directory() as temporary:
        done = terminal.taskq("demo", "--keep", TMPDIR=str(temporary))
        (kept,) = temporary.iterdir()
        assert (kept / "broker" / "journal.db").exists()
        assert (kept / "mbox").read_text().count("Subject: ") == 3
    for part in (
        "broker:",
        "workers:",
        "746875",
        "SIGKILL",
        "retry:",
        "replayed",
        "index:",
        "lost",
    ):
        assert part in done.stdout
    assert "FALSE" not in done.stdout


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(
    terminal: Terminal, sign: signal.Signals
) -> None:
    with short_directory() as temporary:
        demo = terminal.start("-m", "taskq", "demo", TMPDIR=str(temporary))
        assert demo.stdout is not None
        broker, workers = demo.stdout.readline(), demo.stdout.readline()
        pids = [int(broker.split("pid ")[1].split(",")[0]), int(workers.split("pid ")[1])]
        assert all(is_alive(pid) for pid in pids)
        demo.send_signal(sign)
        _, told = demo.communicate(timeout=30)
        assert demo.returncode == 1
        assert "Traceback" not in told
        assert list(temporary.iterdir()) == []
    wait_until(lambda: not any(is_alive(pid) for pid in pids))

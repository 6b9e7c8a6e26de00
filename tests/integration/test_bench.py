"""`taskq bench`, as a process, with small counts."""

from __future__ import annotations

import json
import signal

import pytest

from taskq.cli.benchmark.figures import KINDS
from taskq.cli.support.processes import is_alive
from tests.kit.terminal import Terminal
from tests.kit.waiting import wait_until


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    """One whose commands run in its own directory."""
    terminal.cwd = terminal.directory  # it needs nothing of the place where it is called
    return terminal


def test_it_measures_every_figure_and_leaves_nothing_behind(terminal: Terminal) -> None:
    place = terminal.directory / "disk"
    place.mkdir()
    done = terminal.taskq("bench", "--quick", "--json", "--dir", str(place))
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert (report["workers"], report["quick"]) == (2, True)
    (figures,) = report["figures"].values()
    assert set(figures) == set(report["units"]) == {kind.name for kind in KINDS}
    assert all(value is not None and value > 0 for value in figures.values())
    assert figures["round trip"] <= figures["round trip p99"]
    assert list(place.iterdir()) == []
    assert list(terminal.state.iterdir()) == []  # the user's own brokers are left alone


def test_it_compares_the_classes_and_says_what_the_figures_mean(terminal: Terminal) -> None:
    done = terminal.taskq("bench", "--quick", "--durability", "all", "-c", "1")
    assert done.stderr == ""  # no progress where there is no terminal
    header = done.stdout.splitlines()[0]
    assert header.split() == ["fsync", "os", "none"]
    assert "with 1 worker process:" in done.stdout
    for kind in KINDS:
        assert f"  {kind.name}: {kind.meaning}" in done.stdout


def test_an_interrupted_run_leaves_nothing_behind(terminal: Terminal) -> None:
    place = terminal.directory / "disk"
    place.mkdir()
    bench = terminal.start("-m", "taskq", "bench", "--dir", str(place))

    def broker() -> int:
        for found in place.glob("*/*/broker/lock"):
            words = found.read_text().split()  # a second one says that it is starting
            return int(words[0]) if words else 0
        return 0

    pid = wait_until(broker)
    bench.send_signal(signal.SIGTERM)
    _, told = bench.communicate(timeout=30)
    assert bench.returncode == 1
    assert "Traceback" not in told
    assert not is_alive(pid)  # at once: it would leave by itself some time later
    assert list(place.iterdir()) == []


def test_a_directory_that_is_not_there_is_refused(terminal: Terminal) -> None:
    told = terminal.taskq("bench", "--dir", str(terminal.directory / "none"), code=2)
    assert "does not exist" in told.stderr

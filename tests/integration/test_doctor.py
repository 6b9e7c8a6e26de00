"""What `taskq doctor` and `taskq health` say of real trouble: each condition is made, then asked."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskq.backends.embedded import EmbeddedBroker
from taskq.cli.support.processes import is_alive
from taskq.protocol.operating import Ping
from taskq.version import __version__
from tests.kit.files import mounted_disk
from tests.kit.messages import missing
from tests.kit.port import PortBench
from tests.kit.processes import free_port, send
from tests.kit.terminal import Terminal, open_terminal
from tests.kit.waiting import wait_until

APP = "tests.integration.cli_app:queue"
ADD = "tests.integration.cli_app:add"
OTHER = "from taskq import TaskQueue\nqueue = TaskQueue('shop')\n"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="uses a Linux file system")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system, or becomes others")


def diagnosis(terminal: Terminal, *options: str) -> dict[str, str]:
    """What is wrong, by check, with what to do; each finding is one sentence."""
    (report,) = terminal.data("doctor", *options, code=5)["brokers"]
    found = {}
    for each in report["findings"]:
        if each["wrong"]:
            assert each["fix"]
            assert "\n" not in each["text"] + each["fix"]
            found[each["check"]] = f"{each['text']}; {each['fix']}"
    return found


def stop_broker(terminal: Terminal, number: int = signal.SIGTERM) -> int:
    pid = terminal.broker_pid("shop")
    send(pid, number)
    wait_until(lambda: not is_alive(pid))
    return pid


# --- the broker ---------------------------------------------------------------------------------


def test_09_a_dead_socket_and_a_stale_lock_are_found_and_do_no_harm(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    pid = stop_broker(terminal, signal.SIGKILL)
    found = diagnosis(terminal)
    assert found.keys() == {"broker", "socket", "lock"}
    assert "left over" in found["socket"]
    assert not missing(found["lock"], f"process {pid}")
    assert "taskq broker --dir" in found["broker"]
    assert terminal.data("queue", "ls")[0]["ready"] == 1  # starts one, as the finding says
    assert diagnosis(terminal).keys() == {"queue shop"}


def until_idle(terminal: Terminal, work: Callable[[PortBench], None]) -> None:
    """Do some work and wait until the broker has left by itself."""
    bench = PortBench(EmbeddedBroker(terminal.state / "shop", idle_exit=0.1), "shop")
    pid = bench.broker.call(Ping()).pid
    work(bench)
    bench.close()
    bench.broker.close()
    wait_until(lambda: not is_alive(pid))


def test_a_broker_that_has_left_since_it_was_idle_is_in_order(terminal: Terminal) -> None:
    until_idle(terminal, lambda bench: None)
    assert terminal.data("doctor")["healthy"]


def test_what_is_on_disk_is_found_when_the_broker_has_left(terminal: Terminal) -> None:
    def work(bench: PortBench) -> None:
        bench.enqueue("dies")
        consumer = bench.consumer()
        (message,) = bench.claim(consumer, wait=5)
        bench.fail(consumer, message, final=True)
        bench.enqueue("waits")

    until_idle(terminal, work)
    (report,) = terminal.data("doctor", code=5)["brokers"]
    unconsumed, dead = [each["text"] for each in report["findings"] if each["wrong"]]
    assert not missing(unconsumed, "nobody", "1 message")
    assert not missing(dead, "1 dead letter")


def test_a_broker_that_hangs_is_distinguished_from_one_that_is_gone(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    pid = terminal.broker_pid("shop")
    send(pid, signal.SIGSTOP)
    try:
        found = diagnosis(terminal)
        unhealthy = terminal.taskq("health", code=5)
    finally:
        send(pid, signal.SIGCONT)
    assert found.keys() == {"broker"}
    assert "not answer" in found["broker"]
    assert not missing(found["broker"], f"process {pid}", f"kill -CONT {pid}")
    assert "does not answer" in unhealthy.stderr


def test_a_damaged_journal_is_quoted_from_the_broker_s_log(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    stop_broker(terminal)
    (terminal.state / "shop" / "journal.db").write_bytes(b"this is no database" * 1000)
    terminal.taskq("call", ADD, "1", code=3)
    found = diagnosis(terminal)
    assert found.keys() == {"broker", "log"}
    assert "journal.db" in found["log"]


# --- the directory ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "fix"), [("", 0o755, "chmod 700"), ("key", 0o644, "chmod 600")]
)
def test_77_wrong_permissions_are_found(terminal: Terminal, name: str, mode: int, fix: str) -> None:
    terminal.taskq("call", ADD, "1")
    spoiled = terminal.state / "shop" / name
    spoiled.chmod(mode)
    found = diagnosis(terminal)
    spoiled.chmod(0o600 if name else 0o700)
    assert found.keys() == {"permissions"}
    assert not missing(found["permissions"], spoiled, f"mode {mode:o}")
    assert f"run: {fix} {spoiled}".rstrip("/") in found["permissions"]
    assert diagnosis(terminal).keys() == {"queue shop"}


@on_linux
@as_root
def test_48_a_full_disk_is_found_before_and_after_it_is_one() -> None:
    with mounted_disk() as disk, open_terminal() as terminal:
        url = f"embedded:{disk / 'b'}"
        terminal.taskq("--broker", url, "call", ADD, "1")
        assert diagnosis(terminal, "--broker", url).keys() == {"queue shop"}
        info = os.statvfs(disk)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(info.f_bavail * info.f_frsize - 2**20))
        found = diagnosis(terminal, "--broker", url)
        assert not missing(found["disk"], disk / "b", "3.0 MiB")
        assert "make room there" in found["disk"]
        ballast.unlink()
        assert "disk" not in diagnosis(terminal, "--broker", url)
        pid = int((disk / "b" / "lock").read_text())
        send(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid))


def test_a_broker_that_listens_elsewhere_is_found_by_its_directory(terminal: Terminal) -> None:
    place = terminal.directory / "b"
    url = f"tcp://127.0.0.1:{free_port()}"
    broker = terminal.start("-m", "taskq", "broker", "--dir", str(place), "--listen", url)
    wait_until(lambda: "ready" in (broker.stdout.readline() if broker.stdout else ""))
    named = ("--broker", f"embedded:{place}")
    found = diagnosis(terminal, *named)
    assert found.keys() == {"broker"}
    told = terminal.taskq("status", *named, code=3).stdout
    for text in (found["broker"], told):
        assert not missing(text, f"(pid {broker.pid})", url, f"TASKQ_AUTHKEY_FILE={place}/key")
        assert "start" not in text
    key = str(place / "key")
    assert terminal.taskq("--broker", url, "status", TASKQ_AUTHKEY_FILE=key).returncode == 0
    assert terminal.end(broker) == 0


# --- queues and workers -------------------------------------------------------------------------


def test_a_queue_without_consumers_is_found_and_one_with_is_not(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    found = diagnosis(terminal)
    assert found.keys() == {"queue shop"}
    assert not missing(found["queue shop"], "nobody", "1 message")
    assert "taskq worker APP -Q shop" in found["queue shop"]
    worker = terminal.start("-m", "taskq", "worker", APP)
    wait_until(lambda: terminal.data("status")[0]["queues"][0]["succeeded"] == 1)
    assert terminal.data("doctor")["healthy"] is True
    assert terminal.end(worker) == 0


def test_tasks_that_no_worker_knows_are_found(terminal: Terminal) -> None:
    (terminal.directory / "other_app.py").write_text(OTHER)
    terminal.taskq("call", ADD, "1")
    path = f"{terminal.directory}:{terminal.environment['PYTHONPATH']}"
    worker = terminal.start("-m", "taskq", "worker", "other_app:queue", PYTHONPATH=path)
    wait_until(lambda: terminal.data("status")[0]["broker"]["parked"] == 1)
    found = diagnosis(terminal)
    assert found.keys() == {"queue shop"}
    assert not missing(found["queue shop"], "1 message parked", f"task {ADD.replace(':', '.')}")
    assert "taskq worker APP --include tests.integration.cli_app" in found["queue shop"]
    assert terminal.end(worker) == 0


def test_a_worker_and_a_broker_of_another_version_are_found(terminal: Terminal) -> None:
    old = terminal.directory / "old"
    shutil.copytree(Path(terminal.cwd) / "taskq", old / "taskq")
    (old / "taskq" / "version.py").write_text('__version__ = "0.0.9"\n')
    path = f"{old}:{terminal.environment['PYTHONPATH']}"
    terminal.taskq("call", ADD, "1")
    terminal.cwd = terminal.directory  # so that -m takes the taskq of PYTHONPATH
    worker = terminal.start("-m", "taskq", "worker", APP, PYTHONPATH=path)
    wait_until(lambda: terminal.data("status")[0]["workers"])
    wait_until(lambda: terminal.data("status")[0]["queues"][0]["succeeded"] == 1)
    found = diagnosis(terminal)
    assert found.keys() == {"worker"}
    assert f"(pid {worker.pid} on " in found["worker"]
    assert not missing(found["worker"], "taskq 0.0.9", "broker 0.1.0", "restart")
    assert terminal.end(worker) == 0
    stop_broker(terminal)
    terminal.taskq("call", ADD, "1", PYTHONPATH=path)  # the old one starts it
    assert not missing(diagnosis(terminal)["version"], "broker", "taskq 0.0.9", __version__)


# --- health -------------------------------------------------------------------------------------


def test_health_never_imports_the_app(terminal: Terminal) -> None:
    terminal.taskq("call", ADD, "1")
    marker = terminal.directory / "imported"
    app = f"print('noise')\nopen({str(marker)!r}, 'w').close()\nraise SystemExit(9)\n"
    (terminal.directory / "boom_app.py").write_text(app)
    terminal.cwd = terminal.directory
    environment = {"TASKQ_APP": "boom_app:queue"}
    terminal.taskq("call", "boom_app:f", code=2)  # the app is what it says
    assert marker.exists()
    marker.unlink()
    for options, code in (((), 0), (("--queue", "shop"), 5)):
        done = terminal.taskq("--json", "health", *options, code=code, **environment)
        assert done.stdout.startswith("{")
        assert done.stderr == ""
    stop_broker(terminal)
    terminal.taskq("health", code=5, **environment)
    assert not marker.exists()
    assert terminal.broker_pid("shop") == 0, "health has started a broker"

"""Keys: files that are not ours alone are refused, and a key appears nowhere but in its file."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskq import TaskQueue
from taskq.broker.manager import BrokerManager
from taskq.broker.settings import BrokerSettings
from taskq.errors import AuthenticationFailed
from taskq.transport.directory import BrokerDirectory
from taskq.transport.keys import payload_key
from taskq.transport.lock import key_of
from tests.kit.files import ROOT, short_directory
from tests.kit.messages import missing, naming
from tests.kit.terminal import Terminal, open_terminal

NOBODY = 65534
APP = "tests.integration.cli_app:queue"
ADD, FAIL = "tests.integration.cli_app:add", "tests.integration.cli_app:fail"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


# --- files that are not ours alone --------------------------------------------------------------


def key_for_the_group(directory: Path) -> None:
    (directory / "key").chmod(0o640)


def key_for_all_to_write(directory: Path) -> None:
    (directory / "key").chmod(0o602)


def key_of_another(directory: Path) -> None:
    os.chown(directory / "key", NOBODY, NOBODY)


def key_is_a_link(directory: Path) -> None:
    (directory / "key").rename(directory / "real")
    (directory / "key").symlink_to("real")


def directory_for_the_group(directory: Path) -> None:
    directory.chmod(0o750)


def directory_of_another(directory: Path) -> None:
    os.chown(directory, NOBODY, NOBODY)


def directory_is_a_link(directory: Path) -> None:
    directory.rename(directory.with_name("real"))
    directory.symlink_to("real")


@pytest.mark.parametrize(
    ("spoil", "file", "tokens"),
    [
        (key_for_the_group, "key", ["mode 640", "chmod 600"]),
        (key_for_all_to_write, "key", ["mode 602", "chmod 600"]),
        pytest.param(key_of_another, "key", ["user 65534", "user 0"], marks=as_root),
        (key_is_a_link, "key", ["symbolic link"]),
        (directory_for_the_group, "", ["mode 750", "chmod 700"]),
        pytest.param(directory_of_another, "", ["user 65534", "user 0"], marks=as_root),
        (directory_is_a_link, "", ["symbolic link"]),
    ],
)
def test_77_a_key_or_directory_that_is_not_ours_alone_is_refused(
    spoil: Callable[[Path], None], file: str, tokens: list[str]
) -> None:
    with short_directory() as base:
        directory = base / "b"
        key_of(BrokerDirectory(directory))
        spoil(directory)
        done = subprocess.run(
            [sys.executable, "-m", "taskq", "broker", "--dir", str(directory)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 2
        assert not missing(done.stderr, directory / file, *tokens)
        assert "Traceback" not in done.stderr
        with pytest.raises(AuthenticationFailed, match=naming(directory / file, *tokens)):
            _ = TaskQueue("q", broker=f"embedded:{directory}").codec  # as each call does first
        assert not (directory / "sock").exists()


def test_77_a_payload_key_that_is_open_to_others_is_refused_by_the_producer() -> None:
    with open_terminal() as terminal:
        file = terminal.directory / "payload.key"
        file.write_text("p" * 64)
        file.chmod(0o644)
        told = terminal.taskq("call", ADD, "1", code=3, TASKQ_PAYLOAD_KEY_FILE=str(file))
        assert not missing(told.stderr, "mode 644", f"chmod 600 {file}")


# --- where a key must not be --------------------------------------------------------------------


def processes_of(terminal: Terminal) -> dict[int, bytes]:
    """Command line and environment of everything that was started from a terminal."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                if str(terminal.state).encode() in environment:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes() + environment
            except OSError:
                continue  # it has ended, or is not ours
    return found


def secrets_of(directory: Path) -> list[bytes]:
    """Both keys in every form in which they could be shown."""
    authkey = (directory / "key").read_bytes().strip()
    derived = payload_key(authkey)
    raw = bytes.fromhex(authkey.decode())
    shown = [authkey, raw, derived, derived.hex().encode()]
    return shown + [repr(each)[2:-1].encode() for each in shown]


@on_linux
def test_79_a_key_is_in_no_command_line_environment_log_or_traceback(terminal: Terminal) -> None:
    worker = terminal.start("-m", "taskq", "-v", "worker", APP, "-c", "2", "-l", "debug")
    told = [terminal.taskq("-v", "call", ADD, "1", "--wait")]
    told.append(terminal.taskq("-v", "call", FAIL, '"on purpose"', "--wait", code=1))
    directory = terminal.state / "shop"
    wrong = terminal.directory / "wrong.key"
    wrong.write_text("w" * 64)
    wrong.chmod(0o600)
    socket = f"unix:{directory / 'sock'}"
    told.append(
        terminal.taskq("-v", "--broker", socket, "status", code=3, TASKQ_AUTHKEY_FILE=str(wrong))
    )
    told += [terminal.taskq("--json", "status"), terminal.taskq("--json", "dlq", "ls")]
    told.append(terminal.taskq("--json", "doctor", code=5))  # there is a dead letter
    running = processes_of(terminal)
    assert {worker.pid, terminal.broker_pid("shop")} < running.keys()
    assert len(running) >= 4, "a launcher, two children and a broker"
    worker.send_signal(signal.SIGUSR1)  # stacks to the log
    worker.send_signal(signal.SIGTERM)
    output, errors = worker.communicate(timeout=30)
    shown = b"".join(running.values())
    shown += "".join(each.stdout + each.stderr for each in told).encode()
    shown += (output + errors).encode() + (directory / "broker.log").read_bytes()
    assert b"Traceback" in shown
    assert b"on purpose" in shown
    assert b"refused our key" in shown
    for secret in secrets_of(directory):
        assert secret not in shown


def test_79_no_object_shows_or_pickles_a_key() -> None:
    with short_directory() as base:
        queue = TaskQueue("q", broker=f"embedded:{base / 'b'}")
        manager = BrokerManager(BrokerSettings(base / "b"))
        server = manager.get_server()
        shown = repr([queue, queue.broker, queue.codec, manager, server, server.loop])
        data = shown.encode() + pickle.dumps(queue)
        server.listener.close()
        server.host.close()
        server.loop.close()
        for secret in secrets_of(base / "b"):
            assert secret not in data

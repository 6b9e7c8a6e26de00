"""What `taskq doctor` finds."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from taskq.cli.support import checks, checks_on_disk
from taskq.cli.support.finding import Finding
from taskq.cli.support.target import of_directory
from taskq.protocol.operating import Durability, Pong, Stats
from taskq.protocol.values import BrokerStats, QueueStats, WorkerInfo, WorkerStats
from taskq.version import __version__


def stats(**changes: Any) -> QueueStats:
    values: dict[str, Any] = dict.fromkeys(QueueStats.__struct_fields__, 0)
    values |= {"queue": "q", "group": "default", "paused": False, "oldest_ready_at": None}
    return QueueStats(**(values | {"unknown": {}} | changes))


def pong(version: str = __version__) -> Pong:
    return Pong(version=version, pid=1, directory="/d", durability=Durability("fsync"), uptime=1.0)


def wrong(findings: Any) -> list[str]:
    return [finding.text for finding in findings if finding.wrong]


def a_pid_that_is_gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_queue_in_order() -> None:
    (finding,) = checks.queues([stats(ready=3, consumers=2)])
    assert not finding.wrong
    assert finding.text == "3 messages waiting, 2 consumers"


@pytest.mark.parametrize(
    ("changes", "text", "fix"),
    [
        ({"ready": 1}, "nobody consumes it", "taskq worker APP -Q q"),
        ({"ready": 1, "queue": "mails:3"}, "nobody consumes it", "-Q mails:3:1"),
        ({"ready": 1, "queue": "my mails"}, "nobody consumes it", "-Q 'my mails'"),
        ({"ready": 1, "group": "audit"}, "nobody consumes it", "-g audit"),
        ({"ready": 1, "paused": True}, "paused", "taskq queue resume q"),
        (
            {"parked": 2, "consumers": 1, "unknown": {"a.b": 2}},
            "task a.b",
            "taskq worker APP --include a, ",
        ),
        (
            {"parked": 2, "consumers": 1, "unknown": {"a.b": 2}, "group": "my audit"},
            "task a.b",
            "taskq worker APP --include a -g 'my audit', ",
        ),
        (
            {"parked": 2, "consumers": 1, "unknown": {"a.b": 2}},
            "task a.b",
            "@queue.task(name='a.b'), or give the calls up with: taskq queue purge q -g default",
        ),
        ({"dead": 1, "consumers": 1}, "1 dead letter", "taskq dlq ls --queue q"),
    ],
)
def test_what_is_wrong_with_a_queue(changes: dict[str, Any], text: str, fix: str) -> None:
    (finding,) = checks.queues([stats(**changes)])
    assert finding.wrong
    assert text in finding.text
    assert fix in finding.fix


def test_a_paused_empty_queue_is_in_order() -> None:
    assert wrong(checks.queues([stats(paused=True)])) == []


def test_versions_must_agree() -> None:
    broker = BrokerStats(0, 0, 0, 0, 0.0)
    old = WorkerStats("w1", WorkerInfo(version="0.0.1"), 0.0, 1, 0, 0)
    new = WorkerStats("w2", WorkerInfo(version=__version__), 0.0, 1, 0, 0)
    (text,) = wrong(checks.workers(Stats(broker=broker, queues=[], workers=[old, new]), pong()))
    assert "w1" in text
    assert "0.0.1" in text
    assert wrong(checks.workers(Stats(broker=broker, queues=[], workers=[new]), pong())) == []
    assert len(wrong(checks.alive(pong("0.0.1")))) == 1
    assert wrong(checks.alive(pong())) == []


def test_results_that_expired_early() -> None:
    assert list(checks.results(BrokerStats(0, 5, 0, 0, 0.0))) == []
    (found,) = checks.results(BrokerStats(0, 5, 0, 0, 0.0, evicted_results=3))
    assert found.text.startswith("3 results expired early")
    assert "--max-results" in found.fix


@pytest.mark.parametrize(
    ("ahead", "text"), [(3700.0, "1 h 1 min ahead of"), (-90.0, "behind .* not affected")]
)
def test_clocks_that_differ(ahead: float, text: str) -> None:
    assert list(checks.clock(1.0)) == []
    (told,) = wrong(checks.clock(ahead))
    assert re.search(text, told)


def test_a_directory_that_is_open_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (finding,) = checks_on_disk.permissions(tmp_path)
    assert finding.wrong
    assert finding.fix.startswith("run: chmod 700")


def test_a_key_that_is_open_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o644)
    (finding,) = checks_on_disk.permissions(tmp_path)
    assert "open to others" in finding.text


def test_a_directory_in_order(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert wrong(checks_on_disk.permissions(tmp_path)) == []


@pytest.mark.parametrize(("free", "is_wrong"), [(10 * 2**20, True), (10 * 2**30, False)])
def test_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, is_wrong: bool
) -> None:
    class Info:
        f_bavail, f_frsize, f_files, f_favail = free // 4096, 4096, 10, 10
        f_blocks = 100 * 2**30 // 4096

    monkeypatch.setattr("os.statvfs", lambda path: Info)
    assert checks_on_disk.disk(tmp_path).wrong is is_wrong


def test_no_inodes_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Info:
        f_blocks, f_bavail, f_frsize, f_files, f_favail = 2**20, 2**20, 2**20, 10, 0

    monkeypatch.setattr("os.statvfs", lambda path: Info)
    assert "inodes" in checks_on_disk.disk(tmp_path).text


def test_a_socket_that_nobody_listens_on(short_dir: Path) -> None:
    path = short_dir / "sock"
    assert not checks_on_disk.is_dead_socket(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert not checks_on_disk.is_dead_socket(path)
    assert checks_on_disk.is_dead_socket(path)


def test_a_lock_of_a_process_that_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert checks_on_disk.stale_lock(lock) is None
    for text in ("", "rubbish"):
        lock.write_text(text)
        assert checks_on_disk.stale_lock(lock) is None
    lock.write_text(f"{os.getpid()}\n")
    assert checks_on_disk.stale_lock(lock) is None
    gone = a_pid_that_is_gone()
    lock.write_text(f"{gone}\n")
    assert checks_on_disk.stale_lock(lock) == gone


def test_the_end_of_the_log_is_shown_where_it_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    assert checks_on_disk.last_complaint(log) == ""
    log.write_text("2026 INFO taskq.broker: stopped\n")
    assert checks_on_disk.last_complaint(log) == ""
    log.write_text("2026 INFO x\n2026 CRITICAL taskq.broker: disk full\n")
    assert checks_on_disk.last_complaint(log).endswith("disk full")


def test_a_killed_broker_leaves_three_findings(short_dir: Path) -> None:
    short_dir.chmod(0o700)
    (short_dir / "lock").write_text(f"{a_pid_that_is_gone()}\n")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_dir / "sock"))
    found = [each.check for each in checks.examine(of_directory(short_dir)) if each.wrong]
    assert found == ["broker", "socket", "lock"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    (finding,) = checks.examine(of_directory(tmp_path / "none"))
    assert finding.wrong
    assert not (tmp_path / "none").exists()


def test_a_finding_for_people_and_for_programs() -> None:
    assert Finding("a", "b").lines() == ["  ok    a: b"]
    assert Finding("a", "b", "c").lines() == ["  WRONG a: b", "        fix: c"]
    assert Finding("a", "b", "c").as_data()["wrong"] is True


@pytest.mark.parametrize(
    "changes", [{"ready": 1}, {"ready": 1, "paused": True}, {"dead": 1, "consumers": 1}]
)
def test_the_command_of_a_fix_names_the_broker_where_there_are_several(
    changes: dict[str, Any],
) -> None:
    found = stats(queue="my mails", group="au dit", **changes)
    (finding,) = checks.queues([found], " --broker shop")
    assert "'my mails' -g 'au dit' --broker shop" in finding.fix

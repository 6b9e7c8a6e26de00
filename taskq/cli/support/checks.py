"""The checks of `taskq doctor`. Each looks at one thing and says what it found."""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from taskq.cli.support.conversation import conversation, not_running
from taskq.cli.support.failure import USAGE, CliError
from taskq.cli.support.output import duration, plural, size
from taskq.cli.support.processes import is_alive
from taskq.cli.support.target import Target
from taskq.errors import TaskqError
from taskq.names import queue_argument
from taskq.protocol.operating import GetStats, Ping, Pong, Stats
from taskq.protocol.values import QueueStats
from taskq.version import __version__

CLOCKS_APART = 30.0  # seconds
IDLE = "nothing due: leaving"  # how a broker logs that it ends by itself


@dataclass(frozen=True)
class Finding:
    """What one check found. `fix`: what to do about it; empty where all is well."""

    check: str
    text: str
    fix: str = ""

    @property
    def wrong(self) -> bool:
        """Whether there is something to do."""
        return bool(self.fix)

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"  {'WRONG' if self.wrong else 'ok':<6}{self.check}: {self.text}"]
        return [*lines, f"        fix: {self.fix}"] if self.fix else lines

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        return {"check": self.check, "wrong": self.wrong, "text": self.text, "fix": self.fix}


def examine(target: Target, option: str = "") -> list[Finding]:
    """All checks on one broker. `option`: what a command needs to mean this one, if anything."""
    findings: list[Finding] = []
    if target.directory is not None:
        if not target.directory.is_dir():
            return [Finding("broker", f"there is no {target.directory}", "check the name, or start"
                            f" a broker: taskq broker --dir {target.directory}")]  # fmt: skip
        findings += permissions(target.directory)
        if any(finding.wrong for finding in findings):
            return findings
        findings.append(disk(target.directory))
    try:
        with conversation(target, autostart=False) as connection:
            pong, stats = connection.call(Ping()), connection.call(GetStats())
    except (CliError, TaskqError) as error:
        if isinstance(error, CliError) and error.exit_code == USAGE:
            raise
        return [*findings, *absent(target, str(error))]
    return [
        *findings,
        *alive(pong),
        *clock(stats.broker.now - time.time()),
        *queues(stats.queues, option),
        *workers(stats, pong),
    ]


# --- on disk ------------------------------------------------------------------------------------


def permissions(directory: Path) -> Iterator[Finding]:
    """The directory and the key belong to this user alone."""
    from taskq.transport.directory import BrokerDirectory
    from taskq.transport.keys import read_key

    try:
        checked = BrokerDirectory(directory)
        if os.path.lexists(checked.path / "key"):
            read_key(checked.path / "key")
    except (TaskqError, OSError) as error:
        sentence, _, fix = str(error).partition("; ")
        yield Finding("permissions", sentence, fix or "correct that, as its owner")
        return
    yield Finding("permissions", f"{directory} and its key are this user's alone")


def disk(directory: Path) -> Finding:
    """There is room for the journal."""
    from taskq.journal.room import reserve_of

    info = os.statvfs(directory)
    free = info.f_bavail * info.f_frsize
    text = f"{size(free)} free in {directory}"
    if free < (reserve := reserve_of(info)):
        text += f", which is less than the {size(reserve)} that new calls leave for what runs"
        return Finding("disk", text, "make room there: calls are refused with DiskFull until then")
    if info.f_files and not info.f_favail:
        return Finding("disk", f"no inodes left in {directory}", "remove files there")
    return Finding("disk", text)


def absent(target: Target, why: str) -> Iterator[Finding]:
    """Why no broker answers."""
    from taskq.transport.lock import starting

    start = f"start a worker, or: taskq broker --dir {target.directory}"
    if target.directory is None:
        sentence, _, fix = why.partition("; ")
        yield Finding("broker", sentence, fix or "correct that, or --broker, or TASKQ_BROKER")
        return
    if starting(target.directory):
        yield Finding("broker", why, "wait until it has read its journal")
        return
    if why != not_running(target):
        pid = named_by(target.directory / "lock")
        fix = f"see {target.directory / 'broker.log'}"
        if pid is not None and is_alive(pid):
            fix = (
                f"its process {pid} is stopped or stuck: kill -CONT {pid}, or kill -KILL {pid} "
                "and start it again, which loses nothing that was acknowledged"
            )
        yield Finding("broker", why, fix)
        return
    if has_left(target.directory / "broker.log"):
        text = f"it has left {target.directory}, with nobody connected and nothing due"
        yield Finding("broker", f"{text}; the next call or worker starts it")
        return
    yield Finding("broker", f"no broker runs in {target.directory}", start)
    if is_dead_socket(target.directory / "sock"):
        yield Finding(
            "socket",
            "its socket is left over: the broker was killed",
            "nothing: a start replaces it",
        )
    pid = stale_lock(target.directory / "lock")
    if pid is not None:
        yield Finding(
            "lock",
            f"the lock names process {pid}, which is gone: the broker was killed",
            "start again: the lock is taken over, and the journal has all that was acknowledged",
        )
    last = last_complaint(target.directory / "broker.log")
    if last:
        yield Finding("log", f"the broker's log ends with: {last}", "see that sentence")


def is_dead_socket(path: Path) -> bool:
    """Whether a socket file is there and nobody listens on it."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def stale_lock(path: Path) -> int | None:
    """The process that a lock file names, where it is gone."""
    pid = named_by(path)
    return pid if pid is not None and not is_alive(pid) else None


def named_by(path: Path) -> int | None:
    """The process that a lock file names."""
    try:
        pid = int(path.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if pid > 0 else None


def last_complaint(log: Path) -> str:
    """The last line of the log, where it is an error."""
    found = _end_of(log)[-1]
    return found if " ERROR " in found or " CRITICAL " in found else ""


def has_left(log: Path) -> bool:
    """Whether the last broker that was started automatically has ended since it was idle."""
    *_, before, last = _end_of(log)
    return before.endswith(IDLE) and last.endswith("stopped")


def _end_of(log: Path) -> list[str]:
    """The last lines, at least two."""
    lines: list[str] = []
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return ["", "", *lines]


# --- in the broker ------------------------------------------------------------------------------


def alive(pong: Pong) -> Iterator[Finding]:
    """The broker answers, and is of this version."""
    text = f"pid {pong.pid} answers, durability {pong.durability}"
    yield Finding("broker", text)
    if pong.version != __version__:
        yield Finding(
            "version",
            f"the broker runs taskq {pong.version} and this command is {__version__}",
            f"restart it, so that both are the same: kill {pong.pid}",
        )


def clock(ahead: float) -> Iterator[Finding]:
    """The broker's time is that of this machine. `ahead`: seconds between the two."""
    if abs(ahead) < CLOCKS_APART:
        return
    text = f"the broker's clock is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} "
    yield Finding(
        "clock",
        text
        + "this machine's, so a call with eta= runs that much too "
        + ("early" if ahead > 0 else "late"),
        "restart the broker; if it stays ahead, its journal was written under a clock that was fast, "
        "and it waits for the time to come: delay= is not concerned, use that meanwhile",
    )


def queues(found: list[QueueStats], option: str = "") -> Iterator[Finding]:
    """Every queue with messages has consumers that know them, and no dead letters."""
    for stats in found:
        place = f"queue {stats.queue}" + ("" if stats.group == "default" else f"/{stats.group}")
        group = "" if stats.group == "default" else f" -g {shlex.quote(stats.group)}"
        waiting = stats.ready + stats.held
        wrong = list(_queue_faults(stats, place, group + option, waiting))
        yield from wrong
        if not wrong:
            yield Finding(place, f"{plural(waiting, 'message')} waiting, "
                                 f"{plural(stats.consumers, 'consumer')}")  # fmt: skip


def _queue_faults(stats: QueueStats, place: str, options: str, waiting: int) -> Iterator[Finding]:
    queue = shlex.quote(stats.queue)
    unwanted = ""
    if stats.group != "default":
        unwanted = f"; or, if nobody shall work it: taskq queue drop {queue}{options}"
    if stats.paused and waiting:
        yield Finding(
            place,
            f"it is paused, with {plural(waiting, 'message')} waiting",
            f"taskq queue resume {queue}{options}",
        )
    elif stats.ready and not stats.consumers:
        yield Finding(
            place,
            f"nobody consumes it, with {plural(stats.ready, 'message')} waiting",
            f"start a worker: taskq worker APP -Q {queue_argument(stats.queue)}{options}{unwanted}",
        )
    for task, count in sorted(stats.unknown.items()):
        yield Finding(
            place,
            f"{plural(count, 'message')} parked: no worker knows the task {task}",
            "restart the workers with the code that has it; "
            f"or give them up: taskq queue purge {queue}{options}",
        )
    if stats.dead:
        yield Finding(
            place,
            plural(stats.dead, "dead letter"),
            f"see taskq dlq ls --queue {queue}{options}; then taskq dlq replay, or taskq dlq purge",
        )


def workers(stats: Stats, pong: Pong) -> Iterator[Finding]:
    """Every worker is of the broker's version."""
    wrong = [worker for worker in stats.workers if worker.info.version != pong.version]
    for worker in wrong:
        yield Finding(
            "worker",
            f"{worker.name} (pid {worker.info.pid} on {worker.info.host}) runs taskq "
            f"{worker.info.version or 'of an unknown version'}, the broker {pong.version}",
            "upgrade and restart it",
        )
    if not wrong:
        yield Finding("workers", f"{plural(len(stats.workers), 'worker')} connected")

"""The checks of `taskq doctor` that look at the directory of a broker."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from taskq.cli.support.conversation import not_running
from taskq.cli.support.failure import CliError
from taskq.cli.support.finding import Finding
from taskq.cli.support.output import size
from taskq.cli.support.processes import is_alive
from taskq.cli.support.target import Target, refuse_foreign
from taskq.errors import TaskqError

IDLE = "nothing due: leaving"  # how a broker logs that it ends by itself


def permissions(directory: Path) -> Iterator[Finding]:
    """The directory and the key belong to this user alone."""
    from taskq.transport.directory import BrokerDirectory
    from taskq.transport.keys import read_key

    try:
        refuse_foreign(directory)
        checked = BrokerDirectory(directory)
        if os.path.lexists(checked.path / "key"):
            read_key(checked.path / "key")
    except (CliError, TaskqError, OSError) as error:
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
    from taskq.transport.lock import holder_of

    holder = holder_of(target.directory) if target.directory is not None else None
    start = f"start a worker, or: taskq broker --dir {target.directory}"
    if target.directory is None or (holder is not None and holder.url):
        sentence, _, fix = why.partition("; ")
        yield Finding("broker", sentence, fix or "correct that, or --broker, or TASKQ_BROKER")
        return
    if holder is not None and holder.is_starting:
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
    """The process that a lock file names, if it is gone."""
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

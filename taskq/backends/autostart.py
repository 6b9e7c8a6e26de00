"""Starts the broker of a directory in the background. The first client does it, under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from taskq.broker.settings import BrokerSettings
from taskq.errors import BrokerTimeout, BrokerUnavailable
from taskq.transport.directory import BrokerDirectory
from taskq.transport.lock import starting

IDLE_EXIT = 60.0
_LOG_LIMIT = 2**20
_LOOK_AGAIN = 0.05  # seconds between two looks at a lock that another starter holds


@contextlib.contextmanager
def start_lock(directory: BrokerDirectory, timeout: float) -> Iterator[None]:
    """Hold the right to start a broker.

    Raises:
        BrokerTimeout: another process has held it for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    path = directory.path / "start.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                # not a blocking flock: it could not be given up when the time is over
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BrokerTimeout(
                        f"another process has been starting the broker of {directory.path} for "
                        f"{timeout:.3g} s; see {directory.log}"
                    ) from None
                time.sleep(_LOOK_AGAIN)
        yield
    finally:
        # explicitly: a process forked meanwhile has a copy of the descriptor
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def wait_for_starting(directory: BrokerDirectory, timeout: float) -> None:
    """Where somebody else has started a broker, wait until it has read its journal.

    Raises:
        BrokerTimeout: it takes longer than `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while pid := starting(directory.path):
        if time.monotonic() >= deadline:
            raise BrokerTimeout(_still_starting(directory, pid, timeout))
        time.sleep(_LOOK_AGAIN)


def _still_starting(directory: BrokerDirectory, pid: int, timeout: float) -> str:
    return (
        f"the broker of {directory.path} (pid {pid}) is still starting after {timeout:.3g} s: it "
        "reads its journal; try again in a while"
    )


def start_broker(
    directory: BrokerDirectory, durability: str, idle_exit: float, timeout: float
) -> None:
    """Start a broker that outlives us, and wait until it accepts connections.

    Args:
        directory: where it lives.
        durability: `"fsync"`, `"os"` or `"none"`.
        idle_exit: seconds without connections after which it leaves.
        timeout: seconds to wait for it.

    Raises:
        OSError: this attempt has failed and a later one may succeed: the broker was killed while
            it was starting, another one has the directory, or the machine is short of something.
        BrokerTimeout: it did not become ready in time.
        BrokerUnavailable: it could not start and will not; the sentence is its own.
    """
    if not sys.executable:
        raise BrokerUnavailable(
            "this interpreter does not know its own program, so no broker can be started from it; "
            f"start one with: taskq broker --dir {directory.path}"
        )
    reader, writer = os.pipe()
    try:
        try:
            code = _spawn(directory, durability, idle_exit, writer)
        finally:
            os.close(writer)
        line = _read_line(reader, timeout)
    except TimeoutError:
        pid = starting(directory.path)
        raise BrokerTimeout(
            _still_starting(directory, pid, timeout)
            if pid
            else f"no broker of {directory.path} was ready after {timeout:.3g} s; see {directory.log}"
        ) from None
    finally:
        os.close(reader)
    if line == "ready":
        return
    kind, _, sentence = line.partition(": ")
    if kind == "again":
        raise BlockingIOError(sentence)
    if kind == "error":
        raise BrokerUnavailable(f"the broker could not start: {sentence}")
    if code > 0:
        raise BrokerUnavailable(f"the broker could not start; see {directory.log}")
    raise ConnectionAbortedError(
        f"the broker was killed while it was starting; see {directory.log}"
    )


def _spawn(directory: BrokerDirectory, durability: str, idle_exit: float, ready_fd: int) -> int:
    """Run `python -m taskq.broker`; the exit code of the process that detaches it."""
    import subprocess

    settings = BrokerSettings(
        directory.path,
        durability=durability,
        idle_exit=idle_exit,
        ready_fd=ready_fd,
        detach=True,
    )
    # -P and our own sys.path: the child finds the taskq that we are, wherever it was started from
    command = [sys.executable, "-P", "-m", "taskq.broker", settings.to_json()]
    here = str(Path(__file__).resolve().parent.parent.parent)
    path = [os.path.abspath(entry) for entry in sys.path if os.pathsep not in entry]
    if here not in path:
        path.insert(0, here)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    with open(_fresh_log(directory), "ab", opener=_private) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=directory.path,
            env=environment,
            pass_fds=(ready_fd,),
            start_new_session=True,
        )
        return process.wait()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _fresh_log(directory: BrokerDirectory) -> Path:
    with contextlib.suppress(FileNotFoundError):
        if directory.log.stat().st_size > _LOG_LIMIT:
            directory.log.replace(directory.log.with_suffix(".log.1"))
    return directory.log


def _read_line(fd: int, timeout: float) -> str:
    """One line, or what there was at the end. Raises `TimeoutError`."""
    import select

    deadline = time.monotonic() + timeout
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    data = b""
    while not data.endswith(b"\n"):
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError("the broker has not become ready in time")
        part = os.read(fd, 4096)
        if not part:
            break
        data += part
    return data.decode("utf-8", "replace").strip()

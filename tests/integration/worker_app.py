"""The app that the workers of `test_worker.py` import."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from pathlib import Path

from taskq import Retry, TaskQueue, current
from taskq.errors import LeaseLost, TaskCancelled

EXTRA = "TASKQ_TEST_EXTRA"
queue = TaskQueue("w")


def note(path: str, text: object) -> None:
    with open(path, "a") as file:
        file.write(f"{text}\n")


@queue.task
def add(a: int, b: int) -> int:
    return a + b


@queue.task
async def add_later(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@queue.task
def pid() -> int:
    return os.getpid()


@queue.task
def nap(seconds: float) -> None:
    time.sleep(seconds)


@queue.task
def gate(path: str | None, log: str | None = None) -> int:
    """Wait until a file is there; `log` gets the process id at the start of each run."""
    if log:
        note(log, os.getpid())
    while path and not Path(path).exists():
        time.sleep(0.005)
    return os.getpid()


@queue.task(ack="early")
def note_early(log: str) -> None:
    note(log, os.getpid())


@queue.task(visibility_timeout=1)
def own_gate(path: str, log: str) -> int:
    """Wait until there is a file for this process."""
    note(log, os.getpid())
    while not Path(f"{path}{os.getpid()}").exists():
        time.sleep(0.005)
    return os.getpid()


@queue.task
def die_once(log: str) -> int:
    """The first run writes its process id and waits for its end."""
    first = not Path(log).exists()
    note(log, os.getpid())
    if first:
        time.sleep(60)
    return os.getpid()


@queue.task(max_deliveries=2)
def poison() -> None:
    os._exit(7)


@queue.task(max_deliveries=2)
def poison_later(log: str) -> None:
    """Return, and leave a thread that ends the process at once."""
    note(log, os.getpid())
    threading.Thread(target=os._exit, args=[0]).start()
    time.sleep(0.002)


@queue.task(max_deliveries=3)
def poison_for_all(log: str) -> None:
    """Kill the launcher, and so this process."""
    note(log, os.getpid())
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@queue.task(max_deliveries=1)
def once(log: str, name: str) -> None:
    note(log, name)
    time.sleep(0.001)


@queue.task(max_deliveries=2)
def segfault() -> None:
    ctypes.string_at(0)


@queue.task(max_deliveries=2)
def devour() -> None:
    """Take all memory that the process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (600 * 2**20, hard))
    eaten = []
    while True:
        eaten.append(bytearray(2**20))


@queue.task
def die_the_first_time(log: str) -> int:
    """The first run kills its process without a word."""
    first = not Path(log).exists()
    note(log, os.getpid())
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@queue.task
def anything(value: object) -> int:
    return os.getpid()


class Unbuildable(Exception):
    """Dumps, and does not load."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@queue.task
def leave_handlers() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    return os.getpid()


@queue.task
def close_descriptors() -> int:
    os.closerange(3, 256)
    return os.getpid()


@queue.task
def raise_unbuildable() -> None:
    raise Unbuildable(1, 2)


@queue.task
def return_bytes(count: int) -> bytes:
    return bytes(count)


@queue.task(visibility_timeout=1)
def extend_after(path: str, log: str) -> int:
    """Wait for a file, then ask for more time; `log` gets fences, and what became of the asking."""
    note(log, f"began:{current().fence}")
    while not Path(path).exists():
        time.sleep(0.005)
    try:
        current().extend(5)
    except LeaseLost:
        note(log, f"lost:{current().fence}")
        raise
    note(log, f"extended:{current().fence}")
    return current().fence


@queue.task
def fork_under_locks() -> int:
    """Fork while another thread is in the middle of logging; the child logs, calls and ends."""
    held, done = threading.Event(), threading.Event()
    handlers = [*logging.getLogger().handlers, *logging.getLogger("taskq").handlers]

    def hold() -> None:
        for handler in handlers:
            handler.acquire()
        held.set()
        done.wait()
        for handler in handlers:
            handler.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    process = multiprocessing.get_context("fork").Process(target=_log_and_ask)
    process.start()
    done.set()
    thread.join()
    process.join(15)
    process.kill()
    return process.exitcode if process.exitcode is not None else -1


def _log_and_ask() -> None:
    logging.getLogger("taskq.worker").warning("said by the forked process %d", os.getpid())
    logging.getLogger("new").warning("and by the app's logger")
    add.options(id="asked-by-the-fork")(20, 22)


@queue.task(timeout=0.2)
def oversleep() -> None:
    time.sleep(60)


@queue.task(timeout=0.2)
async def oversleep_later() -> None:
    await asyncio.sleep(60)


@queue.task(timeout=0.2)
def stubborn() -> None:
    """Nothing but SIGKILL ends it."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@queue.task(visibility_timeout=1)
def hold_gil(log: str, seconds: float) -> str:
    note(log, os.getpid())
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # unlike CDLL, PyDLL keeps the GIL
    return "held"


@queue.task(retries=3, backoff=0.01)
def third_time(log: str) -> int:
    note(log, "run")
    if current().attempt == 2:
        raise Retry(delay=0.01, reason="not yet")
    if current().attempt < 3:
        raise ValueError("too soon")
    return current().attempt


@queue.task(retries=1, backoff=0.5)
def fails_once(log: str) -> int:
    note(log, "run")
    if current().attempt == 1:
        raise ValueError("not yet")
    return current().attempt


@queue.task(retries=1, backoff=0.01)
def fails_at_once(n: int) -> int:
    if current().attempt == 1:
        raise ValueError("not yet")
    return n


@queue.task
def moment(log: str) -> float:
    note(log, "run")
    return time.time()


@queue.task
def obedient(log: str) -> None:
    note(log, "started")
    while not current().cancelled:
        time.sleep(0.005)
    raise TaskCancelled("as you wish")


@queue.task
def leak(store: list[bytearray] = []) -> int:  # noqa: B006 - it leaks on purpose
    store.append(bytearray(b"x") * (60 * 2**20))
    return os.getpid()


@queue.task
def use_a_process() -> int | None:
    """A task may use multiprocessing, and end what it has started."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(10)
    return process.exitcode


@queue.task
def orphan(log: str, gate: str) -> None:
    """Leave a grandchild behind, which ends when a file is there."""
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild:
            note(log, grandchild)
            os._exit(0)
        while not Path(gate).exists():
            time.sleep(0.005)
        os._exit(0)
    os.waitpid(child, 0)


def extra() -> str:
    return "known"


if os.environ.get(EXTRA):
    extra = queue.task(extra)  # type: ignore[assignment]

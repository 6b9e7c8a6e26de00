"""A real disk that fills up: a small tmpfs under a real broker."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import ResultHandle, Task, TaskQueue, errors
from taskq.protocol.operating import Ping
from tests.kit.files import mounted_disk
from tests.kit.messages import naming
from tests.kit.processes import send
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system"
)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with mounted_disk() as disk:
        yield disk


def keep(data: bytes) -> int:
    return len(data)


def fill(task: Task[[bytes], int], handles: list[ResultHandle[int]]) -> None:
    while len(handles) < 1000:
        handles.append(task(os.urandom(100_000)))


def accepts(task: Task[[bytes], int]) -> ResultHandle[int] | None:
    try:
        return task(b"there is room again")
    except errors.DiskFull:
        return None


def test_48_a_full_disk_refuses_calls_and_lets_those_it_has_finish(small_disk: Path) -> None:
    queue = TaskQueue("full", broker=f"embedded:{small_disk / 'broker'}")
    task = queue.task(keep)
    handles: list[ResultHandle[int]] = []
    with pytest.raises(errors.DiskFull, match=naming(task.name, "Make room")):
        fill(task, handles)
    accepted = len(handles)
    assert accepted > 50
    with queue.workers(1):
        assert [handle.result(timeout=60) for handle in handles] == [100_000] * accepted
        assert wait_until(lambda: accepts(task)).result(timeout=60) == 19
    (group,) = queue.stats().queues
    assert (group.succeeded, group.dead) == (accepted + 1, 0)
    pid = queue.broker.call(Ping()).pid
    queue.close()
    send(pid, signal.SIGTERM)


def test_48_calls_larger_than_the_reserve_do_not_use_it_up(small_disk: Path) -> None:
    queue = TaskQueue("full", broker=f"embedded:{small_disk / 'broker'}")
    task = queue.task(keep)
    first = task(b"accepted before")
    with pytest.raises(errors.DiskFull, match=naming(task.name, "Make room")):
        _ = [task(os.urandom(5_000_000)) for _ in range(10)]
    with queue.workers(1):
        assert first.result(timeout=60) == 15
    pid = queue.broker.call(Ping()).pid
    queue.close()
    send(pid, signal.SIGTERM)

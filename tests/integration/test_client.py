"""The client against a real broker and real workers: programs that a user would write."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import taskq
from tests.kit.processes import send
from tests.kit.waiting import wait_until

PROGRAM = """
import asyncio, os
from taskq import TaskQueue, as_completed, current

queue = TaskQueue("program")
LIMIT = 3

class Oops(Exception):
    pass

class Point:
    def __init__(self, x): self.x = x

@queue.task(retries=2, retry_on=Oops, backoff=lambda attempt: 0.01)
def flaky(n):
    if current().attempt < 2:
        raise Oops(n)
    return os.getpid(), Point(n), LIMIT

@queue.task
def fails():
    raise Oops("for good")

@queue.task
async def later(n):
    await asyncio.sleep(0)
    return n

async def many():
    return sum(await asyncio.gather(*[later(n) for n in range(200)]))

if __name__ == "__main__":
    with queue.workers(2):
        pid, point, limit = flaky(1).result(30)
        assert pid != os.getpid()
        assert type(point) is Point and point.x == 1 and limit == 3
        try:
            fails().result(30)
        except Oops as error:
            assert "for good" in str(error) and "in fails" in str(error.__cause__)
        else:
            raise AssertionError
        assert asyncio.run(many()) == 199 * 100
        assert later.map(range(2000)).results(30) == list(range(2000))
        handle = later(1)
        child = os.fork()
        if child == 0:
            os._exit(0 if later(2).result(30) + handle.result(30) == 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert later(4).result(30) == 4
        assert len(queue.dlq) == 1
    print("all is well")
"""

SEED = """
from taskq import TaskQueue

queue = TaskQueue("my-queue")

@queue.task
def fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a % 10**6

fib100k = fib(100_000)
print(str(fib100k())[-6:])
"""


@pytest.fixture
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tq"))
    yield directory
    for lock in directory.glob("state/*/lock"):
        with suppress(ValueError, IndexError, ProcessLookupError):
            send(int(lock.read_text().split()[0]), signal.SIGTERM)
    shutil.rmtree(directory, ignore_errors=True)


def environment(place: Path) -> dict[str, str]:
    package = str(Path(taskq.__file__).parent.parent)
    return os.environ | {
        "TASKQ_DIR": str(place / "state"),
        "TASKQ_DURABILITY": "os",
        "PYTHONPATH": package,
    }


@pytest.mark.parametrize("how", [["program.py"], ["-m", "program"]], ids=["script", "module"])
def test_a_program_with_workers_of_its_own(place: Path, how: list[str]) -> None:
    (place / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *how],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout == "all is well\n", done.stderr


INTERRUPTED = """
import time
from pathlib import Path
from taskq import TaskQueue

queue = TaskQueue("interrupted")

@queue.task
def slow(directory):
    (Path(directory) / "begun").touch()
    time.sleep(0.5)
    (Path(directory) / "done").touch()

if __name__ == "__main__":
    with queue.workers(1):
        slow(str(Path.cwd())).result(60)
"""


def test_interrupting_a_program_lets_its_workers_finish(place: Path) -> None:
    (place / "program.py").write_text(INTERRUPTED)
    program = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=place,
        env=environment(place),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_until((place / "begun").exists, 60)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    told = program.communicate(timeout=60)[1].decode()
    assert "KeyboardInterrupt" in told
    assert (place / "done").exists(), told


@pytest.mark.parametrize("name", ["mails:eu", "mails:3"])
def test_workers_of_a_program_take_a_colon_for_a_part_of_the_name(place: Path, name: str) -> None:
    (place / "colon.py").write_text(
        f"from taskq import TaskQueue\nqueue = TaskQueue({name!r}, broker='embedded:{place}/state/c')\n"
        "@queue.task\ndef double(n):\n    return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    with queue.workers(1):\n        print(double(4).result(20))\n"
    )
    done = subprocess.run(
        [sys.executable, "colon.py"],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout == "8\n", done.stderr


@pytest.mark.parametrize("how", [["ex/seed.py"], ["-m", "ex.seed"]], ids=["script", "module"])
def test_the_one_minute_program_in_two_terminals(place: Path, how: list[str]) -> None:
    (place / "ex").mkdir()
    (place / "ex" / "seed.py").write_text(SEED)
    worker = subprocess.Popen(
        [sys.executable, "-m", "taskq", "worker", "ex.seed:queue"],
        cwd=place,
        env=environment(place),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        done = subprocess.run(
            [sys.executable, *how],
            cwd=place,
            env=environment(place),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        worker.terminate()
        told = worker.communicate(timeout=60)[1]
    assert done.stdout == "746875\n", done.stderr
    assert worker.returncode == 0
    assert "WARNING" not in told  # it ends at its last line: nothing is missing

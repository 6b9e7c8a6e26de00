"""Programs started in every way there is: their tasks go by name, and their code only where it must."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipapp
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit.files import ROOT
from tests.kit.processes import send

PROGRAM = """
import sys
from taskq import TaskQueue

queue = TaskQueue("programs")
API_KEY = "a-secret-of-the-producer"
NUMBERS = list(range(50_000))

class Oops(Exception):
    pass

class Point:
    def __init__(self, x):
        self.x = x

@queue.task
def double(point):
    if point.x < 0:
        raise Oops("negative")
    return Point(2 * point.x), len(API_KEY), len(NUMBERS), __name__

def main():
    point, key, numbers, name = double(Point(4)).result(30)
    assert type(point) is Point, type(point)
    assert double(Point(-1)).exception(30).__class__ is Oops
    print(point.x, key, numbers, name)
    info = double.options(delay=60)(Point(1)).info()
    print("small" if info.size < 500 else "large")
"""
GUARDED = PROGRAM + '\nif __name__ == "__main__":\n    main()\n'


class Place:
    """A directory with programs, and the broker that they use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._workers: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "TASKQ_DIR": str(self.path / "state"),
            "TASKQ_DURABILITY": "os",
            "PYTHONPATH": str(ROOT),
        }

    def write(self, file: str, text: str) -> Path:
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *arguments: str, start: str = ".", stdin: str | None = None) -> str:
        """What a program prints that is started in the directory `start`; stderr follows."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path / start,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def worker(self, app: str, start: str = ".") -> None:
        self._workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "taskq", "worker", app, "-l", "warning"],
                cwd=self.path / start,
                env=self.environment,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    def journal(self) -> bytes:
        """Every byte that the broker keeps on disk."""
        return b"".join(file.read_bytes() for file in self.path.glob("state/*/journal*"))

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
            worker.communicate(timeout=30)
        for lock in self.path.glob("state/*/lock"):
            with suppress(ValueError, IndexError, ProcessLookupError):
                send(int(lock.read_text().split()[0]), signal.SIGTERM)


@pytest.fixture
def place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="tq"))
    place = Place(directory)
    yield place
    place.close()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize(
    ("file", "how", "start", "app", "app_start"),
    [
        ("app.py", ["app.py"], ".", "app:queue", "."),
        ("shop/app.py", ["shop/app.py"], ".", "shop.app:queue", "."),
        ("shop/app.py", ["../shop/app.py"], "state", "app:queue", "shop"),
        ("shop/app.py", ["-m", "shop.app"], ".", "shop.app:queue", "."),
        ("shop/__main__.py", ["shop"], ".", "shop.__main__:queue", "."),
    ],
    ids=["script", "below", "elsewhere", "module", "directory"],
)
def test_a_program_with_a_file_goes_by_name(
    place: Place, file: str, how: list[str], start: str, app: str, app_start: str
) -> None:
    (place.path / "state").mkdir()
    place.write(file, GUARDED)
    place.worker(app, app_start)
    module = app.partition(":")[0]
    assert place.run(*how, start=start) == f"8 24 50000 {module}\nsmall\n"
    assert b"a-secret" not in place.journal()


@pytest.mark.parametrize("how", ["-c", "stdin", "zipapp", "tool", "cProfile"])
def test_a_program_that_nobody_can_import_carries_its_code_and_says_so(
    place: Place, how: str
) -> None:
    program = place.write("source.py", PROGRAM + "\nmain()\n")
    place.write("other.py", "from taskq import TaskQueue\nqueue = TaskQueue('programs')\n")
    place.worker("other:queue")
    if how == "stdin":
        told = place.run("-", stdin=program.read_text())
    elif how == "zipapp":
        place.write("zipped/__main__.py", program.read_text())
        zipapp.create_archive(place.path / "zipped", place.path / "app.pyz")
        told = place.run("app.pyz")
    elif how == "tool":  # without .py
        told = place.run(str(program.rename(place.path / "tool")))
    elif how == "cProfile":  # before Python 3.12 it hides the program, and later no import needs it
        told = place.run("-m", "cProfile", "-o", "profile", str(program))
        if sys.version_info >= (3, 12):
            pytest.skip("it is found by its name")
    else:
        told = place.run("-c", program.read_text())
    assert told.startswith("8 24 50000 __main__\nlarge\n")
    assert told.count("CarriedDataWarning") == 1
    assert "NUMBERS (146" in told
    assert "API_KEY (39 B)" in told
    assert b"a-secret" in place.journal(), "the warning is true"


def test_a_worker_that_knows_the_name_runs_its_own_version_of_a_carried_call(place: Place) -> None:
    shop = "from taskq import TaskQueue\nqueue = TaskQueue('programs')\n"
    task = "@queue.task(name='shop.version')\ndef version():\n    return {!r}\n"
    place.write("shop.py", shop + task.format("the worker's"))
    place.worker("shop:queue")
    ask = "print(version().result(30), version.options(delay=60)().id)"
    told, id = place.run("-c", shop + task.format("the caller's") + ask).rsplit(maxsplit=1)
    assert told == "the worker's"
    assert "carries its code" in place.run("-m", "taskq", "--broker", "programs", "job", "show", id)


def test_calls_of_a_script_are_run_by_the_version_that_the_worker_has(place: Place) -> None:
    place.write("app.py", PROGRAM + "\nprint(double(Point(1)).id)\n")
    id = place.run("app.py").strip()
    place.write("app.py", GUARDED.replace("2 * point.x", "100 * point.x"))
    place.worker("app:queue")
    ask = f"from app import queue; print(queue.handle({id!r}).result(30)[0].x)"
    assert place.run("-c", ask) == "100\n"


LOCAL = """
{guard}
    with queue.workers(1):
        main()
"""


@pytest.mark.parametrize("how", [["app.py"], ["shop/app.py"], ["-m", "shop.app"]])
@pytest.mark.parametrize(
    "guard", ['if __name__ == "__main__":', "if True:"], ids=["guarded", "open"]
)
def test_workers_of_a_program_find_its_tasks(place: Place, how: list[str], guard: str) -> None:
    place.write(how[0] if how[0] != "-m" else "shop/app.py", PROGRAM + LOCAL.format(guard=guard))
    name = {"app.py": "app"}.get(how[-1], "shop.app")
    told = place.run(*how)
    assert told.startswith(f"8 24 50000 {name}\nsmall\n")
    assert "unknown to this worker" not in told


def test_workers_of_a_program_run_what_only_the_program_defines(place: Place) -> None:
    """What stands below the guard is imported by nobody, so it travels."""
    lines = [f"    {line}" for line in (PROGRAM + "with queue.workers(1): main()").splitlines()]
    place.write("app.py", "\n".join(['if __name__ == "__main__":', *lines]))
    told = place.run("app.py")
    assert told.startswith("8 24 50000 __main__\nlarge\n")
    assert "CarriedDataWarning" in told


SPAWNED = GUARDED.replace(
    "    main()\n",
    """    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=main)
    process.start()
    process.join()
    sys.exit(process.exitcode)
""",
)


@pytest.mark.parametrize("file", ["app.py", "tool"])
def test_a_process_that_multiprocessing_spawned_calls_like_its_parent(
    place: Place, file: str
) -> None:
    assert "spawn" in SPAWNED
    place.write("app.py", GUARDED)
    place.write(file, SPAWNED)
    place.worker("app:queue")
    told = place.run(file)
    if file == "tool":  # which nobody can import
        assert told.startswith("8 24 50000 __m")
        assert "CarriedDataWarning" in told
    else:
        assert told == "8 24 50000 app\nsmall\n"


def test_7_a_changed_signature_is_not_tried_again(place: Place) -> None:
    app = """
from taskq import TaskQueue
queue = TaskQueue("programs", retries=5, backoff=0)

@queue.task
def add(a, b):
    return a + b

@queue.task
def inside():
    return len()
"""
    ask = "import app; handles = app.add(1, 2), app.inside(); print(*(h.id for h in handles))"
    place.write("app.py", app)
    ids = place.run("-c", ask).split()
    place.write("app.py", app.replace("a, b)", "a, b, c)"))
    place.worker("app:queue")
    ask = (
        "from app import queue\n"
        f"for handle in map(queue.handle, {ids}):\n"
        "    print(type(handle.exception(30)).__name__, handle.info().attempts)\n"
    )
    assert place.run("-c", ask) == "TypeError 1\nTypeError 6\n"

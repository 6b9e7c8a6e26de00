"""Runs the cells, each in a process group of its own, repeat after repeat: A B C A B C."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.peers.base import COLUMN, ROOT
from tests.benchmarks.plan import Cell
from tests.benchmarks.processes import children
from tests.benchmarks.records import Record, Sample
from tests.kit.processes import send

SET_CHILD_SUBREAPER = 36  # of prctl(2)


def run(
    cells: list[Cell], repeats: int, directory: Path | None, say: Callable[[str], None]
) -> list[Record]:
    """Measure all cells `repeats` times, interleaved.

    Args:
        cells: of one repeat, in order.
        repeats: rounds; a scenario may ask for fewer.
        directory: where the stores live; default: the temporary directory.
        say: told of each sample.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that TERM cleans up
    adopt_orphans()
    records = {
        (cell.scenario.name, cell.contender, cell.column): Record(
            cell.scenario.name,
            cell.scenario.unit,
            cell.contender,
            cell.column,
            cell.durability,
            cell.ack,
        )
        for cell in cells
    }
    for turn in range(repeats):
        due = [cell for cell in cells if cell.is_due(turn)]
        for number, cell in enumerate(due, 1):
            record = records[cell.scenario.name, cell.contender, cell.column]
            name = f"{cell.scenario.name:16} {cell.contender:12} {cell.column:6}"
            began = time.monotonic()
            try:
                sample = measure(cell, directory)
            except CellError as error:
                record.errors.append(str(error))
                outcome = f"failed: {error}"
            else:
                record.samples.append(sample)
                outcome = f"{sample.value:14,.2f} {cell.scenario.unit}"
                if sample.lost or sample.duplicates:
                    outcome += f"  ({sample.lost} lost, {sample.duplicates} run twice)"
            took = f"{time.monotonic() - began:5.1f} s"
            say(f"{turn + 1}/{repeats} {number:3}/{len(due)} {took}  {name} {outcome}")
    return list(records.values())


# what tasks write their marks to must be no file on a disk: where each commit is synced, a write to
# a mapped page of such a file waits for the disk
SHARED_MEMORY = Path("/dev/shm")


class CellError(Exception):
    """A cell could not be measured; the sentence says why."""


def measure(cell: Cell, directory: Path | None) -> Sample:
    """Measure one cell once.

    Raises:
        CellError: it failed, or took longer than its patience.
    """
    place = Path(tempfile.mkdtemp(prefix="tqb", dir=directory))
    memory = Path(tempfile.mkdtemp(prefix="tqb", dir=SHARED_MEMORY))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TASKQ_")
    } | {
        "BENCH_DIR": str(place),
        "BENCH_MEMORY": str(memory),
        "BENCH_CONTENDER": cell.contender,
        COLUMN: cell.column,
        "PYTHONPATH": str(ROOT),
        "TASKQ_DURABILITY": cell.column if cell.contender == "taskq" else "fsync",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.cell", cell.scenario.name, str(cell.count)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=(place / "cell.log").open("wb"),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = _line(process, cell.scenario.patience)
        if not line:
            raise CellError(_last_words(place))
        try:
            return Sample(**json.loads(line))
        except (ValueError, TypeError):
            raise CellError(f"instead of a sample it printed {line.strip()[:80]!r}") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _end_orphans()
        if process.stdout is not None:
            process.stdout.close()
        for directory in (place, memory):
            shutil.rmtree(directory, ignore_errors=True)


def adopt_orphans() -> None:
    """Become the parent of what a cell leaves behind, so that it can be ended and reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_orphans() -> None:
    """End what has left the cell's process group: a broker that started itself, a daemon."""
    while left := children(os.getpid()):
        for pid in left:
            with suppress(ProcessLookupError):
                send(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _line(process: subprocess.Popen[bytes], patience: float) -> str:
    """The line of the sample. Its end of the pipe may be held by the cell's own children."""
    import select

    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], patience)
    if not ready:
        raise CellError(f"not finished within {patience:.0f} s")
    return process.stdout.readline().decode()


def _last_words(place: Path) -> str:
    text = (place / "cell.log").read_text(errors="replace").strip()
    return text.splitlines()[-1] if text else "it ended without a word"

"""Measures one cell once, in a process of its own: `python -m tests.benchmarks.cell SCENARIO COUNT`.

The driver gives the rest in the environment, and ends our process group afterwards: store, workers
and all. The sample goes to standard output as one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import marks, redis_server
from tests.benchmarks.catalogue import SCENARIOS
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.peers.base import SCENARIO, STORE


def main() -> None:
    """Measure, and print the sample."""
    name, count = sys.argv[1], int(sys.argv[2])
    directory = Path(os.environ["BENCH_DIR"])
    contender = CONTENDERS.get(os.environ["BENCH_CONTENDER"])
    scenario = SCENARIOS[name]
    os.environ[SCENARIO] = name
    marked = Path(os.environ["BENCH_MEMORY"]) / "marks"
    marks.make(marked, count * scenario.marks)
    if contender is None:  # a baseline needs no app
        sample = scenario.function()(os.environ["BENCH_CONTENDER"], directory, count)
    else:
        os.environ[STORE] = _store(contender.store, directory)  # its app looks for it on import
        function = scenario.function()
        module = importlib.import_module(f"tests.benchmarks.peers.{contender.module}")
        found = marks.Marks(marked, count * scenario.marks)
        sample = function(module.CONTESTANT(), found, count)
    print(json.dumps(asdict(sample)), flush=True)
    os._exit(0)  # nothing of a peer's shutdown may hold us up; the driver ends the rest


def _store(kind: str, directory: Path) -> str:
    if kind == "redis":
        return redis_server.start(directory)
    if kind == "directory":
        path = directory / "s"  # short: a unix socket lies in it
        path.mkdir(mode=0o700)
        return str(path)
    return ""


if __name__ == "__main__":
    main()

"""The chaos run: producers and workers under random kills, stops and cuts, and then the reckoning.

    python -m tests.crash.chaos --tasks 20000 --seconds 60 --seed 7

What happens follows from the seed; when, from the machine. At the end the recorded history is judged
(see `verdict`); exit code 1 where a promise was broken. Linux only. docs/testing.md tells more.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from shutil import rmtree

from tests.crash import verdict
from tests.crash.chaos_stage import Stage
from tests.crash.history import History, load, save
from tests.kit.waiting import wait_until

PATIENCE = 120.0  # seconds for the rest of the work, once the chaos is over
ACTIONS = {  # how often, in relation to each other
    "kill_child": 6,
    "kill_worker": 2,
    "kill_producer": 3,
    "kill_broker": 2,
    "kill_starting_broker": 2,
    "term_worker": 2,
    "hup_worker": 2,
    "term_broker": 1,
    "stop_child": 2,
    "stop_worker": 2,
    "stop_broker": 1,
    "drop_connections": 4,
    "cut_next_connection": 3,
    "silence": 1,
}


def run(stage: Stage, seconds: float, seed: int, pause: float) -> Counter[str]:
    """Do harm until the time is over and the producers are done; returns what was done how often."""
    draw, done = random.Random(seed), Counter[str]()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stage.tend()
        (action,) = draw.choices(list(ACTIONS), list(ACTIONS.values()))
        if getattr(stage, action)(draw):
            done[action] += 1
        time.sleep(draw.uniform(0.2, 1.8) * pause)
    return done


def reckon(stage: Stage, tasks: int) -> History:
    """Let everything finish in peace, and read what was noted."""
    stage.calm()
    wait_until(lambda: stage.tend() >= tasks, PATIENCE, 0.1)
    wait_until(stage.is_drained, PATIENCE, 0.1)
    return stage.history()


def report(history: History, done: Counter[str]) -> bool:
    """Print the outcome; whether every promise was kept."""
    if done:
        print("  " + ", ".join(f"{count} {action}" for action, count in sorted(done.items())))
    print(
        f"  {len(history.acknowledged)} acknowledged, {sum(map(len, history.runs.values()))} runs, "
        f"{verdict.repeated(history)} of them repeated what was in hand at a kill or a stop"
    )
    rules = verdict.judge(history)
    print(verdict.table(rules), flush=True)
    return not any(rule.broken for rule in rules)


def chaos(tasks: int, seconds: float, seed: int, link: str, pause: float = 0.6) -> bool:
    """One run; whether every promise was kept. The directory of one that failed is left behind."""
    directory = Path(tempfile.mkdtemp(prefix="tqx"))
    print(f"seed {seed}, {tasks} tasks, {seconds:g} s, link {link}, in {directory}", flush=True)
    with Stage(directory, tasks, seconds, link) as stage:
        done = run(stage, seconds, seed, pause)
        history = reckon(stage, tasks)
        save(history, directory / "history.json")
        fine = report(history, done)
    if fine:
        rmtree(directory)
    return fine


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.chaos", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument(
        "--link",
        choices=["proxy", "embedded"],
        default="proxy",
        help="proxy: TCP through a faulty proxy; embedded: a unix socket, and a broker that "
        "whoever comes first starts again",
    )
    parser.add_argument("--judge", type=Path, metavar="FILE", help="judge a history.json again")
    args = parser.parse_args()
    if args.judge:
        return 0 if report(load(args.judge), Counter()) else 1
    return 0 if chaos(args.tasks, args.seconds, args.seed, args.link) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Where the microseconds of a message go: every stage by itself, beside the whole. Ours only."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from tests.benchmarks import ways
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.records import Sample
from tests.benchmarks.scenarios.baselines import baseline
from tests.benchmarks.scenarios.versus import drain
from tests.benchmarks.stages import Circuit

BATCH = 100
LONE = 50  # one lone call for so many of the drain


def budget(peer: Ours, marks: Marks, count: int) -> Sample:
    """The measured round trip in µs; the further figures are the stages and wholes of all ways."""
    lone, batches = count // LONE, count // BATCH
    wholes = _wholes(peer, marks, count, lone)
    directory = Path(os.environ["BENCH_DIR"])
    wake = baseline("pipe", directory, 1_000).value / 2 / 1e6  # an echo wakes two
    extra: dict[str, float] = {}
    for way, stages in measured_stages(directory, lone, batches).items():
        extra |= {ways.key(way, name): seconds * 1e6 for name, seconds in stages.items()}
        extra[ways.key(way, ways.WAKES)] = ways.WAKE_UPS[way] * wake * 1e6
        extra[ways.key(way, ways.MEASURED)] = wholes[way] * 1e6
    return Sample(
        extra[ways.key(ways.ROUND_TRIP, ways.MEASURED)],
        count,
        marks.lost(),
        marks.duplicates(),
        extra,
    )


def _wholes(peer: Ours, marks: Marks, count: int, lone: int) -> dict[str, float]:
    """Seconds of each way as a user has it: through sockets, with a broker and two children."""
    noop(-1)
    times = []
    for _ in range(lone):
        began = time.perf_counter()
        noop(-1)
        times.append(time.perf_counter() - began)
    began = time.perf_counter()
    noop.map(range(-1, -1 - count, -1))
    bulk = (time.perf_counter() - began) / count
    queue.purge()  # or the drain would have them to do as well
    rate = drain(peer, marks, count).value
    trips = sorted(peer.round_trips(lone))
    return {
        ways.ENQUEUE: statistics.median(times),
        ways.ROUND_TRIP: trips[len(trips) // 2],
        ways.BULK: bulk,
        ways.DRAIN: 1 / rate,
    }


def measured_stages(directory: Path, lone: int, batches: int) -> dict[str, dict[str, float]]:
    """Seconds of every stage, for one message of each way."""
    found: dict[str, dict[str, float]] = {}
    circuit = _circuit(directory, "alone")
    for _ in range(lone):
        circuit.enqueue(1)
        circuit.watch.end_round()
    found[ways.ENQUEUE] = circuit.watch.typical()
    circuit.close()

    circuit = _circuit(directory, "trip")
    circuit.park()
    for _ in range(lone):
        circuit.call_and_result()
        circuit.watch.end_round()
    found[ways.ROUND_TRIP] = circuit.watch.typical()
    circuit.close()

    circuit = _circuit(directory, "many")
    for _ in range(batches):
        circuit.enqueue(BATCH)
        circuit.watch.end_round()
    found[ways.BULK] = _each(circuit.watch.average())
    circuit.watch.forget_all()
    circuit.claim(BATCH)
    for _ in range(batches - 1):
        circuit.turn(BATCH)
        circuit.watch.end_round()
    found[ways.DRAIN] = _each(circuit.watch.average())
    circuit.close()
    return found


def _circuit(directory: Path, name: str) -> Circuit:
    place = directory / name
    place.mkdir()
    return Circuit(noop, place)


def _each(stages: dict[str, float]) -> dict[str, float]:
    return {name: seconds / BATCH for name, seconds in stages.items()}

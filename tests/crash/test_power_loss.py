"""Power loss at any moment: the disk has what was synced, and any part of the rest.

A real broker works under strace. What it wrote is replayed up to a moment, the unsynced writes are
dropped or torn, and the journal that is left is loaded. `TASKQ_TESTS=long python -m pytest
tests/crash/test_power_loss.py` looks at every moment, several times.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from taskq.engine.engine import Engine
from taskq.engine.states import State
from taskq.protocol.consuming import Claim, Register, Settle
from taskq.protocol.values import Ack, Delivered, ErrorInfo, Fail, Outcome
from tests.crash.disk import TRACING, Disk, Event, part, put, read_trace
from tests.crash.operations import enqueue, load, states
from tests.kit.files import short_directory
from tests.kit.marks import LONG
from tests.kit.processes import send
from tests.kit.tracing import TracedBroker, needs_strace

pytestmark = [needs_strace, pytest.mark.timeout(1800 if LONG else 120)]

ROUNDS = 25
SMALL_LOG = 40  # pages, so that the log is folded and begun again several times
ENDS = ["succeeded", "scheduled", "dead"]


@dataclass
class Recording:
    """What a broker did with the files below `base`, and what it was asked, by request id.

    `asked`: the states in which each request leaves its messages.
    """

    base: Path
    events: list[Event]
    asked: dict[int, dict[str, str]]


@pytest.fixture(scope="module", params=["fsync", "os"])
def recording(request: pytest.FixtureRequest) -> Iterator[tuple[str, Recording]]:
    with short_directory() as base:
        yield request.param, record(base, request.param)


def record(base: Path, durability: str) -> Recording:
    """Let a broker enqueue, claim and settle under strace, from its first start to its stop."""
    broker = TracedBroker(base, durability, SMALL_LOG)
    asked: dict[int, dict[str, str]] = {}
    try:
        broker.start(*TRACING, "-o", str(broker.trace))
        channel = broker.connect()
        channel.call(Register(worker="w", consumer="c", group="default", queues=["q"]))
        for number in range(ROUNDS):
            ids = [f"{number}-{name}" for name in ENDS]
            for request in (
                enqueue("q", *ids, size=3000),
                enqueue("later", f"{number}", size=300, delay=3600),
            ):
                channel.call(request)
                asked[request.rid] = {call.id: "there" for call in request.calls}
            claimed = channel.call(Claim(queues=["q"], n=3, wait=0)).messages
            settle = Settle(outcomes=[outcome(message) for message in claimed])
            channel.call(settle)
            asked[settle.rid] = dict(zip(ids, ENDS, strict=True))
        send(int((broker.directory / "lock").read_text()), signal.SIGTERM)
        assert broker.wait() == 0
        return Recording(base, list(read_trace(broker.trace.read_text())), asked)
    finally:
        broker.close()


def outcome(message: Delivered) -> Outcome:
    error = ErrorInfo("builtins.ValueError", "no")
    match message.id.partition("-")[2]:
        case "succeeded":
            return Ack(message.receipt, message.id, b"result")
        case "scheduled":
            return Fail(message.receipt, message.id, error, delay=3600)
        case _:
            return Fail(message.receipt, message.id, error, final=True)


def answered(event: Event) -> int | None:
    """The id of the request that the broker answers with this event; it has one client."""
    if event.call == "sendto" and (b"Enqueued" in event.data or b"Settled" in event.data):
        _, rid, *_ = msgspec.msgpack.decode(event.data[4:])
        return int(rid)
    return None


def moments(events: list[Event], dice: random.Random) -> set[int]:
    """The events after which the power is lost: all of them, or as many as a normal run looks at."""
    return set(range(len(events)) if LONG else dice.sample(range(len(events)), 150))


@pytest.mark.parametrize("seed", range(5 if LONG else 1))
def test_01_02_power_loss_keeps_what_was_acknowledged(
    recording: tuple[str, Recording], scratch: Path, seed: int
) -> None:
    durability, tape = recording
    dice = random.Random(seed)
    looked_at = moments(tape.events, dice)
    disk, promised, kept = Disk(tape.base), set[int](), set[int]()
    for number, event in enumerate(tape.events):
        disk.apply(event)
        if (rid := answered(event)) is not None:
            promised.add(rid)
        if number in looked_at:
            for keep in (lambda: False, part(dice)):
                with left_after(disk.after_power_loss(keep), tape.base, scratch) as directory:
                    there = requests_in(directory, durability, tape.asked)
                place = f"seed {seed}, event {number}: {event.call} {event.path}"
                assert there == list(tape.asked)[: len(there)], f"not a prefix: {place}"
                if durability == "fsync":
                    assert promised <= set(there), f"acknowledged and lost: {place}"
                kept |= set(there)
    assert promised == set(tape.asked)
    assert len(kept) > len(promised) * 0.9


def test_01_a_broker_starts_on_what_a_power_loss_has_left(
    recording: tuple[str, Recording], scratch: Path
) -> None:
    durability, tape = recording
    moment = random.Random(7).randrange(len(tape.events) // 2, len(tape.events))
    disk, promised = Disk(tape.base), set[int]()
    for event in tape.events[:moment]:
        disk.apply(event)
        if (rid := answered(event)) is not None:
            promised.add(rid)
    broker = TracedBroker(scratch, durability)
    with left_after(disk.after_power_loss(lambda: False), tape.base, scratch):
        try:
            broker.start()
            channel = broker.connect()
            for rid in promised if durability == "fsync" else ():
                assert all(states(channel, id) for id in tape.asked[rid])
            assert channel.call(enqueue("q", "after")).existing == []
        finally:
            broker.close()


def test_01_each_acknowledgement_follows_a_sync_of_the_log(
    recording: tuple[str, Recording],
) -> None:
    durability, tape = recording
    synced, counted = 0, []
    for event in tape.events:
        if event.call == "recvfrom" and (b"Enqueue" in event.data or b"Settle" in event.data):
            synced = 0
        elif event.call in ("fsync", "fdatasync") and event.path.endswith("journal.db-wal"):
            synced += 1
        elif answered(event) is not None:
            counted.append(synced)
    assert len(counted) == len(tape.asked)
    if durability == "fsync":
        assert min(counted) == 1
        assert sorted(counted)[len(counted) // 2] == 1  # one, but where the log is folded as well
    else:
        assert sorted(counted)[len(counted) * 3 // 4] == 0  # none, but where the log is folded


# --- what is left -------------------------------------------------------------------------------


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory, where there is one: the real disk has no part in this."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="tq", dir=memory if memory.is_dir() else None))
    yield path
    shutil.rmtree(path)


@contextmanager
def left_after(files: dict[str, bytes | None], base: Path, scratch: Path) -> Iterator[Path]:
    """The broker directory as the power loss has left it."""
    put(files, base, scratch)
    try:
        yield scratch / "broker"
    finally:
        shutil.rmtree(scratch / "broker", ignore_errors=True)


def requests_in(directory: Path, durability: str, asked: dict[int, dict[str, str]]) -> list[int]:
    """The requests whose effects are in that journal. Each must be there as a whole or not at all."""
    if not (directory / "journal.db").exists():
        return []
    engine = load(directory, durability)
    found = []
    for rid, ends in asked.items():
        arrived = [
            (state := state_of(engine, id)) == end or (end == "there" and state != "")
            for id, end in ends.items()
        ]
        assert all(arrived) or not any(arrived), f"a part of request {rid}"
        if all(arrived):
            found.append(rid)
    return found


def state_of(engine: Engine, id: str) -> str:
    """The state of a message; empty where it is not known."""
    entry = engine.ledger.results.entry(id)
    if entry is not None:
        return State(entry.state).label
    message = engine.ledger.messages.get(id)
    return message.deliveries[0].state.label if message else ""

"""One message's way through the real parts in a single process, with a stopwatch at every stage.

No sockets and no other process: what these cost is measured by itself, as an echo through a pipe.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from os import urandom
from pathlib import Path
from time import perf_counter
from typing import Any

from taskq.broker.host import Host
from taskq.client.task import Task
from taskq.clock import Clock
from taskq.codec.ref import CallRef
from taskq.engine.changes import Changes
from taskq.engine.engine import Engine
from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.base import Request
from taskq.protocol.consuming import Claim, Claimed, Register, Settle
from taskq.protocol.frames import (
    MAX_REPLY,
    AnyReply,
    FrameReader,
    append,
    decode_reply,
    decode_request,
    encode,
)
from taskq.protocol.producing import Wait, Waited
from taskq.protocol.values import Call
from taskq.worker.runtime.limits import SignalAlarm
from taskq.worker.runtime.processor import Processor
from taskq.worker.runtime.slot import Slot

SIGN = "client: encode and sign the call"
CLIENT_FRAMES = "client: frames out and in"
DECODE = "broker: cut and decode the requests"
ENGINE = "broker: engine"
COMMIT = "broker: commit"
REPLIES = "broker: encode the replies"
WORKER_FRAMES = "worker: frames out and in"
RUN = "worker: verify, load, run, encode and sign the result"
LOAD = "client: verify and load the result"
STAGES = (SIGN, CLIENT_FRAMES, DECODE, ENGINE, COMMIT, REPLIES, WORKER_FRAMES, RUN, LOAD)

CLIENT, WORKER = 1, 2  # sessions
FRAMES = {CLIENT: CLIENT_FRAMES, WORKER: WORKER_FRAMES}


class Stopwatch:
    """Adds the time since the last look to a stage; one sample of each stage a round."""

    def __init__(self) -> None:
        self._rounds: list[dict[str, float]] = []
        self._round: dict[str, float] = defaultdict(float)
        self._last = perf_counter()

    def start(self) -> None:
        """From now on time counts."""
        self._last = perf_counter()

    def lap(self, stage: str, without: float = 0.0) -> None:
        """The time since the last look belongs to `stage`, but for `without` seconds of it."""
        now = perf_counter()
        self._round[stage] += now - self._last - without
        self._last = perf_counter()

    def add(self, stage: str, seconds: float) -> None:
        """Count some seconds by hand."""
        self._round[stage] += seconds

    def end_round(self) -> None:
        """One message, or one batch, is through."""
        self._rounds.append(self._round)
        self._round = defaultdict(float)

    def forget(self) -> None:
        """Drop what was measured of this round."""
        self._round = defaultdict(float)

    def forget_all(self) -> None:
        """Begin again."""
        self._rounds = []
        self.forget()

    def typical(self) -> dict[str, float]:
        """The median seconds of each stage."""
        return self._of_each(statistics.median)

    def average(self) -> dict[str, float]:
        """The mean seconds of each stage; the outliers count, as they do for a rate."""
        return self._of_each(statistics.mean)

    def _of_each(self, of: Any) -> dict[str, float]:
        names = [name for name in STAGES if any(name in each for each in self._rounds)]
        return {name: of(each.get(name, 0.0) for each in self._rounds) for name in names}


class _TimedJournal(SqliteJournal):
    """The journal, with the time that its commits take."""

    spent = 0.0

    def commit(self, changes: Changes) -> None:
        began = perf_counter()
        super().commit(changes)
        self.spent += perf_counter() - began


class Circuit:
    """Client, broker and worker in one process, on a journal of their own with fsync.

    Args:
        task: of a queue whose payload key can be read.
        directory: where the journal is made.
    """

    def __init__(self, task: Task[[int], int], directory: Path) -> None:
        self.watch = Stopwatch()
        self._task = task
        self._journal = _TimedJournal(directory / "journal.db")
        engine, clock = Engine(), Clock()
        self._journal.load(engine, clock.now())  # it also writes the log out, as for any broker
        self._host = Host(engine, self._journal, clock)
        self._reader = FrameReader()
        self._frames: dict[int, bytearray] = {}
        self._watches = 0
        self._rid = 0
        alarm = SignalAlarm()
        self._processor = Processor(task.app, "bench", Slot(), alarm, lambda: None)
        self._say(
            WORKER,
            Register(worker="bench", consumer="bench", group="default", queues=[task.queue]),
        )
        self._hear(WORKER)
        self.watch.forget()

    def close(self) -> None:
        """Close the journal."""
        self._host.close()

    # --- whole ways ---------------------------------------------------------------------------

    def enqueue(self, count: int) -> list[str]:
        """Enqueue `count` calls in one request; returns their ids."""
        watch = self.watch
        watch.start()
        ids = [urandom(12).hex() for _ in range(count)]
        calls = [Call(id, self._task.encode(id, (-1,))) for id in ids]
        request = self._task.request(calls)
        watch.lap(SIGN)
        self._say(CLIENT, request)
        self._hear(CLIENT)
        return ids

    def park(self) -> None:
        """Let the worker ask for one message, before there is one; not measured."""
        self._say(WORKER, self._claim(1))
        self.watch.forget()

    def call_and_result(self) -> None:
        """One call, from the producer to its result, with a worker that waits for it."""
        (id,) = self.enqueue(1)
        self._watches += 1
        self._say(CLIENT, Wait(watch=self._watches, add=[id], wait=2.0))
        self.turn(1)
        (waited,) = self._hear(CLIENT)
        assert isinstance(waited, Waited)
        call = CallRef(self._task.queue, id, self._task.name)
        self._task.app.codec.decode_result(call, waited.finished[0].value)
        self.watch.lap(LOAD)

    def claim(self, count: int) -> None:
        """Let the worker ask for up to `count` ready messages; not measured."""
        self._say(WORKER, self._claim(count))
        self.watch.forget()

    def turn(self, count: int) -> None:
        """Run what the worker was given, settle it, and ask for more in the same frame."""
        watch, run = self.watch, self._processor.run
        watch.start()
        *_, claimed = self._hear(WORKER)
        assert isinstance(claimed, Claimed)
        outcomes = [outcome for message in claimed.messages if (outcome := run(message))]
        assert len(outcomes) == count
        watch.lap(RUN)
        self._say(WORKER, Settle(outcomes=outcomes), self._claim(count))

    def _claim(self, count: int) -> Claim:
        return Claim(queues=[self._task.queue], n=count, wait=30.0)

    # --- one tick -----------------------------------------------------------------------------

    def _say(self, session: int, *requests: Request[Any]) -> None:
        """Carry requests to the broker; one tick; the replies lie ready for `_hear`."""
        watch, host, journal = self.watch, self._host, self._journal
        for request in requests:
            self._rid = request.rid = self._rid + 1
        watch.start()
        data = b"".join([encode(request) for request in requests])
        watch.lap(FRAMES[session])
        decoded = [decode_request(body) for body in self._reader.feed(data)]
        watch.lap(DECODE)
        before = journal.spent
        host.begin()
        for request in decoded:
            host.apply(session, request)
        replies = host.commit()
        spent = journal.spent - before
        watch.lap(ENGINE, without=spent)
        watch.add(COMMIT, spent)
        for to, reply in replies:
            append(self._frames.setdefault(to, bytearray()), reply)
        watch.lap(REPLIES)

    def _hear(self, session: int) -> list[AnyReply]:
        """Take and decode what the broker has said to a session."""
        self.watch.start()
        data = bytes(self._frames.pop(session, b""))
        replies = [decode_reply(body) for body in FrameReader(MAX_REPLY).feed(data)]
        self.watch.lap(FRAMES[session])
        return replies

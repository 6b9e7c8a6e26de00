"""The host's time: what counts as a pause, and what does not."""

from __future__ import annotations

from taskq.broker.host import Host
from taskq.engine.engine import Engine
from taskq.journal.none import NoJournal
from taskq.protocol.consuming import Claim, Register
from taskq.protocol.operating import Control
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from tests.kit.clock import ManualClock

WORKER, PRODUCER = 1, 2
MANY = 20_000
COMMIT = 0.03  # seconds, on a disk


class SlowJournal(NoJournal):
    """Takes the time of a disk, by the clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    def commit(self, changes: object) -> None:
        self.clock.time += COMMIT


def test_leases_end_while_slice_follows_slice() -> None:
    clock = ManualClock()
    host = Host(Engine(), SlowJournal(clock), clock)
    ledger = host.engine.ledger

    def tick() -> None:
        host.commit()
        host.next_deadline()
        host.begin()

    host.apply(WORKER, Register(worker="w", consumer="c", group="default", queues=["q"]))
    for queue, count in (("q", 1), ("big", MANY)):
        calls = [Call(f"{queue}{number}", b"") for number in range(count)]
        host.apply(PRODUCER, Enqueue(queue=queue, task="t", options=Options(), calls=calls))
    host.apply(WORKER, Claim(queues=["q"], n=1))
    tick()
    assert ledger.leases
    host.disconnect(WORKER)
    host.apply(PRODUCER, Control(queue="big", action="purge"))
    while ledger.operations.running:
        tick()
        if not ledger.leases:
            return
    raise AssertionError("the lease of a lost worker lasted as long as the purge")

"""Leases: settled by a consumer, lost with it, released, expired, or extended."""

from __future__ import annotations

from math import isfinite

from taskq.engine.handlers import Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP, Delivery
from taskq.engine.result import Entry
from taskq.engine.sessions import Session
from taskq.engine.states import Event, State
from taskq.engine.tick import Tick
from taskq.errors import LeaseLost
from taskq.protocol.base import Done
from taskq.protocol.consuming import Extend, Report, Settle, Settled
from taskq.protocol.values import Abandon, Ack, ErrorInfo, Fail, Outcome, Release, Stop

MAX_ERRORS = 20  # attempts whose errors are kept; the latest ones


def settle(ledger: Ledger, session: Session, request: Settle, tick: Tick) -> Settled:
    """Carry out the outcomes of finished deliveries."""
    rejected = []
    leases, now = ledger.leases, tick.now
    for outcome in request.outcomes:
        delivery = leases.get(outcome.receipt)
        if delivery is not None and type(outcome) is Ack and delivery.message.id == outcome.id:
            ledger.end_lease(delivery)
            ledger.finish(delivery, Event.ACK, now, outcome.value)
        elif not settle_one(ledger, outcome, tick):
            rejected.append(outcome.receipt)
    return Settled(rejected=rejected)


def settle_one(ledger: Ledger, outcome: Outcome, tick: Tick) -> bool:
    """Carry out one outcome; False when its receipt is stale, and then nothing is changed.

    The same outcome sent twice, because the first reply was lost, is accepted twice.
    """
    delivery = ledger.leases.get(outcome.receipt)
    if delivery is None or delivery.message.id != outcome.id:
        return _settled_before(ledger, outcome)
    ledger.end_lease(delivery)
    if isinstance(outcome, Ack):
        ledger.finish(delivery, Event.ACK, tick.now, value=outcome.value)
    elif isinstance(outcome, Fail):
        fail(ledger, delivery, outcome.error, tick, outcome.final, outcome.delay)
    elif isinstance(outcome, Release):
        release(ledger, delivery, tick.now, Event.PARK if outcome.unknown else Event.RELEASE)
    elif isinstance(outcome, Abandon):
        ledger.finish(delivery, Event.CANCEL, tick.now)
    return True


def _settled_before(ledger: Ledger, outcome: Outcome) -> bool:
    ends: list[Delivery | Entry] = []
    for message in ledger.named(outcome.id):
        ends += message.deliveries
    result = ledger.results.entry(outcome.id)
    if result is not None:
        ends.append(result)
    return any(
        end.receipt == outcome.receipt
        and (end.state == State.SUCCEEDED) == isinstance(outcome, Ack)
        for end in ends
    )


def fail(
    ledger: Ledger,
    delivery: Delivery,
    error: ErrorInfo,
    tick: Tick,
    final: bool = False,
    delay: float | None = None,
) -> None:
    """End a failed attempt: schedule the next one, or move the delivery to the dead letters."""
    options = delivery.message.spec.options
    error.attempt = delivery.attempt
    delivery.failures += 1
    delivery.suspect = False
    delivery.group.failed += 1
    ledger.changes.put[GROUP][delivery.group] = None
    if delivery.consumer is not None:
        delivery.consumer.worker.finished += 1
    error.at = tick.now
    _remember(delivery, error)
    if delivery.cancelling:
        ledger.finish(delivery, Event.CANCEL, tick.now, error=error)
    elif final or delivery.failures > options.retries:
        ledger.bury(delivery)
    else:
        if delay is None or not isfinite(delay):
            delay = options.backoff.delay(delivery.failures, tick.jitter())
        ledger.schedule(delivery, Event.RETRY, tick.now + max(delay, 0.0))


def release(ledger: Ledger, delivery: Delivery, now: float, event: Event) -> None:
    """Return a delivery to its queue as if it had never been leased (RELEASE, PARK)."""
    if delivery.cancelling:
        ledger.finish(delivery, Event.CANCEL, now)
        return
    ledger.move(delivery, event)
    ledger.place(delivery)
    ledger.rearm_expiry(delivery.message)


def lease_lost(ledger: Ledger, delivery: Delivery, reason: str, now: float) -> None:
    """End the lease of a lost consumer: deliver again, or, the last time, to the dead letters."""
    delivery.group.failed += 1
    ledger.changes.put[GROUP][delivery.group] = None
    worker = delivery.consumer.worker.name if delivery.consumer else ""
    error = ErrorInfo("WorkerLost", reason, attempt=delivery.attempt, at=now, worker=worker)
    _remember(delivery, error)
    delivery.deaths += 1
    if delivery.cancelling:
        ledger.finish(delivery, Event.CANCEL, now, error=error)
    elif delivery.deaths >= delivery.message.spec.options.max_deliveries:
        ledger.bury(delivery)
    else:
        ledger.move(delivery, Event.LAPSE)
        ledger.place(delivery)


def _remember(delivery: Delivery, error: ErrorInfo) -> None:
    """Keep the error of one attempt; the oldest is dropped past `MAX_ERRORS`."""
    kept = delivery.errors or []
    delivery.errors = [*kept[-(MAX_ERRORS - 1) :], error]


def stop_of(delivery: Delivery) -> Stop:
    """The `Stop` of a leased delivery that is cancelled, for the worker that has it."""
    assert delivery.consumer is not None
    return Stop(delivery.receipt, delivery.consumer.name, delivery.cancelling == 2)


def extend(ledger: Ledger, session: Session, request: Extend, tick: Tick) -> Done:
    """Carry out `Extend`: make one lease last longer than its next renewal would."""
    delivery = leased(ledger, request.receipt, request.id)
    delivery.extended_to = max(delivery.extended_to, tick.now - ledger.paused + request.seconds)
    return Done(count=1)


def report(ledger: Ledger, session: Session, request: Report, tick: Tick) -> Done:
    """Carry out `Report`: keep the progress of a task, in memory only."""
    leased(ledger, request.receipt, request.id).progress = request.progress
    return Done(count=1)


def leased(ledger: Ledger, receipt: int, id: str) -> Delivery:
    """The delivery of that receipt and id. Raises `LeaseLost`."""
    delivery = ledger.leases.get(receipt)
    if delivery is None or delivery.message.id != id:
        raise LeaseLost(f"receipt {receipt} is stale: the message was delivered again or has ended")
    return delivery


HANDLERS: Handlers = {Settle: settle, Extend: extend, Report: report}

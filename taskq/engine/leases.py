"""How a lease ends: settled by its consumer, lost with it, or run out."""

from __future__ import annotations

from functools import partial
from math import inf, isfinite

from taskq.engine.consumers import GRACE, Consumer, Worker
from taskq.engine.ledger import Ledger
from taskq.engine.message import Delivery
from taskq.engine.results import Result
from taskq.engine.states import Event, State
from taskq.engine.timers import Alarm
from taskq.protocol.values import Abandon, Ack, ErrorInfo, Fail, Outcome, Release, Stop


def worker_named(ledger: Ledger, name: str, now: float) -> Worker:
    """The worker of that name, made where it is new."""
    worker = ledger.workers.get(name)
    if worker is None:
        worker = ledger.workers[name] = Worker(name, now)
        worker.alarm = Alarm(ledger.timers, partial(_look_after, ledger, worker))
    return worker


def consumer_named(worker: Worker, name: str) -> Consumer:
    """The consumer of that name, made where it is new."""
    consumer = worker.consumers.get(name)
    if consumer is None:
        consumer = worker.consumers[name] = Consumer(name, worker)
    return consumer


def settle(ledger: Ledger, outcome: Outcome, now: float, draw: float) -> bool:
    """Carry out one outcome; False when its receipt is stale, and then nothing is changed.

    The same outcome sent twice, because the first reply was lost, is accepted twice.
    """
    delivery = ledger.leases.get(outcome.receipt)
    if delivery is None or delivery.message.id != outcome.id:
        return _settled_before(ledger, outcome)
    ledger.end_lease(delivery)
    if isinstance(outcome, Ack):
        ledger.finish(delivery, Event.ACK, now, value=outcome.value)
    elif isinstance(outcome, Fail):
        fail(ledger, delivery, outcome.error, now, draw, outcome.final, outcome.delay)
    elif isinstance(outcome, Release):
        hand_back(ledger, delivery, now, Event.PARK if outcome.unknown else Event.RELEASE)
    elif isinstance(outcome, Abandon):
        ledger.finish(delivery, Event.CANCEL, now)
    return True


def _settled_before(ledger: Ledger, outcome: Outcome) -> bool:
    message = ledger.messages.get(outcome.id)
    result = ledger.results.get(outcome.id)
    ends: list[Delivery | Result] = [*message.deliveries] if message is not None else []
    if result is not None:
        ends.append(result)
    return any(
        end.receipt == outcome.receipt
        and (end.state is State.SUCCEEDED) == isinstance(outcome, Ack)
        for end in ends
    )


def fail(
    ledger: Ledger,
    delivery: Delivery,
    error: ErrorInfo,
    now: float,
    draw: float,
    final: bool = False,
    delay: float | None = None,
) -> None:
    """An attempt has failed: another one later, or the dead letters."""
    options = delivery.message.spec.options
    delivery.failures += 1
    delivery.group.failed += 1
    ledger.changes.groups[delivery.group] = None
    if delivery.consumer is not None:
        delivery.consumer.worker.finished += 1
    error.attempt = delivery.claims
    error.at = now
    delivery.add_error(error)
    if delivery.cancelling:
        ledger.finish(delivery, Event.CANCEL, now, error=error)
    elif final or delivery.failures > options.retries:
        ledger.bury(delivery)
    else:
        if delay is None or not isfinite(delay):
            delay = options.backoff.delay(delivery.failures, draw)
        ledger.schedule(delivery, Event.RETRY, now + max(delay, 0.0))


def hand_back(ledger: Ledger, delivery: Delivery, now: float, event: Event) -> None:
    """A delivery comes back unspent (RELEASE, PARK): as if it had never been handed out."""
    if delivery.cancelling:
        ledger.finish(delivery, Event.CANCEL, now)
        return
    delivery.claims -= 1
    ledger.move(delivery, event)
    ledger.place(delivery)
    expires_at = delivery.message.expires_at
    if expires_at is not None and expires_at <= now:  # else its timer is still to fire
        ledger.arm_expiry(delivery.message)


def lose(ledger: Ledger, delivery: Delivery, reason: str, now: float) -> None:
    """The consumer was lost with the delivery in hand: again, or, the last time, the dead letters."""
    delivery.group.failed += 1
    ledger.changes.groups[delivery.group] = None
    worker = delivery.consumer.worker.name if delivery.consumer else ""
    error = ErrorInfo("WorkerLost", reason, attempt=delivery.claims, at=now, worker=worker)
    delivery.add_error(error)
    lost = delivery.claims - delivery.failures
    if delivery.cancelling:
        ledger.finish(delivery, Event.CANCEL, now, error=error)
    elif lost >= delivery.message.spec.options.max_deliveries:
        ledger.bury(delivery)
    else:
        ledger.move(delivery, Event.LAPSE)
        ledger.place(delivery)


def disconnected(worker: Worker, now: float) -> None:
    """The worker's last connection has closed: unless it returns, its leases end after a grace."""
    worker.gone_at = now
    if now + GRACE < worker.alarm.when:
        worker.alarm.set(now + GRACE)


def remind(worker: Worker) -> None:
    """Tell a worker on a new connection again what shall stop: the first word may be lost."""
    held = [d for consumer in worker.consumers.values() for d in consumer.leases.values()]
    worker.stops = [stop_of(delivery) for delivery in held if delivery.cancelling]
    worker.news = bool(worker.stops)


def stop_of(delivery: Delivery) -> Stop:
    """What the worker is told of a delivery that is cancelled while a consumer has it."""
    assert delivery.consumer is not None
    return Stop(delivery.receipt, delivery.consumer.name, delivery.cancelling == 2)


def returned(worker: Worker) -> None:
    """The worker is connected (again)."""
    worker.gone_at = inf


def dismiss(ledger: Ledger, worker: Worker) -> None:
    """Forget a worker that holds nothing and is not connected."""
    for consumer in worker.consumers.values():
        unsubscribe(consumer)
    if ledger.workers.get(worker.name) is worker:  # not its successor of the same name
        del ledger.workers[worker.name]
    worker.alarm.set(inf)


def unsubscribe(consumer: Consumer) -> None:
    """The consumer no longer counts as one of its groups."""
    for group in consumer.queues:
        group.consumers.discard(consumer)
    consumer.queues = ()


def _look_after(ledger: Ledger, worker: Worker, now: float) -> None:
    """End the leases of a worker that have run out; the worker's alarm rings here."""
    again = inf
    gone = worker.gone_at + GRACE <= now
    reason = "its connections were closed" if gone else "its lease ran out"
    for consumer in list(worker.consumers.values()):
        for delivery in list(consumer.leases.values()):
            ends = worker.lease_ends(delivery)
            if ends <= now:
                worker.silent = True
                ledger.revoke(delivery)
                lose(ledger, delivery, f"worker {worker.name} was lost: {reason}", now)
            else:
                again = min(again, ends)
    if gone:
        dismiss(ledger, worker)
    elif again < inf:
        worker.alarm.set(again)
    elif not worker.sessions and worker.gone_at == inf:
        dismiss(ledger, worker)  # the journal remembered it, and it has never come back
    elif worker.gone_at < inf:
        worker.alarm.set(worker.gone_at + GRACE)

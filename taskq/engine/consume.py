"""Requests of workers: register, claim, settle, heartbeat, reap, leave, extend, report."""

from __future__ import annotations

from math import inf

from taskq.engine import leases
from taskq.engine.consumers import Consumer, ParkedClaim, ParkedHeartbeat, Session, Worker
from taskq.engine.group import Group
from taskq.engine.ledger import Ledger
from taskq.engine.message import Delivery
from taskq.engine.produce import REPLY_BYTES
from taskq.engine.states import Event, State
from taskq.errors import LeaseLost, UnknownConsumer
from taskq.protocol.base import Done
from taskq.protocol.consuming import (
    Claim,
    Claimed,
    Extend,
    Heartbeat,
    HeartbeatReply,
    Leave,
    Reap,
    Register,
    Report,
    Settle,
    Settled,
)
from taskq.protocol.values import Delivered, ErrorInfo


def register(ledger: Ledger, session: Session, request: Register, now: float, draw: float) -> Done:
    """Make this connection a consumer, and release what it no longer knows to hold."""
    worker = _attach(ledger, session, request.worker, now)
    consumer = leases.consumer_named(worker, request.consumer)
    leases.unsubscribe(consumer)
    if consumer.session is not session:
        retire(consumer)
        if session.consumer is not None:
            leases.unsubscribe(session.consumer)
            retire(session.consumer)
        consumer.session = session
        session.consumer = consumer
    consumer.tasks = None if request.tasks is None else frozenset(request.tasks)
    consumer.group = request.group
    consumer.queues = tuple(ledger.group(name, request.group) for name in request.queues)
    for group in consumer.queues:
        group.consumers.add(consumer)
    holding = set(request.holding)
    lost = [d for receipt, d in list(consumer.leases.items()) if receipt not in holding]
    for delivery in lost:
        ledger.revoke(delivery)
        leases.hand_back(ledger, delivery, now, Event.RELEASE)
    return Done(count=len(lost))


def _attach(ledger: Ledger, session: Session, name: str, now: float) -> Worker:
    worker = leases.worker_named(ledger, name, now)
    if session.worker is not worker:
        if session.worker is not None:
            _detach(session.worker, now)
        session.worker = worker
        worker.sessions += 1
    leases.returned(worker)
    return worker


def retire(consumer: Consumer) -> None:
    """The consumer no longer claims through its session: that one is old, or it is dead."""
    if consumer.session is not None:
        withdraw(consumer.session)
        consumer.session.consumer = None
        consumer.session = None


def claim(
    ledger: Ledger, session: Session, request: Claim, now: float, draw: float
) -> Claimed | None:
    """Hand out what is ready, or park."""
    consumer = session.consumer
    if consumer is None:
        raise UnknownConsumer("a connection must register before it claims")
    _heard(ledger, consumer.worker)
    withdraw(session)
    groups = [ledger.group(name, consumer.group) for name in request.queues]
    messages = take(ledger, consumer, groups, request.n, now)
    if messages or request.wait <= 0:
        return Claimed(
            messages=messages, drained=not messages and all(group.is_drained for group in groups)
        )
    parked = ParkedClaim(session, consumer, request.rid, groups, request.n, now + request.wait)
    session.claim = parked
    for group in groups:
        group.claims[parked] = None
    if parked.deadline < session.alarm.when:
        session.alarm.set(parked.deadline)
    return None


def withdraw(session: Session) -> None:
    """Forget the session's parked claim."""
    parked, session.claim = session.claim, None
    if parked is not None:
        for group in parked.groups:
            group.claims.pop(parked, None)


def take(
    ledger: Ledger, consumer: Consumer, groups: list[Group], n: int, now: float
) -> list[Delivered]:
    """Lease up to `n` deliveries, from the first group that has some, then from the next; fewer
    where they are large: one reply carries them all.

    One that has been lost with a worker before is dealt out alone: if it kills again, it takes
    nothing with it.
    """
    taken: list[Delivered] = []
    size = 0
    if n < 1:
        return taken
    for group in groups:
        if not group.has_work:
            continue
        for delivery in group.next_for(consumer):
            message = delivery.message
            expires_at = message.expires_at
            if expires_at is not None and expires_at <= now and not delivery.started:
                ledger.finish(delivery, Event.EXPIRE, now)
                continue
            if not (message.spec.options.carries_code or consumer.knows(message.spec.task)):
                ledger.move(delivery, Event.PARK)
                ledger.place(delivery)
                continue
            suspect = delivery.claims > delivery.failures
            if suspect and taken:
                group.put_back(delivery)
                return taken
            ledger.lease(delivery, consumer, now)
            taken.append(_delivered(delivery))
            size += len(message.payload)
            if message.spec.options.ack_early:
                ledger.end_lease(delivery)
                ledger.finish(delivery, Event.ACK, now)
            if suspect or len(taken) >= n or size >= REPLY_BYTES:
                return taken
    return taken


def _delivered(delivery: Delivery) -> Delivered:
    message = delivery.message
    spec = message.spec
    options = spec.options
    return Delivered(
        delivery.receipt,
        message.id,
        spec.queue,
        spec.task,
        message.payload,
        delivery.claims,
        options.timeout,
        options.lease,
        options.ack_early,
    )


def serve_parked(ledger: Ledger, group: Group, now: float) -> list[tuple[ParkedClaim, Claimed]]:
    """Give what has become ready to the claims that wait for it, in equal shares."""
    answered = []
    waiting = [parked for parked in group.claims if not parked.consumer.worker.silent]
    for position, parked in enumerate(waiting):
        if not group.has_work:
            break
        ready = max(group.counts[State.READY], 1)  # or there is one that was parked
        share = -(-ready // (len(waiting) - position))
        messages = take(ledger, parked.consumer, parked.groups, min(parked.n, share), now)
        if messages:
            withdraw(parked.session)
            answered.append((parked, Claimed(messages=messages)))
    return answered


def settle(ledger: Ledger, session: Session, request: Settle, now: float, draw: float) -> Settled:
    """Carry out the outcomes of finished deliveries."""
    rejected = [
        outcome.receipt
        for outcome in request.outcomes
        if not leases.settle(ledger, outcome, now, draw)
    ]
    return Settled(rejected=rejected)


def heartbeat(
    ledger: Ledger, session: Session, request: Heartbeat, now: float, draw: float
) -> None:
    """Renew the leases of a worker, and park until there is news for it."""
    old = session.worker
    worker = _attach(ledger, session, request.worker, now)
    if worker is not old:
        leases.remind(worker)
    _heard(ledger, worker)
    worker.info = request.info
    worker.seen_at = now
    deadline = now + min(request.wait, worker.renew_in)
    worker.heartbeat = ParkedHeartbeat(session, request.rid, deadline)
    if worker.news or request.wait <= 0:
        ledger.newsworthy[worker] = None
    elif deadline < session.alarm.when:
        session.alarm.set(deadline)


def _heard(ledger: Ledger, worker: Worker) -> None:
    """A worker that had fallen silent lives: what its consumers wait for may be given again."""
    if not worker.silent:
        return
    worker.silent = False
    for consumer in worker.consumers.values():
        if consumer.session is not None and consumer.session.claim is not None:
            for group in consumer.session.claim.groups:
                ledger.awake[group] = None


def attend(worker: Worker) -> HeartbeatReply:
    """The answer to a worker's parked heartbeat."""
    reply = HeartbeatReply(renew_in=worker.renew_in, stop=worker.stops)
    worker.stops, worker.news = [], False
    assert worker.heartbeat is not None
    reply.rid = worker.heartbeat.rid
    worker.heartbeat = None
    return reply


def reap(ledger: Ledger, session: Session, request: Reap, now: float, draw: float) -> Done:
    """A consumer is dead: what it was running is lost, what it had not begun comes back."""
    worker = ledger.workers.get(request.worker)
    consumer = worker.consumers.pop(request.consumer, None) if worker is not None else None
    if worker is None or consumer is None:
        return Done()
    leases.unsubscribe(consumer)
    retire(consumer)
    held = list(consumer.leases.items())
    for receipt, delivery in held:
        ledger.revoke(delivery)
        if receipt not in request.running:
            leases.hand_back(ledger, delivery, now, Event.RELEASE)
        elif request.cancelled:
            ledger.finish(delivery, Event.CANCEL, now)
        elif request.timed_out:
            error = ErrorInfo("TaskTimeout", request.reason, worker=worker.name)
            leases.fail(ledger, delivery, error, now, draw)
        else:
            leases.lose(ledger, delivery, request.reason, now)
    return Done(count=len(held))


def leave(ledger: Ledger, session: Session, request: Leave, now: float, draw: float) -> Done:
    """A worker ends in good order."""
    worker = ledger.workers.get(request.worker)
    if worker is None:
        return Done()
    held = [d for consumer in worker.consumers.values() for d in consumer.leases.values()]
    for delivery in held:
        ledger.revoke(delivery)
        leases.hand_back(ledger, delivery, now, Event.RELEASE)
    for consumer in worker.consumers.values():
        retire(consumer)
    leases.dismiss(ledger, worker)
    return Done(count=len(held))


def extend(ledger: Ledger, session: Session, request: Extend, now: float, draw: float) -> Done:
    """Make one lease last longer than its next renewal would."""
    delivery = _leased(ledger, request.receipt)
    delivery.extended_to = max(delivery.extended_to, now + request.seconds)
    return Done(count=1)


def report(ledger: Ledger, session: Session, request: Report, now: float, draw: float) -> Done:
    """Remember how far a task says it is; kept in memory only."""
    _leased(ledger, request.receipt).progress = request.progress
    return Done(count=1)


def _leased(ledger: Ledger, receipt: int) -> Delivery:
    delivery = ledger.leases.get(receipt)
    if delivery is None:
        raise LeaseLost(f"receipt {receipt} is stale: the message was delivered again or has ended")
    return delivery


def disconnect(session: Session, now: float) -> None:
    """A connection has closed: its parked requests go; its leases stay, for now."""
    if session.consumer is not None:
        leases.unsubscribe(session.consumer)
        retire(session.consumer)
    worker = session.worker
    if worker is not None:
        if worker.heartbeat is not None and worker.heartbeat.session is session:
            worker.heartbeat = None
        _detach(worker, now)


def _detach(worker: Worker, now: float) -> None:
    worker.sessions -= 1
    if worker.sessions == 0:
        leases.disconnected(worker, now)


def overdue(session: Session, now: float) -> tuple[ParkedClaim | None, float]:
    """The session's parked claim if its time is over, and the next deadline of the session."""
    parked = session.claim
    if parked is None:
        return None, inf
    if parked.deadline <= now:
        withdraw(session)
        return parked, inf
    return None, parked.deadline

"""Claims: lease ready messages to the consumers that ask, at once or when there are some."""

from __future__ import annotations

from taskq.engine.handlers import REPLY_BYTES, Handlers, ParkedKinds
from taskq.engine.heartbeats import heard, tell_unknown
from taskq.engine.ledger import Ledger
from taskq.engine.model import Consumer, Delivery, Group, ParkedClaim
from taskq.engine.sessions import Session
from taskq.engine.states import Event, State
from taskq.engine.tick import Tick
from taskq.engine.workers import supersede, withdraw
from taskq.errors import UnknownConsumer
from taskq.protocol.consuming import Claim, Claimed
from taskq.protocol.values import Delivered

MOST = 1000  # messages of one claim
LOOK = 100  # messages that a claim looks at beyond those that it takes


def claim(ledger: Ledger, session: Session, request: Claim, tick: Tick) -> Claimed | None:
    """Hand out what is ready, or park."""
    consumer = ledger.registered.get(session)
    if consumer is None:
        raise UnknownConsumer("a connection must register before it claims")
    heard(ledger, consumer.worker)
    if consumer.claim is not None:  # a consumer asks once at a time
        supersede(ledger, consumer)
    groups = [ledger.group(name, consumer.group) for name in request.queues]
    messages = take(ledger, consumer, groups, request.n, tick.now)
    if messages or request.wait <= 0:
        drained = not messages and all(
            group.is_drained and group not in ledger.groups_to_serve_next for group in groups
        )
        return Claimed(messages=messages, drained=drained)
    deadline = tick.now + request.wait
    parked = ParkedClaim(session, request.rid, deadline, consumer, groups, request.n)
    consumer.claim = parked
    for group in groups:
        group.claims[parked] = None
    return None


def take(
    ledger: Ledger, consumer: Consumer, groups: list[Group], n: int, now: float
) -> list[Delivered]:
    """Lease up to `n` deliveries, from the first group that has some, then from the next; fewer
    where they are large: one reply carries them all.

    One that may have killed a worker, or must not be lost even once, is dealt out alone, and the
    consumer says when it begins it: if it kills, it takes nothing with it, and it is known who did.
    """
    taken: list[Delivered] = []
    size = looked_at = 0
    n = min(n, MOST)
    if n < 1:
        return taken
    for group in groups:
        if not group.has_work:
            continue
        for delivery in group.next_for(consumer):
            message = delivery.message
            expires_at = message.expires_at
            looked_at += 1
            if looked_at > LOOK + n:  # many have expired, or nobody knows them
                group.put(delivery)
                ledger.groups_to_serve_next[group] = None
                return taken
            if expires_at is not None and expires_at <= now and not delivery.has_run:
                ledger.finish(delivery, Event.EXPIRE, now)
                continue
            options = message.spec.options
            if not (options.carries_code or consumer.knows(message.spec.task)):
                ledger.move(delivery, Event.PARK)
                ledger.place(delivery)
                tell_unknown(ledger, consumer.worker, group, message.spec.task)
                continue
            # `beginnings.is_announced`, without a call
            alone = not options.ack_early and (
                delivery.deaths > 0 or delivery.suspect or options.max_deliveries <= 1
            )
            if alone and taken:
                group.put(delivery)
                return taken
            ledger.lease(delivery, consumer, now)
            taken.append(_delivered(delivery, alone))
            size += len(message.payload)
            if options.ack_early:
                ledger.end_lease(delivery)
                ledger.finish(delivery, Event.ACK, now)
            if alone or len(taken) >= n or size >= REPLY_BYTES:
                return taken
        if not group.has_work:
            continue
        if not group.ready.is_empty or group.parked.has_any(consumer.knows):
            # behind many stale entries
            ledger.groups_to_serve_next[group] = None
    return taken


def _delivered(delivery: Delivery, announce: bool) -> Delivered:
    message = delivery.message
    spec = message.spec
    options = spec.options
    return Delivered(
        delivery.receipt,
        message.id,
        spec.queue,
        spec.task,
        message.payload,
        delivery.failures + delivery.deaths + 1,  # `attempt`, without a call
        options.timeout,
        options.lease,
        options.ack_early,
        delivery.failures,
        announce,
    )


def serve_parked(ledger: Ledger, group: Group, now: float) -> None:
    """Lease the ready messages of a group to its parked claims, in equal shares."""
    waiting = [parked for parked in group.claims if not parked.consumer.worker.silent]
    later = ledger.groups_to_serve_next  # enough was looked at for one tick
    for position, parked in enumerate(waiting):
        if not group.has_work or group in later:
            break
        groups = [each for each in parked.groups if each not in later] if later else parked.groups
        ready = max(group.counts[State.READY], 1)  # or there is one that was parked
        share = -(-ready // (len(waiting) - position))
        messages = take(ledger, parked.consumer, groups, min(parked.n, share), now)
        if messages:
            withdraw(ledger, parked)
            ledger.answer(parked, Claimed(messages=messages))


def expire(ledger: Ledger, parked: ParkedClaim, now: float) -> None:
    """Answer a parked claim at its deadline, with no messages."""
    withdraw(ledger, parked)
    drained = all(group.is_drained for group in parked.groups)
    ledger.answer(parked, Claimed(messages=[], drained=drained))


HANDLERS: Handlers = {Claim: claim}
PARKED: ParkedKinds = {ParkedClaim: (expire, withdraw)}

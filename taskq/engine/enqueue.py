"""Enqueue: messages are accepted, refused because something is full, or wait for room.

A producer that waits becomes an *offer* of its queue. Offers are served in the order in which they
came; nobody overtakes one that waits. Its calls go in one after another, so a request with more
calls than the queue may hold goes through as the queue is worked off.
"""

from __future__ import annotations

from math import isfinite

from taskq.engine.capacity import (
    UNBOUNDED,
    full_group,
    is_broker_full,
    refuse_what_never_fits,
    why_full,
)
from taskq.engine.consumers import Session
from taskq.engine.group import Queue
from taskq.engine.ledger import Ledger
from taskq.engine.message import Message
from taskq.errors import PayloadTooLarge, QueueFull, TaskqError
from taskq.protocol.base import Failed, Reply
from taskq.protocol.producing import Enqueue, Enqueued
from taskq.protocol.values import Call

MAX_PAYLOAD = 64 * 2**20


class ParkedEnqueue:
    """An enqueue that waits for room. `taken`: so many of its calls have been accepted."""

    __slots__ = ("deadline", "existing", "number", "queue", "request", "session", "taken")

    def __init__(
        self, session: Session, queue: Queue, request: Enqueue, number: int, deadline: float
    ) -> None:
        self.session = session
        self.queue = queue
        self.request = request
        self.number = number
        self.deadline = deadline
        self.taken = 0
        self.existing: list[str] = []

    @property
    def rest(self) -> int:
        """How many calls still wait."""
        return len(self.request.calls) - self.taken


def enqueue(
    ledger: Ledger, session: Session, request: Enqueue, now: float, draw: float
) -> Enqueued | None:
    """Accept messages; ids that are known already are left as they are.

    Where something is full: all or none with `wait=0`; else in parts, as there is room.
    """
    _check(request)
    queue = ledger.queue(request.queue)  # a group is given each message that comes after it
    if queue.capacity == UNBOUNDED == ledger.capacity and not queue.offers:
        return Enqueued(existing=_accept(ledger, request, request.calls, now))
    refuse_what_never_fits(ledger, queue, request.calls)
    serve(ledger, now)  # there may be room for those who wait since something finished in this tick
    if request.wait > 0 and request.calls:
        _wait(ledger, session, queue, request, now)
        serve(ledger, now)
        return None
    new = {call.id: len(call.payload) for call in request.calls if not _is_known(ledger, call)}
    if new:
        why = why_full(ledger, queue, len(new), sum(new.values()))
        if not why and (queue.offers or ledger.is_crowded):
            why = f"the queue {queue.name!r} is full: other producers wait for room already"
        if why:
            raise QueueFull(why)
    return Enqueued(existing=_accept(ledger, request, request.calls, now))


def serve(ledger: Ledger, now: float) -> None:
    """Accept of the waiting offers what there is room for."""
    ledger.is_crowded = False
    last = ledger.seq - 1
    while last < ledger.seq and ledger.offering:
        last = ledger.seq  # what one queue has taken may be known to another from then on
        ledger.is_crowded = _serve_once(ledger, now)


def _serve_once(ledger: Ledger, now: float) -> bool:
    """Serve each queue; True when the broker is full, so nobody behind that offer is served."""
    open_ = dict(ledger.offering)
    while open_:
        queue = min(open_, key=lambda each: next(iter(each.offers)).number)
        offer = next(iter(queue.offers))
        _take(ledger, offer, now)
        if not offer.rest:
            _withdraw(ledger, offer)
            _reply(ledger, offer, Enqueued(existing=offer.existing))
            if queue.offers:
                continue
        elif full_group(queue, 1, _next_size(offer)) is None:
            return True
        del open_[queue]
    return False


def overdue(ledger: Ledger, session: Session, now: float) -> None:
    """End the session's offers whose time is over. What was accepted stays accepted."""
    for offer in [each for each in session.offers if each.deadline <= now]:
        _withdraw(ledger, offer)
        if offer.taken:
            _reply(ledger, offer, Enqueued(existing=offer.existing, rest=offer.rest))
        else:
            why = why_full(ledger, offer.queue, 1, _next_size(offer))
            why = why or f"the queue {offer.queue.name!r} is full: others came first"
            text = f"no room within {offer.request.wait:g} s: {why}"
            _reply(ledger, offer, Failed(error=QueueFull.__name__, text=text))


def withdraw(ledger: Ledger, session: Session) -> None:
    """The session is over: its offers go. A client that lives on asks again."""
    for offer in list(session.offers):
        _withdraw(ledger, offer)


def turn_away(ledger: Ledger, error: str, text: str) -> None:
    """Refuse every waiting offer, for a reason of the host's."""
    for queue in list(ledger.offering):
        for offer in list(queue.offers):
            _withdraw(ledger, offer)
            _reply(ledger, offer, Failed(error=error, text=text))


def _wait(ledger: Ledger, session: Session, queue: Queue, request: Enqueue, now: float) -> None:
    ledger.offers += 1
    offer = ParkedEnqueue(session, queue, request, ledger.offers, now + request.wait)
    queue.offers[offer] = None
    session.offers[offer] = None
    ledger.offering[queue] = None
    if offer.deadline < session.alarm.when:
        session.alarm.set(offer.deadline)


def _withdraw(ledger: Ledger, offer: ParkedEnqueue) -> None:
    del offer.queue.offers[offer]
    del offer.session.offers[offer]
    if not offer.queue.offers:
        del ledger.offering[offer.queue]


def _reply(ledger: Ledger, offer: ParkedEnqueue, reply: Reply) -> None:
    reply.rid = offer.request.rid
    ledger.replies.append((offer.session.number, reply))


def _take(ledger: Ledger, offer: ParkedEnqueue, now: float) -> None:
    calls = offer.request.calls
    while offer.rest:
        call = calls[offer.taken]
        size = len(call.payload)
        if not _is_known(ledger, call) and (
            is_broker_full(ledger, 1, size) or full_group(offer.queue, 1, size) is not None
        ):
            return
        offer.existing += _accept(ledger, offer.request, [call], now)
        offer.taken += 1


def _next_size(offer: ParkedEnqueue) -> int:
    return len(offer.request.calls[offer.taken].payload)


def _is_known(ledger: Ledger, call: Call) -> bool:
    return call.id in ledger.messages or call.id in ledger.results


def _accept(ledger: Ledger, request: Enqueue, calls: list[Call], now: float) -> list[str]:
    """Accept calls without asking for room; the ids that were known already."""
    spec = ledger.spec(request.queue, request.task, request.options)
    due_at = max(now + request.delay, request.eta_at or now)
    expires_at = _expiry(request, now)
    messages, results = ledger.messages, ledger.results
    existing = []
    for call in calls:
        if call.id in messages or call.id in results:
            existing.append(call.id)
            continue
        ledger.seq += 1
        message = Message(ledger.seq, call.id, spec, call.payload, now, due_at, expires_at)
        ledger.accept(message, now)
    return existing


def _expiry(request: Enqueue, now: float) -> float | None:
    at, within = request.expires_at, request.expires
    if within is None:
        return at
    # counted here: the clocks of producers may be set, and differ from ours
    return now + within if at is None else min(now + within, at)


def _check(request: Enqueue) -> None:
    if not request.queue or not request.task:
        raise TaskqError("a message needs the name of a queue and of a task")
    options = request.options
    if not 0 <= options.priority <= 3:
        raise TaskqError(f"priority must be from 0 to 3, not {options.priority}")
    if not options.lease > 0:
        raise TaskqError(f"the lease must be longer than 0 seconds, not {options.lease}")
    if not options.result_ttl >= 0:
        raise TaskqError(f"result_ttl must be 0 seconds or more, not {options.result_ttl}")
    for name in ("delay", "eta_at", "expires_at", "expires", "wait"):
        seconds = getattr(request, name)
        if seconds is not None and not isfinite(seconds):
            raise TaskqError(f"{name} must be a finite number of seconds, not {seconds}")
    for call in request.calls:
        if len(call.payload) > MAX_PAYLOAD:
            raise PayloadTooLarge(
                f"the call {call.id} of {request.task} has {len(call.payload)} bytes; "
                f"the broker takes {MAX_PAYLOAD}"
            )

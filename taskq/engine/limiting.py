"""Limits of queues: an enqueue without room waits for it, or is refused.

A producer that waits has a parked enqueue at its queue. These are served in the order in which they
came; nobody overtakes one that waits. Its calls go in one after another, so a request with more
calls than the queue may hold goes through as the queue is worked off.
"""

from __future__ import annotations

from taskq.engine.accepting import accept, is_known
from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.handlers import Handlers, ParkedKinds
from taskq.engine.ledger import Ledger
from taskq.engine.model import DEFAULT_GROUP, GROUP, ParkedEnqueue, Queue
from taskq.engine.room import full_group, is_broker_full, refuse_what_never_fits, why_full
from taskq.engine.sessions import Session
from taskq.engine.tick import Tick
from taskq.errors import QueueFull, TaskqError
from taskq.protocol.base import Done, Failed
from taskq.protocol.operating import Limit
from taskq.protocol.producing import Enqueue, Enqueued


def enqueue_limited(
    ledger: Ledger, session: Session, queue: Queue, request: Enqueue, now: float
) -> Enqueued | None:
    """Accept messages if something has a limit. `None`: the request is parked.

    A refused request makes no queue: a new one is only in the ledger once it has messages.
    """
    refuse_what_never_fits(ledger, queue, request.calls)
    serve(ledger, now)  # there may be room for those who wait since something finished in this tick
    if request.wait > 0 and request.calls:
        _park(ledger, session, ledger.queue(queue.name), request, now)
        serve(ledger, now)
        return None
    new = {call.id: len(call.payload) for call in request.calls if not is_known(ledger, call)}
    if new:
        why = why_full(ledger, queue, len(new), sum(new.values()))
        if not why and (queue.parked or ledger.broker_full):
            why = f"the queue {queue.name!r} is full: other producers wait for room already"
        if why:
            raise QueueFull(why)
    return Enqueued(existing=accept(ledger, request, request.calls, now))


def serve(ledger: Ledger, now: float) -> None:
    """Accept of the parked enqueues what there is room for."""
    ledger.broker_full = False
    last = ledger.seq - 1
    while last < ledger.seq and ledger.queues_with_parked:
        last = ledger.seq  # what one queue has taken may be known to another from then on
        ledger.broker_full = _serve_once(ledger, now)


def _serve_once(ledger: Ledger, now: float) -> bool:
    """Serve each queue; True when the broker is full, so nobody behind that request is served."""
    open_ = dict(ledger.queues_with_parked)
    while open_:
        queue = min(open_, key=lambda each: next(iter(each.parked)).number)
        parked = next(iter(queue.parked))
        _take(ledger, parked, now)
        if not parked.rest:
            withdraw(ledger, parked)
            ledger.answer(parked, Enqueued(existing=parked.existing))
            if queue.parked:
                continue
        elif full_group(queue, 1, _next_size(parked)) is None:
            return True
        del open_[queue]
    return False


def expire(ledger: Ledger, parked: ParkedEnqueue, now: float) -> None:
    """End a parked enqueue at its deadline; calls that were accepted stay accepted."""
    withdraw(ledger, parked)
    if parked.taken:
        ledger.answer(parked, Enqueued(existing=parked.existing, rest=parked.rest))
        return
    why = why_full(ledger, parked.queue, 1, _next_size(parked))
    why = why or f"the queue {parked.queue.name!r} is full: others came first"
    text = f"no room within {parked.request.wait:g} s: {why}"
    ledger.answer(parked, Failed(error=QueueFull.__name__, text=text))


def withdraw(ledger: Ledger, parked: ParkedEnqueue) -> None:
    """Remove a parked enqueue; the one behind it is next."""
    del parked.queue.parked[parked]
    if not parked.queue.parked:
        del ledger.queues_with_parked[parked.queue]


def refuse_parked(ledger: Ledger, error: str, text: str) -> None:
    """Refuse every parked enqueue, with an error that the host gives."""
    for queue in list(ledger.queues_with_parked):
        for parked in list(queue.parked):
            withdraw(ledger, parked)
            ledger.answer(parked, Failed(error=error, text=text))


def _park(ledger: Ledger, session: Session, queue: Queue, request: Enqueue, now: float) -> None:
    ledger.parked_enqueues += 1
    parked = ParkedEnqueue(session, now + request.wait, queue, request, ledger.parked_enqueues)
    queue.parked[parked] = None
    ledger.queues_with_parked[queue] = None


def _take(ledger: Ledger, parked: ParkedEnqueue, now: float) -> None:
    calls = parked.request.calls
    while parked.rest:
        call = calls[parked.taken]
        size = len(call.payload)
        if not is_known(ledger, call) and (
            is_broker_full(ledger, 1, size) or full_group(parked.queue, 1, size) is not None
        ):
            return
        parked.existing += accept(ledger, parked.request, [call], now)
        parked.taken += 1


def _next_size(parked: ParkedEnqueue) -> int:
    return len(parked.request.calls[parked.taken].payload)


def limit(ledger: Ledger, session: Session, request: Limit, tick: Tick) -> Done:
    """Set the capacity of a queue, which need not exist yet. What it has already stays."""
    if not request.queue:
        raise TaskqError("a limit needs the name of a queue")
    known = ledger.queues.get(request.queue)
    old = UNBOUNDED if known is None else known.capacity
    capacity = Capacity(
        old.messages if request.max_messages is None else request.max_messages,
        old.bytes if request.max_bytes is None else request.max_bytes,
    ).checked()
    queue = ledger.queue(request.queue)
    queue.capacity = capacity
    ledger.changes.put[GROUP][queue.groups[DEFAULT_GROUP]] = None
    return Done(count=1)


HANDLERS: Handlers = {Limit: limit}
PARKED: ParkedKinds = {ParkedEnqueue: (expire, withdraw)}

"""Turns the calls of an enqueue into messages."""

from __future__ import annotations

from taskq.engine.ledger import Ledger
from taskq.engine.model import Message
from taskq.engine.states import ENDED
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call


def is_known(ledger: Ledger, call: Call) -> bool:
    """Whether a message of that id was accepted before and `default` has it, or its result is kept.

    Copies of other groups do not keep an id: they may never have a worker (docs/decisions/0017).
    """
    if call.id in ledger.results:
        return True
    message = ledger.messages.get(call.id)
    return message is not None and message.deliveries[0].state not in ENDED


def accept(ledger: Ledger, request: Enqueue, calls: list[Call], now: float) -> list[str]:
    """Accept calls without a check of the limits. Returns the ids that were known already."""
    spec = ledger.specs.of(request.queue, request.task, request.options)
    due_at = max(now + request.delay, request.eta_at or now)
    expires_at = _expiry(request, now)
    queue = ledger.queue(request.queue)
    messages, ended = ledger.messages, ledger.results.among(calls)
    existing = []
    new: dict[str, Message] = {}
    seq = ledger.seq
    for call in calls:
        id = call.id
        if id in messages or id in ended or id in new:
            if id in new or is_known(ledger, call):
                existing.append(id)
                continue
            ledger.supersede(id)
        seq += 1
        new[id] = Message(seq, id, spec, call.payload, now, due_at, expires_at)
    ledger.seq = seq
    if new:
        ledger.accept(new, spec, queue)
    return existing


def _expiry(request: Enqueue, now: float) -> float | None:
    at, within = request.expires_at, request.expires
    if within is None:
        return at
    # counted here: the clocks of producers may be set, and differ from ours
    return now + within if at is None else min(now + within, at)

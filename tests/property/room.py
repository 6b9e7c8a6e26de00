"""Whether there is room, recomputed from the messages alone: the judge of the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from taskq.engine.engine import Engine
from taskq.engine.model import ParkedEnqueue, Queue
from taskq.engine.states import WAITING, State
from taskq.protocol.producing import Enqueue

UNFINISHED = WAITING | {State.LEASED}


def fits_queue(engine: Engine, name: str, count: int, size: int) -> bool:
    """Whether so much more is within the limits of that queue."""
    queue = engine.ledger.queues.get(name)
    if queue is None:
        return True
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for message in engine.ledger.all_messages():
        for entry in message.deliveries:
            if entry.group.queue is queue and entry.state in UNFINISHED:
                counts[entry.group.name] += 1
                sizes[entry.group.name] += len(message.payload)
    most, most_bytes = queue.capacity
    return all(
        (not most or counts[group] + count <= most)
        and (not most_bytes or sizes[group] + size <= most_bytes)
        for group in queue.groups
    )


def fits_broker(engine: Engine, count: int, size: int) -> bool:
    """The same for the broker as a whole; dead letters count."""
    messages = list(engine.ledger.all_messages())
    most, most_bytes = engine.ledger.capacity
    return (not most or len(messages) + count <= most) and (
        not most_bytes or sum(len(message.payload) for message in messages) + size <= most_bytes
    )


def is_known(engine: Engine, id: str) -> bool:
    """Whether the first group has a message of that id, or its result is kept."""
    live = engine.ledger.messages.get(id)
    first = live.deliveries[0].state if live is not None else State.PURGED
    return first in (*UNFINISHED, State.DEAD) or id in engine.ledger.results


def must_refuse(engine: Engine, request: Enqueue) -> bool:
    """Whether that request, which does not wait, has to get `QueueFull`."""
    new = {call.id: len(call.payload) for call in request.calls if not is_known(engine, call.id)}
    if not new:
        return False
    need = (len(new), sum(new.values()))
    bounded = any(engine.ledger.capacity) or request.queue in {
        queue.name for queue in _limited(engine)
    }
    return not (fits_queue(engine, request.queue, *need) and fits_broker(engine, *need)) or (
        bounded and any(_in_the_way(engine, offer, request.queue) for offer in heads(engine))
    )


def _limited(engine: Engine) -> Iterator[Queue]:
    yield from (queue for queue in engine.ledger.queues.values() if any(queue.capacity))


def _in_the_way(engine: Engine, offer: ParkedEnqueue, queue: str) -> bool:
    return offer.queue.name == queue or fits_queue(engine, offer.queue.name, 1, next_size(offer))


def heads(engine: Engine) -> list[ParkedEnqueue]:
    """The first offer of each queue, in the order in which they came."""
    first = [next(iter(queue.parked)) for queue in engine.ledger.queues.values() if queue.parked]
    return sorted(first, key=lambda offer: offer.number)


def next_size(offer: ParkedEnqueue) -> int:
    """Bytes of the call that waits first."""
    return len(offer.request.calls[offer.taken].payload)


def check_nobody_waits_in_vain(engine: Engine) -> None:
    """13: an enqueue waits for room only while there is none."""
    for offer in heads(engine):
        call = offer.request.calls[offer.taken]
        assert not is_known(engine, call.id), "13: a known id waits for room"
        if fits_queue(engine, offer.queue.name, 1, len(call.payload)):
            assert not fits_broker(engine, 1, len(call.payload)), "13: there is room, and it waits"
            return  # those behind it wait for it

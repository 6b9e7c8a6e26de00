"""All that an engine must not lose, as plain values that can be compared."""

from __future__ import annotations

from typing import Any

import msgspec

from taskq.engine.engine import Engine
from taskq.engine.model import Delivery, Group, Message
from taskq.engine.result import Result
from taskq.engine.states import State


def snapshot(engine: Engine) -> dict[str, Any]:
    """The state of an engine that was advanced to now.

    Left out: sessions, the clocks of workers, and the last numbers given, which a journal keeps as
    bounds that are ahead of them.
    """
    ledger = engine.ledger
    return {
        "bytes": ledger.bytes,
        "dropped": ledger.marks.dropped,
        "groups": {
            (queue.name, group.name): _group(group)
            for queue in ledger.queues.values()
            for group in queue.groups.values()
        },
        "messages": {message.seq: _message(message) for message in ledger.all_messages()},
        "ids": {id: [each.seq for each in ledger.named(id)] for id in ledger.messages},
        "results": {id: _result(ledger.results.get(id)) for id in ledger.results},
        "leases": {receipt: lease.message.id for receipt, lease in ledger.leases.items()},
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "counts": list(group.counts),
        "failed": group.failed,
        "paused": group.paused,
        "bytes": group.bytes,
        "dead_bytes": group.dead_bytes,
        "capacity": group.queue.capacity,
        "unknown": dict(group.parked.counts),
        "from_seq": group.from_seq,
        "ready": [entry.message.id for entry in group.ready],
        "parked": {
            task: [entry.message.id for entry in lane]
            for task, lane in group.parked.lanes.items()
            if list(lane)
        },
        "dead": sorted(group.dead),
    }


def _message(message: Message) -> tuple[Any, ...]:
    spec = message.spec
    return (
        message.seq,
        (spec.queue, spec.task, spec.options, spec.uses),
        message.payload,
        message.created_at,
        message.due_at,
        message.expires_at,
        {entry.group.name: _delivery(entry) for entry in message.deliveries},
    )


def _delivery(entry: Delivery) -> tuple[Any, ...]:
    leased = entry.state is State.LEASED
    consumer = entry.consumer
    holder = (consumer.worker.name, consumer.name) if leased and consumer is not None else None
    return (
        entry.state,
        entry.due_at,
        entry.deliveries,
        entry.deaths,
        entry.failures,
        entry.receipt,
        entry.leased_at,
        holder,
        entry.cancelling,
        [msgspec.structs.asdict(error) for error in entry.errors or ()],
    )


def _result(result: Result | None) -> tuple[Any, ...]:
    assert result is not None
    spec = result.spec
    return (
        result.seq,
        (spec.queue, spec.task, spec.options),
        result.state,
        result.value,
        result.error and msgspec.structs.asdict(result.error),
        result.receipt,
        result.attempts,
        result.worker,
        result.created_at,
        result.started_at,
        result.finished_at,
        result.deliveries,
        result.deaths,
    )

"""Statistics: all counters, by queue, group and worker."""

from __future__ import annotations

from collections import Counter

from taskq.engine.handlers import Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import Group
from taskq.engine.selecting import matching_groups
from taskq.engine.sessions import Session
from taskq.engine.states import State
from taskq.engine.tick import Tick
from taskq.protocol.operating import GetStats, Stats
from taskq.protocol.values import BrokerStats, QueueStats, WorkerStats


def stats(ledger: Ledger, session: Session, request: GetStats, tick: Tick) -> Stats:
    """All counters; the cost depends on the number of queues and workers, not of messages."""
    groups = matching_groups(ledger)
    broker = BrokerStats(
        messages=ledger.message_count,
        results=len(ledger.results),
        acknowledged=ledger.marks.dropped
        + sum(sum(each.counts) for each in groups if each.is_first),
        parked=sum(group.counts[State.PARKED] for group in groups),
        now=tick.now,
        bytes=ledger.bytes,
        max_messages=ledger.capacity.messages,
        max_bytes=ledger.capacity.bytes,
        result_bytes=ledger.results.bytes,
        max_results=ledger.results.retention.results,
        max_result_bytes=ledger.results.retention.bytes,
        evicted_results=ledger.results.evicted,
    )
    workers = [
        WorkerStats(
            name=worker.name,
            info=worker.info,
            seen_at=worker.seen_at,
            consumers=len(worker.consumers),
            leased=sum(len(each.leases) for each in worker.consumers.values()),
            tasks=worker.finished,
        )
        for worker in ledger.workers.values()
    ]
    running = _running(ledger)
    queues = [_group_stats(group, running[group]) for group in groups]
    return Stats(broker=broker, queues=queues, workers=workers)


def _running(ledger: Ledger) -> Counter[Group]:
    """How many leased deliveries of each group are known to have begun."""
    running: Counter[Group] = Counter()
    for worker in ledger.workers.values():
        for consumer in worker.consumers.values():
            for receipt, delivery in consumer.leases.items():
                if receipt > consumer.began:
                    break  # they begin in the order of their receipts
                running[delivery.group] += 1
    return running


def _group_stats(group: Group, running: int) -> QueueStats:
    counts = group.counts
    return QueueStats(
        queue=group.queue.name,
        group=group.name,
        paused=group.paused,
        held=counts[State.HELD],
        parked=counts[State.PARKED],
        scheduled=counts[State.SCHEDULED],
        ready=counts[State.READY],
        leased=counts[State.LEASED],
        dead=counts[State.DEAD],
        succeeded=counts[State.SUCCEEDED],
        failed=group.failed,
        cancelled=counts[State.CANCELLED],
        expired=counts[State.EXPIRED],
        purged=counts[State.PURGED],
        bytes=group.bytes,
        consumers=len(group.consumers),
        oldest_ready_at=group.ready.oldest(),
        unknown=dict(group.parked.counts),
        unfinished_bytes=group.unfinished_bytes,
        max_messages=group.queue.capacity.messages,
        max_bytes=group.queue.capacity.bytes,
        producers=len(group.queue.parked),
        running=running,
    )


HANDLERS: Handlers = {GetStats: stats}

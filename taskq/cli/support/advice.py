"""What commands advise to do: further commands."""

from __future__ import annotations

from taskq.names import group_option, queue_argument
from taskq.protocol.values import QueueStats


def start_worker(stats: QueueStats, broker: str = "") -> str:
    """The command that starts a worker for a queue, whatever queues its app names.

    Args:
        stats: of the queue in one consumer group.
        broker: what a command has to add to mean the same broker, if anything.
    """
    queue, group = queue_argument(stats.queue), group_option(stats.group)
    return f"taskq worker APP -Q {queue}{group}{broker}"

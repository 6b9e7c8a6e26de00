"""What a burst leaves behind: messages of unknown tasks, and those of paused queues."""

from __future__ import annotations

from collections.abc import Iterable

from taskq.backends.port import Broker
from taskq.names import how_to_know
from taskq.protocol.operating import GetStats


def what_is_left(broker: Broker, group: str, queues: Iterable[tuple[str, int]]) -> list[str]:
    """Sentences for the log, one for each unknown task and each paused queue.

    Args:
        broker: where the queues are.
        group: consumer group of the worker.
        queues: names and weights.

    Raises:
        TaskqError: the broker cannot be reached.
    """
    names = {name for name, _ in queues}
    sentences = []
    for stats in broker.call(GetStats()).queues:
        if stats.group != group or stats.queue not in names:
            continue
        for task, count in sorted(stats.unknown.items()):
            sentences.append(
                f"{count} message(s) of the task {task!r} are left, which this worker does not know; "
                f"{how_to_know(task, stats.queue, group)}"
            )
        waiting = stats.ready + stats.scheduled
        if stats.paused and waiting:
            sentences.append(
                f"{waiting} message(s) are left in the queue {stats.queue!r}, which is paused; "
                f"resume it with: taskq queue resume {stats.queue}"
            )
    return sentences

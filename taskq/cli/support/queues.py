"""Whether the broker has the queue and the consumer group that a command names."""

from __future__ import annotations

from taskq.cli.support.conversation import ask
from taskq.cli.support.failure import CliError
from taskq.cli.support.shared import Shared
from taskq.protocol.operating import GetStats
from taskq.protocol.values import QueueStats


def named(shared: Shared, queue: str = "", group: str = "") -> list[QueueStats]:
    """The groups of that queue and name; empty strings match everything.

    Raises:
        CliError: a name is given that no queue, or none of its groups has.
    """
    everything = ask(shared, GetStats()).queues
    found = [each for each in everything if not queue or each.queue == queue]
    if queue and not found:
        names = ", ".join(sorted({each.queue for each in everything})) or "none yet"
        raise CliError(f"there is no queue {queue!r}; this broker has {names}")
    chosen = [each for each in found if not group or each.group == group]
    if group and not chosen:
        names = ", ".join(sorted({each.group for each in found})) or "none yet"
        place = f"the queue {queue!r} has no" if queue else "no queue of this broker has a"
        raise CliError(
            f"{place} consumer group {group!r}; {'it has' if queue else 'there are'} {names}"
        )
    return chosen

"""`taskq health`: a liveness check that imports no app."""

from __future__ import annotations

import click

from taskq.cli.support.conversation import conversation
from taskq.cli.support.failure import UNHEALTHY, USAGE, CliError
from taskq.cli.support.output import duration
from taskq.cli.support.shared import Shared, data_options, pass_shared
from taskq.cli.support.target import only
from taskq.cli.support.values import DURATION
from taskq.errors import TaskqError
from taskq.protocol.operating import GetStats, Ping
from taskq.protocol.values import QueueStats


@click.command()
@click.option("--queue", metavar="NAME", help="Require a consumer of this queue, too.")
@click.option("-g", "--group", default="default", show_default=True, help="… in this group.")
@click.option("--timeout", type=DURATION, default="5s", show_default=True, metavar="5s",
              help="How long an answer may take.")  # fmt: skip
@data_options
@pass_shared
def command(shared: Shared, queue: str | None, group: str, timeout: float) -> None:
    """Exit 0 if the broker answers, and 5 if not. Never starts one."""
    try:
        with conversation(only(shared.broker, ask_app=False), autostart=False) as connection:
            pong = connection.call(Ping(), timeout=timeout)
            stats = connection.call(GetStats(), timeout=timeout).queues if queue else []
    except (TaskqError, CliError) as error:
        if isinstance(error, CliError) and error.exit_code == USAGE:
            raise
        _report(shared, str(error), pid=None)
        return
    if queue is not None and not consumers(stats, queue, group):
        _report(shared, f"nobody consumes the queue {queue!r} in group {group!r}", pong.pid)
        return
    if shared.as_json or shared.verbosity >= 0:
        data = {"healthy": True, "pid": pong.pid, "uptime": pong.uptime}
        shared.show(data, f"healthy: broker pid {pong.pid}, up {duration(pong.uptime)}")


def consumers(stats: list[QueueStats], queue: str, group: str) -> int:
    """How many consumers a group of a queue has."""
    return sum(each.consumers for each in stats if (each.queue, each.group) == (queue, group))


def _report(shared: Shared, why: str, pid: int | None) -> None:
    if not shared.as_json:
        raise CliError(f"unhealthy: {why}", UNHEALTHY)
    shared.show({"healthy": False, "reason": why, "pid": pid}, ())
    click.get_current_context().exit(UNHEALTHY)

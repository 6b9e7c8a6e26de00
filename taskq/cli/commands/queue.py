"""`taskq queue`: list, peek, limit, pause, resume, purge, drop."""

from __future__ import annotations

import shlex
import time

import click

from taskq.cli.commands.status import bounds, limits, queues_table
from taskq.cli.support.conversation import ask
from taskq.cli.support.output import duration, plural, size, table
from taskq.cli.support.queues import named
from taskq.cli.support.shared import CommandGroup, Shared, confirm, data_options, pass_shared
from taskq.cli.support.values import COUNT, LIMIT, SIZE
from taskq.engine.states import State
from taskq.options.checks import queue_name
from taskq.protocol.operating import Control, GetStats, Limit, Peek
from taskq.protocol.values import Preview, QueueStats


@click.group(cls=CommandGroup)
def command() -> None:
    """List queues, look into one, limit, pause, resume or purge it, drop a group of it."""


@command.command()
@data_options
@pass_shared
def ls(shared: Shared) -> None:
    """List the queues and their groups."""
    stats = ask(shared, GetStats())
    text = queues_table(stats.queues, stats.broker.now) if stats.queues else "no queues yet"
    shared.show(stats.queues, [text, *limits(stats)])


@command.command()
@click.argument("queue")
@click.option("-g", "--group", default="default", show_default=True, help="Consumer group.")
@click.option("--state", default="ready", show_default=True, help="Which messages.",
              type=click.Choice([state.label for state in State]))  # fmt: skip
@click.option("-n", "--limit", type=COUNT, default=20, show_default=True)
@data_options
@pass_shared
def peek(shared: Shared, queue: str, group: str, state: str, limit: int) -> None:
    """Look at messages of QUEUE without taking them, in the order in which they would run."""
    found = ask(shared, Peek(queue=queue, group=group, state=state, limit=limit)).messages
    shared.show(found, _previews(found) if found else f"nothing in {queue} is {state}")


def _previews(found: list[Preview]) -> str:
    now = time.time()
    if any(each.consumer for each in found):
        return _leased(found, now)
    return table(
        ("id", "task", "state", "priority", "attempts", "size", "due"),
        [
            (
                each.id,
                each.task,
                each.state,
                each.priority,
                each.attempts,
                size(each.size),
                f"in {duration(each.due_at - now)}" if each.due_at > now else "",
            )
            for each in found
        ],
    )


def _leased(found: list[Preview], now: float) -> str:
    """Those that consumers have: a task that hangs is one that runs for long."""
    return table(
        ("id", "task", "consumer", "for", "attempts", "size", ""),
        [
            (
                each.id,
                each.task,
                each.consumer,
                duration(now - (each.leased_at or now)),
                each.attempts,
                size(each.size),
                "running" if each.is_running else "",
            )
            for each in found
        ],
    )


@command.command()
@click.argument("queue")
@click.option("--max-messages", type=LIMIT, metavar="N",
              help="At most so many to finish; 0: no limit.")  # fmt: skip
@click.option("--max-bytes", type=SIZE, metavar="SIZE",
              help="At most so many bytes to finish, e.g. 512MiB; 0: no limit.")  # fmt: skip
@data_options
@pass_shared
def limit(shared: Shared, queue: str, max_messages: int | None, max_bytes: int | None) -> None:
    """Bound what QUEUE may have to finish; beyond that, calls get QueueFull or wait.

    The broker keeps it across restarts. The queue need not exist yet. Without options, show the
    limit that it has.
    """
    if max_messages is None and max_bytes is None:
        _show_limit(shared, named(shared, queue, "default")[0])
        return
    try:
        queue_name("the name of a queue", queue)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    is_new = all(each.queue != queue for each in ask(shared, GetStats()).queues)
    ask(shared, Limit(queue=queue, max_messages=max_messages, max_bytes=max_bytes))
    note = (
        "; there was no queue of that name yet, so this holds from its first message on "
        f"(if the name is wrong: taskq queue drop {shlex.quote(queue)})"
    )
    _show_limit(shared, named(shared, queue, "default")[0], note if is_new else "")


def _show_limit(shared: Shared, found: QueueStats, note: str = "") -> None:
    data = {"queue": found.queue, "max_messages": found.max_messages, "max_bytes": found.max_bytes}
    limits = bounds(found.max_messages, found.max_bytes)
    text = f"{found.queue} takes at most {limits}" if limits else f"{found.queue} has no limit"
    shared.show(data, text + note)


def _control(shared: Shared, queue: str, group: str, action: str) -> int:
    return ask(shared, Control(queue=queue, action=action, group=group)).count


@command.command()
@click.argument("queue")
@click.option("-g", "--group", default="", help="Only this consumer group.")
@data_options
@pass_shared
def pause(shared: Shared, queue: str, group: str) -> None:
    """Hand out no more messages of QUEUE; what runs goes on, and it still takes new ones."""
    _control(shared, queue, group, "pause")
    shared.show({"queue": queue, "paused": True}, f"{queue} is paused")


@command.command()
@click.argument("queue")
@click.option("-g", "--group", default="", help="Only this consumer group.")
@data_options
@pass_shared
def resume(shared: Shared, queue: str, group: str) -> None:
    """Undo pause."""
    _control(shared, queue, group, "resume")
    shared.show({"queue": queue, "paused": False}, f"{queue} is consumed again")


@command.command()
@click.argument("queue")
@click.option("-g", "--group", default="", help="Only this consumer group.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@data_options
@pass_shared
def purge(shared: Shared, queue: str, group: str, yes: bool) -> None:
    """Forget every waiting message of QUEUE. Running ones and dead letters stay."""
    if not yes:
        ask(shared, Peek(queue=queue, group=group, state="ready", limit=0))  # there is such a queue
        confirm(f"Forget every waiting message of {queue}?")
    count = _control(shared, queue, group, "purge")
    shared.show({"queue": queue, "purged": count}, f"{plural(count, 'message')} forgotten")


@command.command()
@click.argument("queue")
@click.option("-g", "--group", help="Only this consumer group.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@data_options
@pass_shared
def drop(shared: Shared, queue: str, group: str | None, yes: bool) -> None:
    """Remove QUEUE, if it is empty, or a consumer group with its messages and dead letters.

    For what nobody needs any more, or whose name was a typing error. The limits of a queue and its
    totals go with it. Other groups keep their messages. Stop the workers first: one that starts later
    makes the queue or the group again.
    """
    if group is None:
        _drop_queue(shared, queue, yes)
        return
    if not yes:
        _control(shared, queue, group, "may_drop")
        confirm(f"Remove the group {group} of {queue}, with all its messages and dead letters?")
    count = _control(shared, queue, group, "drop")
    shared.show(
        {"queue": queue, "group": group, "dropped": count},
        f"{queue} has no group {group} any more; {plural(count, 'message')} forgotten",
    )


def _drop_queue(shared: Shared, queue: str, yes: bool) -> None:
    if not yes:
        _control(shared, queue, "", "may_drop_queue")
        confirm(f"Remove the queue {queue}, with its limits and totals?")
    _control(shared, queue, "", "drop_queue")
    shared.show({"queue": queue, "removed": True}, f"there is no queue {queue} any more")

"""`taskq dlq`: the calls that were given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from taskq.cli.support.conversation import ask, conversation
from taskq.cli.support.failure import USAGE, CliError
from taskq.cli.support.output import failed_attempts, fields, plain, plural, short_line, table, when
from taskq.cli.support.queues import named
from taskq.cli.support.shared import CommandGroup, F, Shared, confirm, data_options, pass_shared
from taskq.cli.support.target import only
from taskq.cli.support.values import COUNT, RATE
from taskq.client.dlq import letters
from taskq.codec.describe import describe_call
from taskq.errors import UnknownMessage
from taskq.protocol.operating import ListDead, PurgeDead, Replay
from taskq.protocol.values import DeadLetter


@click.group(cls=CommandGroup)
def command() -> None:
    """List, show, replay or purge dead letters."""


def filters(command: F) -> F:
    """The options that choose dead letters."""
    for option in (
        click.option("--error", default="", metavar="TEXT", help="Only errors with this in them."),
        click.option(
            "--task", default="", metavar="TEXT", help="Only tasks with this in the name."
        ),
        click.option("-g", "--group", default="", help="Only of this consumer group."),
        click.option("--queue", default="", metavar="NAME", help="Only of this queue."),
    ):
        command = option(command)
    return command


@command.command()
@filters
@click.option("-n", "--limit", type=COUNT, default=20, show_default=True)
@data_options
@pass_shared
def ls(shared: Shared, queue: str, group: str, task: str, error: str, limit: int) -> None:
    """List dead letters, oldest first."""
    # one more than is shown, to know whether there are more
    request = ListDead(queue=queue, group=group, task=task, error=error, limit=limit + 1)
    with conversation(only(shared.broker)) as connection:
        total = connection.call(ListDead(queue=queue, group=group, limit=0)).total
        found = list(letters(connection.call, request))
    if not total:
        named(shared, queue, group)  # a mistyped one has none either
    entries, more = found[:limit], len(found) > limit
    # how many fit a text is not known without reading all of them
    data = {"total": None if task or error else total, "entries": entries, "more": more}
    shared.show(data, _listed(entries, total))
    if more:
        shared.note(f"there are more than these {limit:,}; -n shows more")


def _listed(entries: list[DeadLetter], total: int) -> str:
    if not entries:
        return "no dead letters" if not total else f"none of {total:,} fits"
    rows = [
        (each.id, each.queue, each.task, each.attempts, when(each.last_failed_at), each.reason)
        for each in entries
    ]
    return table(("id", "queue", "task", "attempts", "last failed", "reason"), rows)


@command.command()
@click.argument("id")
@data_options
@pass_shared
def show(shared: Shared, id: str) -> None:
    """Show one dead letter with the traceback of its attempts.

    Its arguments are read without unpickling them.
    """
    entries = ask(shared, ListDead(id=id)).entries
    if not entries:
        raise UnknownMessage(f"there is no dead letter {id!r}; see taskq dlq ls")
    data = [plain(each) | {"arguments": describe_call(each.payload).arguments} for each in entries]
    shared.show(data, "\n\n".join("\n".join(describe(entry)) for entry in entries))


def describe(letter: DeadLetter) -> Iterator[str]:
    """One dead letter, for people."""
    call = describe_call(letter.payload)
    found: list[tuple[str, object]] = [
        ("id", letter.id),
        ("task", letter.task),
        ("arguments", call.arguments),
        ("code", "carries its code, which no worker could import" if call.carries_code else ""),
        ("queue", f"{letter.queue}, group {letter.group}"),
        ("reason", short_line(letter.reason, 500)),
        ("attempts", letter.attempts),
        ("deliveries", letter.deliveries),
        ("worker deaths", letter.deaths or ""),
        ("enqueued", when(letter.enqueued_at)),
        ("failed", f"{when(letter.first_failed_at)} to {when(letter.last_failed_at)}"),
    ]
    yield from fields(found)
    yield from failed_attempts(letter.errors)


def _check(ids: tuple[str, ...], everything: bool, fits: str, verb: str) -> None:
    if bool(ids) == bool(everything or fits):
        raise CliError(
            f"say which to {verb}: either IDs, or --task or --error, or --all (with --queue NAME)",
            USAGE,
        )


@command.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All of the queue, or of every queue.")
@filters
@click.option("--rate", type=RATE, metavar="N", help="At most so many a second.")
@data_options
@pass_shared
def replay(
    shared: Shared,
    /,
    ids: tuple[str, ...],
    everything: bool,
    rate: float | None,
    **fits: Any,
) -> None:
    """Put dead letters back into their queues, with a fresh count of attempts."""
    _check(ids, everything, fits["task"] or fits["error"], "replay")
    count = ask(shared, Replay(ids=list(ids), rate=rate, **fits)).count
    if not count:
        named(shared, fits["queue"], fits["group"])
    shared.show({"replayed": count}, f"{plural(count, 'dead letter')} put back")


@command.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All of the queue, or of every queue.")
@filters
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@data_options
@pass_shared
def purge(
    shared: Shared, /, ids: tuple[str, ...], everything: bool, yes: bool, **fits: Any
) -> None:
    """Delete dead letters."""
    _check(ids, everything, fits["task"] or fits["error"], "purge")
    if not ids and not yes:
        named(shared, fits["queue"], fits["group"])
        chosen = "that fit " if fits["task"] or fits["error"] else ""
        group = f" in the group {fits['group']}" if fits["group"] else ""
        confirm(f"Forget all dead letters {chosen}of {fits['queue'] or 'every queue'}{group}?")
    count = ask(shared, PurgeDead(ids=list(ids), **fits)).count
    if not count:
        named(shared, fits["queue"], fits["group"])
    shared.show({"purged": count}, f"{plural(count, 'dead letter')} forgotten")

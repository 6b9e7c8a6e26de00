"""`taskq job`: one message."""

from __future__ import annotations

from collections.abc import Iterator

import click

from taskq.cli.support.conversation import ask
from taskq.cli.support.output import (
    duration,
    failed_attempts,
    fields,
    plain,
    short_line,
    size,
    when,
)
from taskq.cli.support.shared import CommandGroup, Shared, data_options, pass_shared
from taskq.codec.describe import describe_call
from taskq.protocol.producing import Cancel, Inspect
from taskq.protocol.values import JobInfo

HEAD = 2**16  # bytes of a payload that are looked at


@click.group(cls=CommandGroup)
def command() -> None:
    """Show or cancel one message."""


@command.command()
@click.argument("id")
@data_options
@pass_shared
def show(shared: Shared, id: str) -> None:
    """Show everything known of the message ID: arguments, state, attempts, times, errors.

    Arguments are read without unpickling them.
    """
    jobs = ask(shared, Inspect(id=id, head=HEAD)).jobs
    data = [_as_data(job) for job in jobs]
    shared.show(data, "\n\n".join("\n".join(describe(job)) for job in jobs))


def describe(job: JobInfo) -> Iterator[str]:
    """One message in one group, for people."""
    waits = bool(job.consumer) and not job.is_running
    found: list[tuple[str, object]] = [
        ("id", job.id),
        ("task", job.task),
        ("arguments", _arguments(job)),
        ("code", "carries its code, which no worker could import" if job.carries_code else ""),
        ("queue", f"{job.queue}, group {job.group}, priority {job.priority}"),
        ("state", job.state),
        ("attempts", job.attempts),
        ("deliveries", job.deliveries),
        ("worker deaths", job.deaths or ""),
        ("enqueued", when(job.enqueued_at)),
        ("due", when(job.due_at) if job.state == "scheduled" else ""),
        ("delivered" if waits else "started", when(job.started_at)),
        ("finished", when(job.finished_at)),
        ("took", _took(job)),
        ("worker", _worker(job)),
        ("size", size(job.size)),
    ]
    if job.progress is not None:
        total = "" if job.progress.total is None else f" of {job.progress.total:g}"
        note = short_line(job.progress.note)
        found.append(("progress", f"{job.progress.done:g}{total} {note}".rstrip()))
    yield from fields(found)
    yield from failed_attempts(job.errors)


def _worker(job: JobInfo) -> str:
    if not job.consumer:
        return job.worker
    if job.is_running:
        return f"{job.consumer}, which runs it"
    return f"{job.consumer}, which is not known to have begun it"


def _arguments(job: JobInfo) -> str:
    return describe_call(job.payload).arguments if job.payload else ""


def _as_data(job: JobInfo) -> dict[str, object]:
    """The fields of a message, with the text of its arguments in place of their bytes."""
    data: dict[str, object] = plain(job)
    del data["payload"]
    return data | {"arguments": _arguments(job)}


def _took(job: JobInfo) -> str:
    if not job.started_at or not job.finished_at:
        return ""
    return duration(job.finished_at - job.started_at)


@command.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("--terminate", is_flag=True, help="Kill the process of a running one at once.")
@data_options
@pass_shared
def cancel(shared: Shared, ids: tuple[str, ...], terminate: bool) -> None:
    """Cancel messages. One that runs is asked to stop; see current().cancelled."""
    reply = ask(shared, Cancel(ids=list(ids), terminate=terminate))
    states = dict.fromkeys(ids, "had finished already")
    states |= dict.fromkeys(reply.cancelled, "cancelled")
    states |= dict.fromkeys(
        reply.asked, f"running; {'being killed' if terminate else 'asked to stop'}"
    )
    data = {"cancelled": reply.cancelled, "asked": reply.asked}
    shared.show(data, [f"{id}: {state}" for id, state in states.items()])

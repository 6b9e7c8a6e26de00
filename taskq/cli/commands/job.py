"""`taskq job`: one message."""

from __future__ import annotations

from collections.abc import Iterator

import click

from taskq.cli.support.output import duration, emit_json, one_line, plain, size, when
from taskq.cli.support.shared import Group, Shared, data_options, pass_shared
from taskq.cli.support.target import conversation, only
from taskq.protocol.producing import Cancel, Inspect
from taskq.protocol.values import JobInfo
from taskq.texts import harmless


@click.group(cls=Group)
def command() -> None:
    """Show or cancel one message."""


@command.command()
@click.argument("id")
@data_options
@pass_shared
def show(shared: Shared, id: str) -> None:
    """Show everything known of the message ID: state, attempts, times, errors."""
    with conversation(only(shared.broker), autostart=True) as connection:
        jobs = connection.call(Inspect(id=id)).jobs
    if shared.as_json:
        emit_json(jobs)
        return
    click.echo(harmless("\n\n".join("\n".join(describe(job)) for job in jobs)))


def describe(job: JobInfo) -> Iterator[str]:
    """One message in one group, for people."""
    fields: list[tuple[str, object]] = [
        ("id", job.id),
        ("task", job.task),
        ("queue", f"{job.queue}, group {job.group}, priority {job.priority}"),
        ("state", job.state),
        ("attempts", job.attempts),
        ("enqueued", when(job.enqueued_at)),
        ("due", when(job.due_at) if job.state == "scheduled" else ""),
        ("started", when(job.started_at)),
        ("finished", when(job.finished_at)),
        ("took", _took(job)),
        ("worker", job.worker),
        ("size", size(job.size)),
    ]
    if job.progress is not None:
        total = "" if job.progress.total is None else f" of {job.progress.total:g}"
        note = one_line(job.progress.note)
        fields.append(("progress", f"{job.progress.done:g}{total} {note}".rstrip()))
    for name, value in fields:
        if value != "":
            yield f"{name:<10}{value}"
    for error in job.errors:
        yield ""
        yield f"attempt {error.attempt} failed {when(error.at)} on {error.worker or 'the broker'}"
        yield (error.traceback or f"{error.kind}: {error.text}").rstrip("\n")


def _took(job: JobInfo) -> str:
    if not job.started_at or not job.finished_at:
        return ""
    return duration(job.finished_at - job.started_at)


@command.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("--terminate", is_flag=True, help="Kill the process of a running one.")
@data_options
@pass_shared
def cancel(shared: Shared, ids: tuple[str, ...], terminate: bool) -> None:
    """Cancel messages. One that runs is asked to stop; see current().cancelled."""
    with conversation(only(shared.broker), autostart=True) as connection:
        reply = connection.call(Cancel(ids=list(ids), terminate=terminate))
    if shared.as_json:
        emit_json({name: value for name, value in plain(reply).items() if name != "rid"})
        return
    for id in ids:
        if id in reply.cancelled:
            click.echo(f"{id}: cancelled")
        elif id in reply.asked:
            click.echo(f"{id}: running; {'being killed' if terminate else 'asked to stop'}")
        else:
            click.echo(f"{id}: had finished already")

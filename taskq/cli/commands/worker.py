"""`taskq worker`: the consumer pool of an app."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from taskq.cli.support.shared import Shared, broker_option, json_option, pass_shared
from taskq.cli.support.values import COUNT, DURATION, MODULES, SIZE

if TYPE_CHECKING:
    from taskq.worker.settings import WorkerSettings


@click.command()
@click.argument("app", required=False, envvar="TASKQ_APP", metavar="[APP]")
@click.option("-c", "--concurrency", type=COUNT, default=1, show_default=True, metavar="N",
              help="Child processes.")  # fmt: skip
@click.option("-Q", "--queues", metavar="a,b:3", help="Queues, with weights.  [default: the app's]")
@click.option("--include", multiple=True, metavar="MODULE", type=MODULES,
              help="Import this module with tasks, too; several: again, or with commas.")  # fmt: skip
@click.option("-g", "--group", default="default", show_default=True,
              help="Consumer group; each gets its own copy of every message.")  # fmt: skip
@click.option("--batch", type=COUNT, metavar="N", help="Most messages that one claim takes.")
@click.option("--burst", is_flag=True, help="Leave when nothing is left to do.")
@click.option("--max-tasks-per-child", type=COUNT, metavar="N",
              help="Replace a child after N tasks.")  # fmt: skip
@click.option("--max-memory-per-child", type=SIZE, metavar="300M",
              help="Replace a child that grows larger.")  # fmt: skip
@click.option("--shutdown-timeout", type=DURATION, default="30s", show_default=True, metavar="30s",
              help="What running tasks get after the first TERM or INT.")  # fmt: skip
@click.option("--name", help="Shown by taskq status.  [default: the host name]")
@click.option("-l", "--log-level", metavar="LEVEL",
              type=click.Choice(["debug", "info", "warning", "error", "critical"],
                                case_sensitive=False),
              help="debug, info, warning, error or critical.  [default: info]")  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="One line a record.")  # fmt: skip
@click.option("--check", is_flag=True, help="Import the app, reach the broker, list the tasks.")
@broker_option
@json_option
@pass_shared
def command(shared: Shared, /, **options: Any) -> None:
    """Run the tasks of APP, which is module:attribute, found from the current directory.

    Without APP (and without TASKQ_APP) it runs the calls that carry their function; name the queues
    with -Q. The first TERM or INT drains, the second hands everything back at once; HUP restarts
    the children; USR1 logs the stacks of every process.
    """
    from taskq.cli.support.target import name_for_apps

    name_for_apps(None)
    settings = settings_of(shared, **options)
    from taskq.worker.pool.launcher import run

    click.get_current_context().exit(run(settings))


def settings_of(
    shared: Shared,
    *,
    app: str | None,
    concurrency: int,
    queues: str | None,
    include: tuple[tuple[str, ...], ...],
    group: str,
    batch: int | None,
    burst: bool,
    max_tasks_per_child: int | None,
    max_memory_per_child: int | None,
    shutdown_timeout: float,
    name: str | None,
    log_level: str | None,
    log_format: str,
    check: bool,
) -> WorkerSettings:
    """What the options ask for.

    Raises:
        UsageError: an option is out of its range.
    """
    from taskq.cli.support.target import of_choice
    from taskq.worker.settings import MAX_BATCH, WorkerSettings, parse_queues

    if log_level is None:
        log_level = {1: "debug", -1: "warning"}.get(shared.verbosity, "info")
    try:
        return WorkerSettings(
            app=app,
            include=tuple(chain.from_iterable(include)),
            broker=of_choice(shared.broker).url if shared.broker else None,
            queues=parse_queues(queues) if queues else (),
            concurrency=concurrency,
            group=group,
            batch=MAX_BATCH if batch is None else batch,
            burst=burst,
            max_tasks=max_tasks_per_child,
            max_memory=max_memory_per_child,
            shutdown_timeout=shutdown_timeout,
            name=name,
            log_level=log_level,
            log_format="json" if shared.as_json else log_format,
            check=check,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None

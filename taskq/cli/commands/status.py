"""`taskq status`: queues, groups and workers, as they are now."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from taskq.cli.support.advice import start_worker
from taskq.cli.support.conversation import conversation
from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError
from taskq.cli.support.output import ago, duration, plain, plural, short_line, size, table
from taskq.cli.support.shared import Shared, data_options, pass_shared
from taskq.cli.support.target import Target, choose, none_known
from taskq.errors import TaskqError
from taskq.names import how_to_know
from taskq.protocol.operating import GetStats, Ping, Pong, Stats
from taskq.protocol.values import QueueStats, WorkerStats


@click.command()
@data_options
@pass_shared
def command(shared: Shared) -> None:
    """Show the queues, their groups and the workers; of every broker, unless --broker says which.

    A broker that does not run is not started: what it keeps on disk is there when it next starts.
    """
    targets = choose(shared.broker)
    if not targets:
        raise none_known()
    found = [(target, *_ask(target)) for target in targets]
    choices = {each: shared.broker or each.name * (len(targets) > 1) for each in targets}
    options = {
        each: f" --broker {shlex.quote(name)}" * bool(name) for each, name in choices.items()
    }
    text = "\n\n".join("\n".join(lines(*entry, options[entry[0]])) for entry in found)
    shared.show([as_data(*entry) for entry in found], text)
    if len(found) == 1 and found[0][1] is None:
        click.get_current_context().exit(UNREACHABLE)


def _ask(target: Target) -> tuple[Pong | None, Stats | None, str]:
    try:
        with conversation(target, autostart=False) as connection:
            return connection.call(Ping()), connection.call(GetStats()), ""
    except (CliError, TaskqError) as error:
        if isinstance(error, CliError) and error.exit_code == USAGE:
            raise
        return None, None, str(error)


def as_data(target: Target, pong: Pong | None, stats: Stats | None, why: str) -> dict[str, object]:
    """One broker for `--json`."""
    data: dict[str, object] = {"name": target.name, "url": target.url, "running": pong is not None}
    if pong is None or stats is None:
        return data | {"reason": why}
    broker = plain(pong) | plain(stats.broker)
    broker.pop("rid")
    broker["durability"] = pong.durability.kind
    return data | {
        "broker": broker,
        "queues": plain(stats.queues),
        "workers": plain(stats.workers),
    }


def lines(
    target: Target, pong: Pong | None, stats: Stats | None, why: str, option: str = ""
) -> Iterator[str]:
    """One broker for people. `option`: what a command has to add to mean it, if anything."""
    if pong is None or stats is None:
        yield f"{target.name}: {why}"
        return
    yield (
        f"{target.name}: broker pid {pong.pid}, taskq {pong.version}, durability "
        f"{pong.durability.kind}, up {duration(pong.uptime)}, {target.url}"
    )
    broker = stats.broker
    yield (
        f"{plural(broker.messages, 'message')} and {_results(broker.results)} kept, "
        f"{broker.acknowledged:,} accepted since the journal began"
    )
    yield ""
    yield queues_table(stats.queues, broker.now) if stats.queues else "no queues yet"
    yield from limits(stats)
    yield from _remarks(stats.queues, option)
    yield ""
    yield workers_table(stats.workers, broker.now) if stats.workers else "no workers"


def _results(number: int | None) -> str:
    return "an unknown number of results" if number is None else plural(number, "result")


def queues_table(queues: list[QueueStats], now: float) -> str:
    """One line for each group of each queue. `failed` counts attempts, the others messages."""
    columns = ("ready", "leased", "running", "scheduled", "held", "parked", "dead", "succeeded",
               "failed", "cancelled", "expired", "purged", "consumers")  # fmt: skip
    rows = [
        (
            stats.queue,
            stats.group,
            *(getattr(stats, column) for column in columns),
            ago(stats.oldest_ready_at, now) if stats.ready else "",
            "paused" if stats.paused else "",
        )
        for stats in sorted(queues, key=lambda each: (each.queue, each.group))
    ]
    return table(("queue", "group", *columns, "oldest ready", ""), rows)


def limits(stats: Stats) -> Iterator[str]:
    """One line for each limit that was set."""
    broker = stats.broker
    if broker.max_messages or broker.max_bytes:
        yield (
            f"the broker holds {plural(broker.messages, 'message')} of {size(broker.bytes)}; "
            f"its limit is {bounds(broker.max_messages, broker.max_bytes)}"
        )
    if broker.evicted_results:
        yield (
            f"{plural(broker.evicted_results, 'result')} expired early since the broker was started: "
            f"it keeps at most {bounds(broker.max_results, broker.max_result_bytes, 'result')}"
        )
    for queue in stats.queues:
        if not (queue.max_messages or queue.max_bytes):
            continue
        unfinished = queue.held + queue.parked + queue.scheduled + queue.ready + queue.leased
        waiting = plural(queue.producers, "producer")
        yield (
            f"{queue.queue} has {plural(unfinished, 'message')} of {size(queue.unfinished_bytes)} "
            f"to finish in group {queue.group}; its limit is "
            f"{bounds(queue.max_messages, queue.max_bytes)}"
            + (
                f"; {waiting} wait{'s' * (queue.producers == 1)} for room"
                if queue.producers
                else ""
            )
        )


def bounds(number: int, octets: int, what: str = "message") -> str:
    """Two limits for people; 0 is none."""
    found = [plural(number, what)] if number else []
    return " and ".join(found + ([size(octets)] if octets else []))


def _remarks(queues: list[QueueStats], option: str) -> Iterator[str]:
    for stats in queues:
        for task, count in sorted(stats.unknown.items()):
            name = short_line(task)
            yield (
                f"{plural(count, 'message')} of {stats.queue} parked: no worker of group "
                f"{stats.group} knows the task {name}; "
                f"{how_to_know(name, stats.queue, stats.group, option)}"
            )
        if stats.ready and not stats.consumers and not stats.paused:
            yield (
                f"nobody consumes {stats.queue} in group {stats.group}; start one with: "
                f"{start_worker(stats, option)}"
            )


def workers_table(workers: list[WorkerStats], now: float) -> str:
    """One line for each worker."""
    return table(
        ("worker", "host", "pid", "group", "queues", "children", "leased", "tasks", "seen", "taskq",
         "python"),
        [
            (
                worker.name,
                worker.info.host,
                str(worker.info.pid),
                worker.info.group,
                ",".join(worker.info.queues),
                worker.consumers,
                worker.leased,
                worker.tasks,
                ago(worker.seen_at, now),
                worker.info.version,
                worker.info.python,
            )
            for worker in sorted(workers, key=lambda each: each.name)
        ],
    )  # fmt: skip

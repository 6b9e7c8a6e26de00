"""The checks of `taskq doctor`. Each looks at one thing and says what it found."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

from taskq.cli.support.advice import start_worker
from taskq.cli.support.checks_on_disk import absent, disk, has_left, permissions
from taskq.cli.support.conversation import conversation
from taskq.cli.support.failure import USAGE, CliError
from taskq.cli.support.finding import Finding
from taskq.cli.support.output import duration, plural, size
from taskq.cli.support.target import Target
from taskq.errors import TaskqError
from taskq.names import group_option, how_to_know
from taskq.protocol.operating import GetStats, Ping, Pong, Stats
from taskq.protocol.values import BrokerStats, QueueStats
from taskq.version import __version__

CLOCKS_APART = 30.0  # seconds


def examine(target: Target, option: str = "") -> list[Finding]:
    """All checks on one broker. One that has left because it was idle is started.

    Args:
        target: the broker.
        option: what a command has to add to mean this broker, if anything.
    """
    findings: list[Finding] = []
    if target.directory is not None:
        if not target.directory.is_dir():
            return [Finding("broker", f"there is no {target.directory}", "check the name, or start"
                            f" a broker: taskq broker --dir {target.directory}")]  # fmt: skip
        findings += permissions(target.directory)
        if any(finding.wrong for finding in findings):
            return findings
        findings.append(disk(target.directory))
    # one that has ended by itself is started: only its journal knows what waits
    was_idle = target.directory is not None and has_left(target.directory / "broker.log")
    try:
        with conversation(target, autostart=was_idle) as connection:
            pong, stats = connection.call(Ping()), connection.call(GetStats())
    except (CliError, TaskqError) as error:
        if isinstance(error, CliError) and error.exit_code == USAGE:
            raise
        return [*findings, *absent(target, str(error))]
    return [
        *findings,
        *alive(pong),
        *clock(stats.broker.now - time.time()),
        *queues(stats.queues, option),
        *workers(stats, pong),
        *results(stats.broker),
    ]


def alive(pong: Pong) -> Iterator[Finding]:
    """The broker answers, and is of this version."""
    text = f"pid {pong.pid} answers, durability {pong.durability.kind}"
    yield Finding("broker", text)
    if pong.version != __version__:
        yield Finding(
            "version",
            f"the broker runs taskq {pong.version} and this command is {__version__}",
            f"restart it, so that both are the same: kill {pong.pid}",
        )


def clock(ahead: float) -> Iterator[Finding]:
    """The broker's time is that of this machine. `ahead`: seconds between the two."""
    if abs(ahead) < CLOCKS_APART:
        return
    text = f"the broker's clock is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} "
    yield Finding(
        "clock",
        text + "this machine's, and so are the times that commands show; calls are not affected",
        "restart the broker; if it stays ahead, its journal was written under a clock that was fast, "
        "and it waits for the time to come",
    )


def queues(found: list[QueueStats], option: str = "") -> Iterator[Finding]:
    """Every queue with messages has consumers that know them, and no dead letters."""
    for stats in found:
        place = f"queue {stats.queue}" + ("" if stats.group == "default" else f"/{stats.group}")
        waiting = stats.ready + stats.parked
        wrong = list(_queue_faults(stats, place, option, waiting))
        yield from wrong
        if not wrong:
            yield Finding(place, f"{plural(waiting, 'message')} waiting, "
                                 f"{plural(stats.consumers, 'consumer')}")  # fmt: skip


def _queue_faults(stats: QueueStats, place: str, option: str, waiting: int) -> Iterator[Finding]:
    queue, options = shlex.quote(stats.queue), group_option(stats.group) + option
    unwanted = ""
    if stats.group != "default":
        unwanted = f"; or, if the group is not needed: taskq queue drop {queue}{options}"
    if stats.paused and waiting:
        yield Finding(
            place,
            f"it is paused, with {plural(waiting, 'message')} waiting",
            f"taskq queue resume {queue}{options}",
        )
    elif stats.ready and not stats.consumers:
        yield Finding(
            place,
            f"nobody consumes it, with {plural(stats.ready, 'message')} waiting",
            f"start a worker: {start_worker(stats, option)}{unwanted}",
        )
    for task, count in sorted(stats.unknown.items()):
        yield Finding(
            place,
            f"{plural(count, 'message')} parked: no worker knows the task {task}",
            how_to_know(task, stats.queue, stats.group, option),
        )
    if stats.dead:
        yield Finding(
            place,
            plural(stats.dead, "dead letter"),
            f"see taskq dlq ls --queue {queue}{options}; then taskq dlq replay, or taskq dlq purge",
        )


def results(broker: BrokerStats) -> Iterator[Finding]:
    """No result had to go before its time."""
    if broker.evicted_results:
        yield Finding(
            "results",
            f"{plural(broker.evicted_results, 'result')} expired early since the broker was started: "
            f"{broker.results or 0:,} of {size(broker.result_bytes)} are kept, which is all it may "
            "keep",
            "give tasks a shorter result_ttl, or restart the broker with higher --max-results, "
            "--max-result-bytes or --max-bytes (TASKQ_MAX_RESULTS, …)",
        )


def workers(stats: Stats, pong: Pong) -> Iterator[Finding]:
    """Every worker is of the broker's version."""
    wrong = [worker for worker in stats.workers if worker.info.version != pong.version]
    for worker in wrong:
        yield Finding(
            "worker",
            f"{worker.name} (pid {worker.info.pid} on {worker.info.host}) runs taskq "
            f"{worker.info.version or 'of an unknown version'}, the broker {pong.version}",
            "upgrade and restart it",
        )
    if not wrong:
        yield Finding("workers", f"{plural(len(stats.workers), 'worker')} connected")

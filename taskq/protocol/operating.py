"""Requests of operators: control, limits, dead letters, statistics."""

from __future__ import annotations

from taskq.protocol.base import Done, Reply, Request
from taskq.protocol.values import BrokerStats, DeadLetter, Preview, QueueStats, WorkerStats


class Control(Request[Done], kw_only=True):
    """`action`: `pause`, `resume` or `purge` a queue, in one group or (empty) in all.

    `drop` removes one group that has no consumers, with its copies; `default` stays.
    """

    queue: str
    action: str
    group: str = ""


class Limit(Request[Done], kw_only=True):
    """Set the limits of a queue, also before its first message. 0: none. `None`: as it is.

    `max_messages` and `max_bytes` bound what each consumer group has to finish.
    """

    queue: str
    max_messages: int | None = None
    max_bytes: int | None = None


class Peek(Request["Peeked"], kw_only=True):
    """Look at waiting messages without taking them, in the order in which they would run."""

    queue: str
    group: str = "default"
    state: str = "ready"
    limit: int = 20


class Peeked(Reply, kw_only=True):
    """The answer to `Peek`."""

    messages: list[Preview]


class ListDead(Request["DeadLetters"], kw_only=True):
    """List dead letters, oldest first. Empty strings match everything; `error` and `task` match a
    part of the name. `since`, `after` and `after_group` go on behind an entry: its time of death,
    its id and group. If it is gone, those that died at the same instant come (again)."""

    queue: str = ""
    group: str = ""
    task: str = ""
    error: str = ""
    limit: int = 100
    id: str = ""
    since: float = 0.0
    after: str = ""
    after_group: str = ""


class DeadLetters(Reply, kw_only=True):
    """The entries, and how many there are in all (`total` counts the queue and group, not the
    filter). `more`: the limit or the size of a reply has cut the list."""

    entries: list[DeadLetter]
    total: int
    more: bool = False


class Replay(Request[Done], kw_only=True):
    """Put dead letters back: those of `ids`, or all of a queue. `rate`: so many a second.

    `task` and `error` choose among them as in `ListDead`.
    """

    ids: list[str] = []
    queue: str = ""
    group: str = ""
    rate: float | None = None
    task: str = ""
    error: str = ""


class PurgeDead(Request[Done], kw_only=True):
    """Forget dead letters: those of `ids`, or all of a queue.

    `task` and `error` choose among them as in `ListDead`.
    """

    ids: list[str] = []
    queue: str = ""
    group: str = ""
    task: str = ""
    error: str = ""


class GetStats(Request["Stats"], kw_only=True):
    """Ask for all counters."""


class Stats(Reply, kw_only=True):
    """The answer to `GetStats`."""

    broker: BrokerStats
    queues: list[QueueStats]
    workers: list[WorkerStats]


class Ping(Request["Pong"], kw_only=True):
    """Ask whether the broker lives."""


class Pong(Reply, kw_only=True):
    """`version` of taskq, process id and directory of the broker."""

    version: str
    pid: int
    directory: str
    durability: str
    uptime: float

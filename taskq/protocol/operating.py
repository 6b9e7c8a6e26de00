"""Requests of operators: control, limits, dead letters, statistics."""

from __future__ import annotations

from msgspec import Struct

from taskq.protocol.base import Done, Reply, Request
from taskq.protocol.values import (
    BrokerStats,
    DeadLetter,
    Preview,
    QueueStats,
    WorkerStats,
)


class Control(Request[Done], kw_only=True):
    """Change a queue. `action`: `pause`, `resume` or `purge`, in one group or (empty) in all.

    `drop` removes one group without consumers, and its messages. `default` cannot be removed.
    `drop_queue` removes the whole queue with its limits, if it has neither messages, dead letters nor
    consumers. `may_drop` and `may_drop_queue` change nothing, and fail where those would be refused.
    """

    queue: str
    action: str
    group: str = ""


class Limit(Request[Done], kw_only=True):
    """Set the limits of a queue, also before its first message. 0: no limit. `None`: unchanged.

    `max_messages` and `max_bytes` limit the unfinished messages of each consumer group.
    """

    queue: str
    max_messages: int | None = None
    max_bytes: int | None = None


class Peek(Request["Peeked"], kw_only=True):
    """List waiting messages without claiming them, in the order of delivery."""

    queue: str
    group: str = "default"
    state: str = "ready"
    limit: int = 20


class Peeked(Reply, kw_only=True):
    """The reply to `Peek`."""

    messages: list[Preview]


class ListDead(Request["DeadLetters"], kw_only=True):
    """List dead letters, oldest first. Empty strings match everything; `error` and `task` match a
    part of the text. `since`, `after` and `after_group` continue after an entry: its time of death, id
    and group. If it no longer exists, entries with the same time of death can be repeated."""

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
    """The reply to `ListDead`. `total`: dead letters of the queue and group, regardless of the filter.

    `more`: the list was truncated by the limit or the size of a reply.
    """

    entries: list[DeadLetter]
    total: int
    more: bool = False


class Replay(Request[Done], kw_only=True):
    """Replay dead letters: those of `ids`, or all of a queue. `rate`: maximum per second.

    `task` and `error` filter them as in `ListDead`.
    """

    ids: list[str] = []
    queue: str = ""
    group: str = ""
    rate: float | None = None
    task: str = ""
    error: str = ""


class PurgeDead(Request[Done], kw_only=True):
    """Delete dead letters: those of `ids`, or all of a queue.

    `task` and `error` filter them as in `ListDead`.
    """

    ids: list[str] = []
    queue: str = ""
    group: str = ""
    task: str = ""
    error: str = ""


class GetStats(Request["Stats"], kw_only=True):
    """Request all counters."""


class Stats(Reply, kw_only=True):
    """The reply to `GetStats`."""

    broker: BrokerStats
    queues: list[QueueStats]
    workers: list[WorkerStats]


class Durability(Struct):
    """What survives which accident.

    `kind` is one word; `text` says what it means. `window`: seconds of acknowledged work that a loss of
    power may take, `None` for an unknown amount. `replicas`: copies on other machines.
    """

    kind: str
    text: str = ""
    window: float | None = 0.0
    replicas: int = 0


class Ping(Request["Pong"], kw_only=True):
    """Check whether the broker responds."""


class Pong(Reply, kw_only=True):
    """The reply to `Ping`: the `version` of taskq, and the uptime of the broker in seconds.

    `pid` and `directory` are `None` if the broker is not a process of taskq.
    """

    version: str
    durability: Durability
    uptime: float
    pid: int | None = None
    directory: str | None = None


Requests = Control | Limit | Peek | ListDead | Replay | PurgeDead | GetStats | Ping
Replies = Peeked | DeadLetters | Stats | Pong

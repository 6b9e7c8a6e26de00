"""The settings of a worker, and the parsing of its queue notation."""

from __future__ import annotations

import msgspec

MAX_BATCH = 128
SMALLEST_CHILD = 2**20  # bytes; a lower limit would replace a child after every task


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one worker. A program that starts one passes them as JSON.

    Args:
        app: `module:attribute` of the `TaskQueue`; `None` runs only calls that carry their function.
        include: modules with tasks to import besides those that the app names.
        broker: broker URL; `None` takes the one of the app.
        queues: names and weights, in order; empty takes every queue that the app names.
        concurrency: number of child processes.
        group: consumer group.
        batch: the most messages that one claim takes.
        burst: leave when nothing is left to do.
        max_tasks: a child is replaced after so many tasks.
        max_memory: a child is replaced when its resident memory exceeds so many bytes.
        shutdown_timeout: seconds that running tasks get after the first TERM or INT.
        name: shown by `taskq status`; default: the host name.
        log_level: name of a `logging` level.
        log_format: `text` or `json`.
        check: import the app, reach the broker, print the tasks, and leave.
        ready_fd: descriptor that gets `ready` or `error: …` as a line, and is closed.
        owner_fd: the reading end of a pipe; the worker drains when nobody holds the other end.
    """

    app: str | None = None
    include: tuple[str, ...] = ()
    broker: str | None = None
    queues: tuple[tuple[str, int], ...] = ()
    concurrency: int = 1
    group: str = "default"
    batch: int = MAX_BATCH
    burst: bool = False
    max_tasks: int | None = None
    max_memory: int | None = None
    shutdown_timeout: float = 30.0
    name: str | None = None
    log_level: str = "info"
    log_format: str = "text"
    check: bool = False
    ready_fd: int | None = None
    owner_fd: int | None = None

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: a setting is out of its range.
        """
        if self.app is None and not self.queues:
            raise ValueError("a worker without an app needs the names of its queues: -Q NAME")
        if self.app is None and self.include:
            raise ValueError("a worker that includes modules needs the app that they belong to")
        for name in ("concurrency", "batch", "max_tasks", "max_memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.max_memory is not None and self.max_memory < SMALLEST_CHILD:
            raise ValueError(
                f"max_memory must be at least 1M, not {self.max_memory} bytes: no child is so small; "
                "sizes have a unit, as in 300M"
            )
        if not self.shutdown_timeout >= 0:
            raise ValueError(f"shutdown_timeout must not be negative: {self.shutdown_timeout}")
        if not self.group:
            raise ValueError("the name of the consumer group is empty")
        if self.log_format not in ("text", "json"):
            raise ValueError(f"log_format must be text or json, not {self.log_format!r}")
        if self.log_level.lower() not in ("debug", "info", "warning", "error", "critical"):
            raise ValueError(
                f"log_level must be debug, info, warning, error or critical, not {self.log_level!r}"
            )


def parse_queues(text: str) -> tuple[tuple[str, int], ...]:
    """Read `a,b:3` as queue `a` of weight 1 and queue `b` of weight 3.

    Raises:
        ValueError: an empty name, a name given twice, or a weight that is not a whole number ≥ 1.
    """
    queues: dict[str, int] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().rpartition(":")
        if not colon:
            name, weight = weight, "1"
        if not name:
            raise ValueError(f"a queue name is empty in {text!r}; write it like a,b:3")
        if not weight.isascii() or not weight.isdigit() or int(weight) < 1:
            raise ValueError(
                f"the weight of queue {name!r} must be a whole number ≥ 1: {weight!r}; for a queue "
                f"whose name has a colon write {name}:{weight}:1"
            )
        if name in queues:
            raise ValueError(f"queue {name!r} is named twice in {text!r}")
        queues[name] = int(weight)
    return tuple(queues.items())

"""The names and the registration of a worker and its consumers."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass

from taskq.protocol.consuming import Register
from taskq.protocol.values import WorkerInfo
from taskq.version import __version__


def worker_name(name: str | None) -> str:
    """A name for one worker; unique, since containers share process ids and users share names."""
    return f"{name or socket.gethostname()}-{os.getpid()}-{os.urandom(2).hex()}"


def worker_info(group: str, queues: list[str], concurrency: int) -> WorkerInfo:
    """The description of this worker that `taskq status` shows."""
    return WorkerInfo(
        host=socket.gethostname(),
        pid=os.getpid(),
        group=group,
        queues=queues,
        concurrency=concurrency,
        version=__version__,
        python=platform.python_version(),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """One consumer of one worker, and what it consumes.

    Args:
        worker: name of the worker.
        consumer: name of this consumer, unique for each process or thread that ever ran.
        group: consumer group.
        queues: names and weights.
    """

    worker: str
    consumer: str
    group: str
    queues: tuple[tuple[str, int], ...]

    def register(self, tasks: list[str], holding: list[int]) -> Register:
        """The request that begins a conversation."""
        return Register(
            worker=self.worker,
            consumer=self.consumer,
            group=self.group,
            queues=[name for name, _ in self.queues],
            tasks=tasks,
            holding=holding,
        )

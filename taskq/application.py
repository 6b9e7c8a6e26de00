"""Protocols of an app and its tasks, for the modules that may not import `TaskQueue`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from taskq.names import queue_argument

if TYPE_CHECKING:
    from taskq.backends.port import Broker
    from taskq.codec.envelope import Codec


class Policy(Protocol):
    """The options that the worker applies after a failed attempt: `TaskOptions`."""

    def gives_up(self, error: BaseException) -> bool: ...
    def retry_delay(self, failures: int) -> float | None: ...


class RunnableTask(Protocol):
    """A task as the processor sees it."""

    @property
    def fn(self) -> Callable[..., Any]: ...
    @property
    def queue(self) -> str: ...
    @property
    def defaults(self) -> Policy: ...


class App(Protocol):
    """An application object as workers, handles and dead letters see it: a `TaskQueue`."""

    @property
    def name(self) -> str: ...
    @property
    def broker(self) -> Broker: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def tasks(self) -> Mapping[str, RunnableTask]: ...


class Application(App, Protocol):
    """An application object as its tasks and local workers see it: a `TaskQueue`."""

    @property
    def url(self) -> str | None: ...
    @property
    def include(self) -> Sequence[str]: ...
    def is_importable(self) -> bool: ...
    def is_in_process(self) -> bool: ...
    def locate(self) -> str | None: ...


class Apps:
    """The application objects of this process, for as long as they live. Thread-safe.

    Attributes:
        lock: to be held while an app is looked for, and made if there is none.
    """

    def __init__(self) -> None:
        # a signal handler may come in while its own thread has it, so it can be taken twice
        self.lock = RLock()
        self._apps: WeakSet[Application] = WeakSet()

    def add(self, app: Application) -> None:
        """Remember one."""
        with self.lock:
            self._apps.add(app)

    def __iter__(self) -> Iterator[Application]:
        with self.lock:  # the set must not grow while it is read
            return iter(list(self._apps))


apps = Apps()


def queues_of(app: App) -> list[str]:
    """The queues that an app names: its own first, then those of its tasks."""
    return list(dict.fromkeys([app.name, *(task.queue for task in app.tasks.values())]))


def worker_command(queue: str, url: str) -> str:
    """The command that starts a worker for a queue.

    Args:
        queue: its name.
        url: of its broker.
    """
    from shlex import quote

    for app in apps:
        spec = app.locate() if app.url == url and queue in queues_of(app) else None
        if spec is not None:
            return f"taskq worker {spec}"
    return f"taskq worker MODULE:QUEUE -Q {queue_argument(queue)} --broker {quote(url)}"

"""What the others need of an app, so that nobody imports `TaskQueue` for a type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from taskq.backends.port import Broker
    from taskq.codec.envelope import Codec


class Policy(Protocol):
    """The options of a task that are decided where it runs: `TaskOptions`."""

    def gives_up(self, error: BaseException) -> bool: ...
    def retry_delay(self, attempt: int) -> float | None: ...


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

    def is_importable(self) -> bool: ...
    def is_in_process(self) -> bool: ...
    def locate(self) -> str | None: ...


def queues_of(app: App) -> list[str]:
    """The queues that an app names: its own first, then those of its tasks."""
    return list(dict.fromkeys([app.name, *(task.queue for task in app.tasks.values())]))

"""`TaskQueue`: the application object, a registry of tasks and the way to their broker."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from taskq import importing, names, program
from taskq.application import apps
from taskq.client.control import QueueControl
from taskq.client.handle import ResultHandle
from taskq.client.task import Task
from taskq.options.task_options import TaskOptions

if TYPE_CHECKING:
    from typing import Unpack

    from taskq.backends.port import Broker
    from taskq.client.dlq import DeadLetterQueue
    from taskq.client.local_workers import LocalWorkers
    from taskq.codec.envelope import Codec
    from taskq.options.task_options import QueueDefaults, TaskKeywords

P = ParamSpec("P")
R = TypeVar("R")

# which take a name of their own, or make no sense for every call of a queue
NOT_AS_DEFAULT = ("name", "id", "eta")


class TaskDecorator(Protocol):
    """What `queue.task(**options)` returns."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


class TaskQueue(QueueControl):
    """A queue of tasks: makes tasks of functions, and knows where their calls go.

    Nothing is connected or started before the first call. Thread-safe, and safe to use on both
    sides of a fork. Pickles as its arguments.

    Args:
        name: name of the queue.
        broker: URL: `"embedded:DIR"`, `"unix:PATH"`, `"tcp://HOST:PORT"`, `"memory:"`. `None`: the
            environment's `TASKQ_BROKER`, a URL too, else an embedded broker of that name.
        include: names of modules with tasks, which workers import besides the one of this object.
        defaults: task options for every task of this queue.

    Raises:
        TypeError: an unknown option, or a value of the wrong type.
        ValueError: a value out of range, or a name that is empty or has a comma.
    """

    is_default = False  # the one behind `taskq.task`, which every process makes for itself

    def __init__(
        self,
        name: str = "default",
        *,
        broker: str | None = None,
        include: Iterable[str] = (),
        **defaults: Unpack[QueueDefaults],
    ) -> None:
        from taskq.options.checks import module_names, queue_name

        self.name = queue_name("the name of a TaskQueue", name)
        if broker is not None and (not isinstance(broker, str) or not broker):
            raise TypeError(f"broker must be a URL or None, not {broker!r}")
        changes: dict[str, Any] = {**defaults}
        for option in NOT_AS_DEFAULT:
            if option in changes:
                raise TypeError(f"the option {option} cannot be a default of a TaskQueue")
        self.include = module_names("include", include)
        self.tasks: dict[str, Task[..., Any]] = {}
        self._defaults = changes
        self._options = TaskOptions().merge(changes)
        self._url = broker
        self._broker: Broker | None = None
        self._codec: Codec | None = None
        self._lock = threading.RLock()
        self._module = _calling_module()
        self._number = next(_numbers)
        apps.add(self)

    # --- tasks ------------------------------------------------------------------------------

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[TaskKeywords]) -> TaskDecorator: ...
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Turn a function, or an `async def`, into a task; with or without options.

        Raises:
            TypeError: an unknown option, a value of the wrong type, or not a function.
            ValueError: a value out of range, or another function has that name already.
        """
        if "id" in options:
            raise TypeError("the option id names one message; give it with task.options(id=…)")
        checked = self._options.merge(options)
        if fn is not None:
            return self._register(fn, checked)
        return lambda function: self._register(function, checked)

    def handle(self, id: str) -> ResultHandle[Any]:
        """The handle of a call that was enqueued before, here or elsewhere.

        Args:
            id: message id, as in `ResultHandle.id`. It is not looked up before the handle is asked.
        """
        from taskq.options.checks import text

        return ResultHandle(self, text("id", id))

    @property
    def dlq(self) -> DeadLetterQueue:
        """The dead letters of every queue that the tasks of this object go to."""
        from taskq.client.dlq import DeadLetterQueue

        return DeadLetterQueue(self)

    def workers(
        self, n: int = 1, *, shutdown_timeout: float = 30.0, log_level: str = "warning"
    ) -> LocalWorkers:
        """Real worker processes for the length of a `with` block; threads with a `memory:` broker.

        Args:
            n: number of processes.
            shutdown_timeout: seconds that running tasks get at the end of the block.
            log_level: of the workers, on stderr.

        Raises:
            ValueError: a number out of range.
            TaskqError: the workers could not start.
        """
        from taskq.client.local_workers import LocalWorkers

        importing.refuse_to_block()
        return LocalWorkers(self, n, shutdown_timeout=shutdown_timeout, log_level=log_level)

    def close(self) -> None:
        """Close this thread's connection. A later call opens another one."""
        with self._lock:
            if self._broker is not None:
                self._broker.close()

    # --- for workers, handles and the command line ------------------------------------------

    @property
    def broker(self) -> Broker:
        """The way to the broker."""
        return self._broker or self._connect()

    @property
    def codec(self) -> Codec:
        """Encodes and signs calls and results."""
        return self._codec or self._make_codec()

    @property
    def url(self) -> str | None:
        """URL of the broker, as resolved once it is known, or as given."""
        return self._url if self._broker is None else self._broker.url

    def use_broker(self, broker: Broker | str | None) -> None:
        """Use that broker from now on; a worker gets its broker from the command line.

        Args:
            broker: a URL, or a broker object that is shared. `None` changes nothing.
        """
        if broker is None:
            return
        with self._lock:
            self._codec = None
            if isinstance(broker, str):
                self._url, self._broker = broker, None
            else:
                self._url, self._broker = broker.url, broker

    def is_importable(self) -> bool:
        """Whether a worker can get this object by importing a module."""
        return self.is_default or self.locate() is not None

    def is_in_process(self) -> bool:
        """Whether broker and workers live in this process, so they have this very object."""
        return self.broker.url.startswith("memory:")

    def locate(self) -> str | None:
        """`module:attribute` of this object for `taskq worker`, or `None`."""
        modules = [self._module, *(task.fn.__module__ for task in self.tasks.values())]
        return names.locate(self, list(dict.fromkeys(modules)))

    # --- inside -----------------------------------------------------------------------------

    def _register(self, fn: Callable[..., Any], options: TaskOptions) -> Task[..., Any]:
        if isinstance(fn, Task):
            raise TypeError(f"{fn.name} is a task already")
        if not callable(fn) or isinstance(fn, type):
            raise TypeError(
                f"a task is made of a function, not of {fn!r}; options go by keyword: "
                "@queue.task(name=…)"
            )
        name = options.name or names.task_name(fn)
        if fn.__module__ in program.MAIN:
            program.add_alias()
        with self._lock:
            known = self.tasks.get(name)
            if known is not None and not _redefines(fn, known.fn):
                raise ValueError(
                    f"there are two different functions for the task name {name!r}; "
                    "give one of them another one: @queue.task(name=…)"
                )
            task = self.tasks[name] = Task(self, fn, name, options)
        return task

    def _connect(self) -> Broker:
        with self._lock:
            if self._broker is None:
                from taskq.backends import connect

                broker = connect(self._url, self.name)
                # looked at again: a signal handler of this very thread may have connected meanwhile
                self._broker = self._broker or broker
            return self._broker

    def _make_codec(self) -> Codec:
        with self._lock:
            if self._codec is None:
                from taskq.codec.envelope import Codec

                self._codec = Codec(self.broker.payload_key, self.broker.max_payload)
            return self._codec

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.name, self.url, self._defaults, self._number, self.include)

    def __repr__(self) -> str:
        return f"<TaskQueue {self.name!r} at {self.url or 'its default broker'}>"


def _calling_module() -> str:
    """The module that makes a `TaskQueue`."""
    return str(sys._getframe(2).f_globals.get("__name__", ""))


def _redefines(new: Callable[..., Any], old: Callable[..., Any]) -> bool:
    """Whether the same definition ran again: a notebook's cell, a reload, a factory."""
    place = (new.__module__, new.__qualname__) == (old.__module__, old.__qualname__)
    if place and names.module_of(new) is None:
        return True
    codes = [getattr(fn, "__code__", None) for fn in (new, old)]
    lines = [code and (code.co_filename, code.co_firstlineno) for code in codes]
    return new is old or (place and lines[0] is not None and lines[0] == lines[1])


_numbers = count(1)


def _restore(
    name: str,
    url: str | None,
    defaults: dict[str, Any],
    number: int = 0,
    include: tuple[str, ...] = (),
) -> TaskQueue:
    """Unpickle: the queue object that this process has already, or a new one.

    Every `memory:` is another broker, so there it must be the very same object.
    """
    with apps.lock:  # or two threads that unpickle it at once make one each
        for queue in _all():
            same = queue.name == name and url is not None and queue.url == url
            if same and (url != "memory:" or queue._number == number):
                return queue
        return TaskQueue(name, broker=url, include=include, **cast("QueueDefaults", defaults))


def _all() -> list[TaskQueue]:
    return [app for app in apps if isinstance(app, TaskQueue)]


def _forked() -> None:
    # a lock may be held for ever by a thread that stayed in the parent
    apps.lock = threading.RLock()
    for queue in _all():
        queue._lock = threading.RLock()


os.register_at_fork(after_in_child=_forked)

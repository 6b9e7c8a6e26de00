"""`Task`: a function that enqueues its calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import update_wrapper
from os import urandom
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from taskq import importing, names
from taskq.client.handle import Origin, ResultHandle, of_another
from taskq.errors import ResultExpired, UnknownMessage
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call

if TYPE_CHECKING:
    from typing import Unpack

    from taskq.application import Application
    from taskq.client.handles import HandleSet
    from taskq.codec.by_value import ByValue
    from taskq.options.task_options import Overrides, TaskOptions
    from taskq.protocol.values import Options

P = ParamSpec("P")
R = TypeVar("R")

SHAPES_KEPT = 256
DECIDED_BY_WORKER = ("retry_on", "give_up_on")


class _Sending:
    """How the calls of a task are sent; never changed, so that threads see all of it or nothing."""

    __slots__ = ("code", "options")

    def __init__(self, options: Options, code: ByValue | None) -> None:
        self.options = options
        self.code = code


class Task(Generic[P, R]):
    """A function whose calls run in workers. Make one with `@queue.task`.

    Attributes:
        fn: the plain function.
        name: the name under which workers know it.
        queue: the queue that its calls go to.
        defaults: its options, checked.
        origin: what the handles of its calls know of them.
    """

    fn: Callable[P, R]
    # decided at the first call: while its module is being imported, its name does not lead to it yet
    _sending: _Sending | None = None

    def __init__(
        self,
        app: Application,
        fn: Callable[P, R],
        name: str,
        options: TaskOptions,
        carries_code: bool | None = None,
    ) -> None:
        update_wrapper(self, fn)
        self.app = app
        self.fn = fn
        self.name = name
        self.queue = options.queue or app.name
        self.defaults = options
        self.origin = Origin(name, options.serializer)
        self._shapes: set[tuple[Any, ...]] = set()
        if carries_code is not None:
            self._sending = self._send_with(carries_code)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ResultHandle[R]:
        """Enqueue a call. Returns when the broker has it in its journal.

        Raises:
            TypeError: the arguments do not fit the function.
            SerializationError: an argument cannot be pickled; it is named. Nothing is enqueued.
            PayloadTooLarge, DiskFull: the broker would not take it.
            QueueFull: a limit is reached, after `when_full` seconds if that was asked for.
            UnknownMessage: the option `id` is that of a call of another task.
            BrokerUnavailable: no broker answered within the reconnect budget.
        """
        id = self.defaults.id or urandom(12).hex()
        if not importing.is_importing():
            call = Call(id, self._encode(id, args, kwargs))
            reply = self.app.broker.call(self._request([call]))
            if reply.existing and self.defaults.id is not None:
                self._refuse_id_of_another(id)
        return ResultHandle(self.app, id, self.origin)

    def options(self, **overrides: Unpack[Overrides]) -> Task[P, R]:
        """The same task with other options, for the calls made through what is returned.

        Raises:
            TypeError: an unknown option, or one that only the decorator may set.
            ValueError: a value out of range.
        """
        changes = cast("dict[str, Any]", overrides)
        if "name" in changes:
            raise TypeError("the option name belongs to the decorator; a call cannot change it")
        carries_code: bool | None = (self._sending or self._decide()).code is not None
        if not carries_code:
            self._refuse_what_workers_decide(changes)
        merged = self.defaults.merge(changes)
        if merged.serializer != self.defaults.serializer:
            carries_code = None
        task = Task(self.app, self.fn, self.name, merged, carries_code)
        task._shapes = self._shapes
        return task

    def call_local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, with no broker; an `async def` one in a new event loop."""
        from taskq import context

        token = context.enter(context.local(self.name, self.queue))
        try:
            value = self.fn(*args, **kwargs)
            if inspect.iscoroutine(value):
                import asyncio

                value = asyncio.run(value)
            return value
        finally:
            context.leave(token)

    def map(self, iterable: Iterable[Any]) -> HandleSet[R]:
        """Enqueue one call an item, each with the item as its only argument.

        Raises:
            as a call does; the calls enqueued before a faulty item are cancelled.
        """
        return self.starmap((item,) for item in iterable)

    def starmap(self, iterable: Iterable[Iterable[Any]]) -> HandleSet[R]:
        """Enqueue one call an item, each with the item's elements as its arguments.

        Raises:
            as a call does; the calls enqueued before a faulty item are cancelled.
        """
        from taskq.client import bulk

        if self.defaults.id is not None:
            raise ValueError("the option id names one message; map makes many")
        return bulk.starmap(self, iterable)

    # --- for bulk ---------------------------------------------------------------------------

    def encode(self, id: str, args: tuple[Any, ...]) -> bytes:
        """The payload of one call with positional arguments."""
        return self._encode(id, args, {})

    def request(self, calls: list[Call]) -> Enqueue:
        """The request that enqueues these calls."""
        return self._request(calls)

    # --- inside -----------------------------------------------------------------------------

    def _encode(self, id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        shape = (len(args), *kwargs)
        if shape not in self._shapes:
            self._check_arguments(args, kwargs, shape)
        # a handle as an argument will make the call wait for it; so it must not mean less before
        if ResultHandle in map(type, args) or (
            kwargs and ResultHandle in map(type, kwargs.values())
        ):
            raise TypeError(
                f"{self.name} was given a ResultHandle, which this version cannot wait for; "
                "pass its result() or its id"
            )
        code = (self._sending or self._decide()).code
        return self.app.codec.encode_call(
            self.queue,
            id,
            self.name,
            args,
            kwargs,
            function=None if code is None else code.data(),
            serializer=self.defaults.serializer,
            signed_like=self.fn,
        )

    def _request(self, calls: list[Call]) -> Enqueue:
        options = self.defaults
        return Enqueue(
            queue=self.queue,
            task=self.name,
            options=(self._sending or self._decide()).options,
            calls=calls,
            delay=options.delay,
            eta_at=options.eta,
            expires_at=options.expires_at,
            expires=options.expires,
            wait=options.when_full,
        )

    def _check_arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], shape: tuple[Any, ...]
    ) -> None:
        """Whether a call is well-formed depends on its shape alone, so each is looked at once."""
        try:
            signature = inspect.signature(self.fn)
        except ValueError:
            return  # a builtin without one
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            first = next(iter(signature.parameters), "")
            advice = (
                "; a task is no method and is given no self: make it a function of the module"
                if first == "self" and "." in self.fn.__qualname__
                else ""
            )
            raise TypeError(f"{self.fn.__qualname__}(): {error}{advice}") from None
        if len(self._shapes) < SHAPES_KEPT:
            self._shapes.add(shape)

    def _refuse_id_of_another(self, id: str) -> None:
        try:
            info = ResultHandle[Any](self.app, id).info()
        except (UnknownMessage, ResultExpired):
            return  # it is forgotten, so nobody knows whose it was
        if info.task != self.name:
            raise of_another(id, self.name, info.task, info.queue)

    def _decide(self) -> _Sending:
        """Whether calls carry the function, since no worker could import it."""
        # JSON cannot carry a function
        by_name = self.defaults.serializer == "json" or self.app.is_in_process()
        sending = self._send_with(not (by_name or self._is_importable()))
        # what the first of several threads has decided holds for all
        first: _Sending = self.__dict__.setdefault("_sending", sending)
        return first

    def _send_with(self, carries_code: bool) -> _Sending:
        code = None
        if carries_code:
            from taskq.codec.by_value import ByValue

            options = self.defaults if self.defaults.has_policy() else None
            code = ByValue(self.name, self.fn, options)
        return _Sending(self.defaults.to_wire(carries_code), code)

    def _is_importable(self) -> bool:
        if names.module_of(self.fn) is None:
            return False
        found = names.find(self.fn.__module__, self.fn.__qualname__)
        return isinstance(found, Task) and found.fn is self.fn and self.app.is_importable()

    def _refuse_what_workers_decide(self, changes: dict[str, Any]) -> None:
        for name in DECIDED_BY_WORKER:
            if name in changes:
                raise TypeError(
                    f"the option {name} belongs to the decorator: the worker decides it"
                )
        if callable(changes.get("backoff")):
            raise TypeError("a backoff function belongs to the decorator: the worker calls it")

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._is_importable():
            return _restore, (self.app, self.fn, self.name, self.defaults)
        module = names.module_of(self.fn)
        return _import, (module, self.fn.__qualname__, self.defaults)

    def __repr__(self) -> str:
        return f"<Task {self.name} of queue {self.queue!r}>"


def _restore(
    app: Application, fn: Callable[..., Any], name: str, options: TaskOptions
) -> Task[..., Any]:
    return Task(app, fn, name, options, carries_code=True)


def _import(module: str, qualname: str, options: TaskOptions) -> Task[..., Any]:
    import importlib

    importlib.import_module(module)
    task = names.find(module, qualname)
    if not isinstance(task, Task):
        raise ImportError(f"{module}.{qualname} is not a task here")
    if task.defaults == options:
        return task
    return Task(task.app, task.fn, task.name, options, carries_code=False)

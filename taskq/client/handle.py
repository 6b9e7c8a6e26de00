"""`ResultHandle`: one call that was enqueued, and its outcome."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from taskq import errors, importing
from taskq.client.waiting import ResultWatch
from taskq.codec.ref import CallRef
from taskq.options.durations import timeout_of

if TYPE_CHECKING:
    import asyncio

    from taskq.application import App
    from taskq.protocol.values import Finished, JobInfo, Progress

R_co = TypeVar("R_co", covariant=True)

BITS_OF_TEXT = 14_000  # up to here, `str` of an int needs no permission

_PENDING: Any = object()
_FAILED = ("dead", "cancelled", "expired")
_FINAL = ("succeeded", *_FAILED)


class Origin(NamedTuple):
    """What a handle knows of its call if a task made it.

    Not the queue: an id that was in use already stands for the first message that had it.
    """

    task: str
    serializer: str


class ResultHandle(Generic[R_co]):
    """A call that was enqueued. Get one by calling a task, or by `queue.handle(id)`.

    Handles are equal when their ids are; they pickle, and work in another process.
    """

    __slots__ = ("_app", "_error", "_is_replayed", "_origin", "_value", "id")

    def __init__(self, app: App, id: str, origin: Origin | None = None) -> None:
        self._app = app
        self.id = id
        self._origin = origin
        self._value: Any = _PENDING
        self._error: BaseException | None = None
        self._is_replayed = False  # `info` has seen that the failure held here is not the last word

    # --- the outcome ------------------------------------------------------------------------

    def __call__(self) -> R_co:
        """`result()`: wait and return, or raise."""
        return self.result()

    def result(self, timeout: float | None = None) -> R_co:
        """Wait for the call and return what the task returned.

        Args:
            timeout: seconds to wait; `None` waits for as long as it takes.

        Raises:
            TimeoutError: not finished within `timeout`; the handle stays valid. `BrokerTimeout` where
                no broker has answered by then, or one has not for 30 s.
            TaskCancelled, TaskExpired: it was, before it could finish.
            UnknownMessage: the broker has no such message.
            ResultExpired: it finished, and its result has outlived its TTL.
            BrokerUnavailable: the broker was gone for longer than the reconnect budget.
            BaseException: whatever the task raised; `TaskFailed` if that cannot be rebuilt.
        """
        if self._is_open():
            self._wait(timeout)
        return self._outcome()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return what `result` would raise, or `None`.

        Args:
            timeout: seconds to wait.

        Raises:
            TimeoutError: not finished within `timeout`.
        """
        if self._is_open():
            self._wait(timeout)
        return self._error

    def __await__(self) -> Generator[Any, None, R_co]:
        return self._awaited().__await__()

    async def _awaited(self) -> R_co:
        if not self._is_open():
            return self._outcome()
        importing.refuse_to_block()
        import asyncio

        from taskq.client.waiter import waiter_of

        future: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        waiter = waiter_of(self._app.broker)
        callback = _resolver(future)
        waiter.add(self.id, callback)
        try:
            self.settle(await future)
        finally:
            waiter.discard(self.id, callback)
        return self._outcome()

    def done(self) -> bool:
        """Whether the call has ended, in whatever way. Does not wait.

        Raises:
            UnknownMessage: the broker has no such message.
            ResultExpired: it finished, and its result has outlived its TTL.
        """
        if isinstance(self._error, errors.ResultExpired):
            raise self._error
        return not self._is_open() or self.status() in _FINAL

    # --- about the call ---------------------------------------------------------------------

    def status(self) -> str:
        """`held`, `parked`, `scheduled`, `ready`, `leased`, `succeeded`, `dead`, `cancelled` or
        `expired`.

        Raises:
            UnknownMessage: the broker has no such message.
            ResultExpired: it finished, and its result has outlived its TTL.
        """
        return self.info().state

    def info(self) -> JobInfo:
        """Everything known of the call: attempts, worker, times, errors.

        A handle keeps the outcome of its call. If this finds a failed call replayed, `result` waits
        for the new outcome.

        Raises:
            UnknownMessage: the broker has no such message.
            ResultExpired: it finished, and its result has outlived its TTL.
        """
        from taskq.protocol.producing import Inspect

        importing.refuse_to_block()
        job = self._app.broker.call(Inspect(id=self.id)).jobs[0]
        if self._error is not None and job.state not in _FAILED:
            self._is_replayed = True
        return job

    def progress(self) -> Progress | None:
        """How far the running task says it is, or `None`.

        Raises:
            UnknownMessage: the broker has no such message.
            ResultExpired: it finished, and its result has outlived its TTL.
        """
        return self.info().progress

    def cancel(self, terminate: bool = False) -> bool:
        """Cancel the call; true if it will not run, or has been asked to stop.

        Args:
            terminate: kill the process of a running one at once; its `finally` blocks do not run.

        Raises:
            UnknownMessage: the broker has no such message.
        """
        from taskq.protocol.producing import Cancel

        importing.refuse_to_block()
        reply = self._app.broker.call(Cancel(ids=[self.id], terminate=terminate))
        return bool(reply.cancelled or reply.asked)

    # --- for wait and as_completed ----------------------------------------------------------

    @property
    def app(self) -> App:
        """The queue object through which this handle asks."""
        return self._app

    @property
    def is_settled(self) -> bool:
        """Whether this handle holds the outcome already."""
        if self._error is not None:
            return not self._is_replayed
        return self._value is not _PENDING

    def settle(self, finished: Finished) -> None:
        """Keep the outcome that the broker reports."""
        state, codec = finished.state, self._app.codec
        self._is_replayed = False
        task, serializer = self._origin or (finished.task, None)
        call = CallRef(finished.queue, self.id, task)
        if finished.task and finished.task != task:
            self._error = of_another(self.id, task, finished.task, finished.queue)
        elif state == "succeeded":
            try:
                value = codec.decode_result(call, finished.value, serializer)
            except errors.SerializationError as error:
                self._error = error
                return
            if type(value) is int and value.bit_length() > BITS_OF_TEXT:
                from taskq.client.digit_limit import raise_digit_limit

                raise_digit_limit(value)
            self._value = value  # after the digit limit: another thread may print it at once
            self._error = None  # after the value: that thread finds the one or the other
        elif state == "dead" and finished.error is not None:
            self._error = codec.decode_error(call, finished.error, serializer)
        else:
            self._error = _ended(self.id, state)

    def _is_open(self) -> bool:
        """Whether to ask the broker; again after an unknown id, which may be enqueued later."""
        error = self._error
        if error is None:
            return self._value is _PENDING
        return self._is_replayed or type(error) is errors.UnknownMessage

    def _wait(self, timeout: float | None) -> None:
        importing.refuse_to_block()
        timeout = timeout_of(timeout)
        deadline = None if timeout is None else monotonic() + timeout
        watch = ResultWatch(self._app.broker, (self.id,))
        finished = watch.next(deadline)
        if not finished:
            watch.close()
            raise TimeoutError(f"call {self.id} has not finished within {timeout} s")
        self.settle(finished[0])

    def _outcome(self) -> R_co:
        error = self._error
        if error is None:
            return cast("R_co", self._value)
        try:
            raise error
        finally:
            del self, error  # the traceback holds this frame: do not hold the exception in return

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResultHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return ResultHandle, (self._app, self.id, self._origin)

    def __repr__(self) -> str:
        return f"<ResultHandle {self.id}{f' of {self._origin.task}' if self._origin else ''}>"


def of_another(id: str, task: str, other: str, queue: str) -> errors.UnknownMessage:
    """The error of a handle whose id is that of a call of another task, in that queue."""
    return errors.UnknownMessage(
        f"there is no call {id} of {task}: that id is one of {other} in queue {queue!r}; "
        "give each call an id of its own"
    )


def _ended(id: str, state: str) -> errors.TaskqError:
    if state == "cancelled":
        return errors.TaskCancelled(f"call {id} was cancelled")
    if state == "expired":
        return errors.TaskExpired(f"call {id} was not started before it expired")
    if state == "forgotten":
        return errors.ResultExpired(
            f"call {id} finished and its result has expired; give the task a longer result_ttl"
        )
    if state == "unknown":
        return errors.UnknownMessage(
            f"the broker has no message {id}: it was never enqueued, was purged, or is long forgotten"
        )
    return errors.TaskFailed(f"call {id} ended as {state!r}")


def _resolver(future: asyncio.Future[Finished]) -> Callable[[Finished | BaseException], None]:
    """A callback for the waiter's thread."""
    loop = future.get_loop()

    def resolve(end: Finished | BaseException) -> None:
        if future.done():
            return
        if isinstance(end, BaseException):
            future.set_exception(end)
        else:
            future.set_result(end)

    def callback(end: Finished | BaseException) -> None:
        # a loop that is closed has nobody who waits; it may close between a look and the call
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(resolve, end)

    return callback

"""Many handles: `HandleSet`, `wait` and `as_completed`. One connection and one parked request."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TextIO, TypeVar, overload

from taskq import importing
from taskq.client.handle import ResultHandle
from taskq.client.waiting import ResultWatch, not_in_time
from taskq.errors import BrokerUnavailable
from taskq.options.durations import timeout_of

if TYPE_CHECKING:
    from taskq.application import App
    from taskq.protocol.values import Finished

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Condition = Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]

CANCEL_AT_ONCE = 5000  # ids in one request


class DoneAndNotDone(NamedTuple):
    """The two sets that `wait` returns."""

    done: set[ResultHandle[Any]]
    not_done: set[ResultHandle[Any]]


class HandleSet(Sequence[ResultHandle[R_co]]):
    """The handles of many calls, in the order of the calls."""

    __slots__ = ("_app", "_handles")

    def __init__(self, app: App, handles: Iterable[ResultHandle[R_co]]) -> None:
        self._app = app
        self._handles = list(handles)

    @overload
    def __getitem__(self, index: int) -> ResultHandle[R_co]: ...
    @overload
    def __getitem__(self, index: slice) -> HandleSet[R_co]: ...
    def __getitem__(self, index: int | slice) -> ResultHandle[R_co] | HandleSet[R_co]:
        if isinstance(index, slice):
            return HandleSet(self._app, self._handles[index])
        return self._handles[index]

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Iterator[ResultHandle[R_co]]:
        return iter(self._handles)

    @overload
    def results(
        self,
        timeout: float | None = None,
        *,
        return_exceptions: Literal[False] = False,
        progress: bool | TextIO = False,
    ) -> list[R_co]: ...
    @overload
    def results(
        self,
        timeout: float | None = None,
        *,
        return_exceptions: bool,
        progress: bool | TextIO = False,
    ) -> list[R_co | BaseException]: ...
    def results(
        self,
        timeout: float | None = None,
        *,
        return_exceptions: bool = False,
        progress: bool | TextIO = False,
    ) -> list[Any]:
        """Wait for all and return what the tasks returned, in the order of the calls.

        Args:
            timeout: seconds for all of them together.
            return_exceptions: put the error of a failed call in the place of its result, as
                `asyncio.gather` does, instead of raising the first one.
            progress: draw a progress bar on a terminal: on stderr, or on that file.

        Raises:
            TimeoutError: some have not finished within `timeout`.
            BaseException: the error of the first call, in their order, that has failed.
        """
        for _ in self._drawn(self.as_completed(timeout), progress):
            pass
        if return_exceptions:
            errors = [handle.exception() for handle in self._handles]
            return [
                handle.result() if error is None else error
                for handle, error in zip(self._handles, errors, strict=True)
            ]
        return [handle.result() for handle in self._handles]

    def as_completed(self, timeout: float | None = None) -> Iterator[ResultHandle[R_co]]:
        """The handles as they finish; see `as_completed`."""
        return as_completed(self._handles, timeout)

    def wait(
        self, timeout: float | None = None, *, return_when: Condition = "ALL_COMPLETED"
    ) -> DoneAndNotDone:
        """Wait for them; see `wait`."""
        return wait(self._handles, timeout, return_when=return_when)

    def cancel(self, terminate: bool = False) -> int:
        """Cancel what has not finished; returns how many will not run or were asked to stop.

        Args:
            terminate: kill the processes of running ones at once; see `ResultHandle.cancel`.
        """
        from taskq.protocol.producing import Cancel

        importing.refuse_to_block()
        ids = [handle.id for handle in self._handles if not handle.is_settled]
        stopped = 0
        for start in range(0, len(ids), CANCEL_AT_ONCE):
            some = ids[start : start + CANCEL_AT_ONCE]
            # one that was purged meanwhile must not keep the others from being cancelled
            request = Cancel(ids=some, terminate=terminate, missing_ok=True)
            reply = self._app.broker.call(request)
            stopped += len(reply.cancelled) + len(reply.asked)
        return stopped

    def _drawn(
        self, handles: Iterator[ResultHandle[R_co]], progress: bool | TextIO
    ) -> Iterator[ResultHandle[R_co]]:
        if not progress:
            return handles
        from taskq.client.progress import drawn

        return drawn(handles, len(self), None if progress is True else progress)

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise TypeError(
            "many handles are awaited together with `await asyncio.gather(*handles)`, or one by one"
        )

    def __repr__(self) -> str:
        return f"<HandleSet of {len(self)} calls>"


def wait(
    handles: Iterable[ResultHandle[Any]],
    timeout: float | None = None,
    return_when: Condition = "ALL_COMPLETED",
) -> DoneAndNotDone:
    """Wait for handles of any queue, like `concurrent.futures.wait`.

    Args:
        handles: duplicates count once.
        timeout: seconds.
        return_when: `"ALL_COMPLETED"`, `"FIRST_COMPLETED"` or `"FIRST_EXCEPTION"`.

    Raises:
        TypeError: something else than a handle is among them.
        BrokerUnavailable: a broker was gone for longer than the reconnect budget.
        BrokerTimeout: a broker has not answered for 30 s; not at the end of `timeout`.
    """
    deadline = None if (timeout := timeout_of(timeout)) is None else monotonic() + timeout
    if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
        raise ValueError(
            "return_when must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION, "
            f"not {return_when!r}"
        )
    not_done = set(_checked(handles))
    done: set[ResultHandle[Any]] = set()
    try:
        for handle in as_completed(not_done.copy(), timeout):
            done.add(handle)
            not_done.discard(handle)
            failed = return_when == "FIRST_EXCEPTION" and handle.exception() is not None
            if failed or return_when == "FIRST_COMPLETED":
                break
    except TimeoutError:
        if deadline is None or monotonic() < deadline:  # a broker does not answer
            raise
    return DoneAndNotDone(done, not_done)


def as_completed(
    handles: Iterable[ResultHandle[R]], timeout: float | None = None
) -> Iterator[ResultHandle[R]]:
    """The handles as they finish, like `concurrent.futures.as_completed`.

    Args:
        handles: of any queue; duplicates come once.
        timeout: seconds, counted from this call.

    Raises:
        TypeError: something else than a handle is among them.
        TimeoutError: some have not finished within `timeout`.
        BrokerUnavailable: a broker was gone for longer than the reconnect budget; raised when the
            handles of the other brokers have finished.
    """
    timeout = timeout_of(timeout)
    importing.refuse_to_block()
    deadline = None if timeout is None else monotonic() + timeout
    return _completed(list(dict.fromkeys(_checked(handles))), deadline, timeout)


def _checked(handles: Iterable[ResultHandle[R]]) -> list[ResultHandle[R]]:
    listed = list(handles)
    for each in listed:
        if not isinstance(each, ResultHandle):
            raise TypeError(
                f"wait and as_completed take the handles of calls, not {each!r}; for an id there is "
                "queue.handle(id)"
            )
    return listed


def _completed(
    handles: list[ResultHandle[R]], deadline: float | None, timeout: float | None
) -> Iterator[ResultHandle[R]]:
    yield from [handle for handle in handles if handle.is_settled]
    open_ = {handle.id: handle for handle in handles if not handle.is_settled}
    if not open_:
        return
    brokers = {id(handle.app.broker): handle.app.broker for handle in open_.values()}
    if len(brokers) == 1:
        ends = _of_one(ResultWatch(brokers.popitem()[1], open_), deadline)
    else:
        ends = _of_several(list(open_.values()), deadline)
    for finished in ends:
        handle = open_.pop(finished.id)
        handle.settle(finished)
        yield handle
    if open_:
        raise TimeoutError(f"{len(open_)} of {len(handles)} calls have not finished in {timeout} s")


def _of_one(watch: ResultWatch, deadline: float | None) -> Iterator[Finished]:
    try:
        while finished := watch.next(deadline):
            yield from finished
    finally:
        watch.close()


def _of_several(handles: list[ResultHandle[Any]], deadline: float | None) -> Iterator[Finished]:
    """Ends from several brokers: their waiters' threads fill one queue."""
    from queue import Empty, SimpleQueue

    from taskq.client.waiter import waiter_of

    ends: SimpleQueue[Finished | BaseException] = SimpleQueue()
    put = ends.put
    lost: BrokerUnavailable | None = None
    # kept: a waiter that has ended need not be made again only to forget
    waits = [(waiter_of(handle.app.broker), handle) for handle in handles]
    try:
        for waiter, handle in waits:
            waiter.add(handle.id, put)
        for _ in handles:
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
            try:
                end = ends.get(timeout=left)
            except Empty:
                if lost is not None:
                    raise not_in_time(lost) from lost
                return
            if isinstance(end, BrokerUnavailable):
                lost = end  # the ends at other brokers are still to come
            elif isinstance(end, BaseException):
                raise end
            else:
                yield end
        if lost is not None:
            raise lost
    finally:
        for waiter, handle in waits:
            if not handle.is_settled:
                waiter.discard(handle.id, put)

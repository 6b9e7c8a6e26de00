"""Enqueues many calls of one task: large requests, sent while the next one is being made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from os import urandom
from typing import TYPE_CHECKING, Any, Protocol

from taskq import importing
from taskq.client.handle import ResultHandle
from taskq.client.handles import HandleSet
from taskq.errors import TaskqError
from taskq.protocol.producing import Cancel, Enqueue
from taskq.protocol.values import Call

if TYPE_CHECKING:
    from taskq.application import App
    from taskq.backends.port import Connection
    from taskq.client.handle import Origin
    from taskq.options.task_options import TaskOptions

CALLS = 1000  # of one request
BYTES = 2 * 2**20  # of payloads in one request, unless one call alone is larger
AHEAD = 2  # requests under way


class Enqueuer(Protocol):
    """A task as this module sees it: `Task`."""

    @property
    def app(self) -> App: ...
    @property
    def name(self) -> str: ...
    @property
    def defaults(self) -> TaskOptions: ...
    @property
    def origin(self) -> Origin: ...
    def encode(self, id: str, args: tuple[Any, ...]) -> bytes: ...
    def request(self, calls: list[Call]) -> Enqueue: ...


def starmap(task: Enqueuer, iterable: Iterable[Iterable[Any]]) -> HandleSet[Any]:
    """See `Task.starmap`."""
    app, origin = task.app, task.origin
    ids: list[str] = []
    if importing.is_importing():
        ids = [urandom(12).hex() for _ in iterable]
    else:
        _enqueue(task, _chunks(task, iterable, ids))
    return HandleSet(app, [ResultHandle(app, id, origin) for id in ids])


def _chunks(
    task: Enqueuer, iterable: Iterable[Iterable[Any]], ids: list[str]
) -> Iterator[list[Call]]:
    encode = task.encode
    calls: list[Call] = []
    size = 0
    for item in iterable:
        id = urandom(12).hex()
        try:
            args = tuple(item)
        except TypeError:
            raise TypeError(
                f"starmap takes the arguments of each call as a tuple, not {item!r}; "
                f"for calls with one argument there is {task.name}.map"
            ) from None
        payload = encode(id, args)
        # before it is added: one call alone may fill a frame
        if calls and size + len(payload) > BYTES:
            yield calls
            calls, size = [], 0
        calls.append(Call(id, payload))
        ids.append(id)
        size += len(payload)
        if len(calls) >= CALLS:
            yield calls
            calls, size = [], 0
    if calls:
        yield calls


def _enqueue(task: Enqueuer, chunks: Iterator[list[Call]]) -> None:
    broker = task.app.broker
    first = next(chunks, None)
    if first is None:
        return
    patient = task.defaults.when_full > 0
    second = next(chunks, None)
    if second is None and not patient:
        broker.call(task.request(first))
        return
    connection = broker.connect()
    offered: list[list[str]] = []
    calls = chain([first], [second] if second else [], chunks)
    try:
        (_send_as_there_is_room if patient else _send)(connection, task, calls, offered)
    except BaseException:
        _take_back(connection, offered)
        raise
    finally:
        connection.close()


def _send(
    connection: Connection,
    task: Enqueuer,
    chunks: Iterable[list[Call]],
    offered: list[list[str]],
) -> None:
    """Have a few requests under way; each is accepted whole or refused."""
    sent: deque[Enqueue] = deque()
    for calls in chunks:
        request = task.request(calls)
        offered.append([call.id for call in calls])
        connection.send(request)
        sent.append(request)
        if len(sent) > AHEAD:
            connection.receive(sent.popleft())
    while sent:
        connection.receive(sent.popleft())


def _send_as_there_is_room(
    connection: Connection,
    task: Enqueuer,
    chunks: Iterable[list[Call]],
    offered: list[list[str]],
) -> None:
    """One request after another, so that the rest of one keeps its place before the next."""
    for calls in chunks:
        rest = len(calls)
        while rest:
            asked = calls[-rest:]
            offered.append([call.id for call in asked])
            rest = connection.call(task.request(asked)).rest
            offered[-1] = [call.id for call in asked[: len(asked) - rest]]


def _take_back(connection: Connection, offered: list[list[str]]) -> None:
    """Cancel what was enqueued before something went wrong; the caller got no handles for it.

    On the same connection, so that no request under way arrives after it was taken back.
    """
    for ids in offered:
        try:
            # of a request that was waiting for room, only a part may have been accepted
            connection.call(Cancel(ids=ids, missing_ok=True))
        except TaskqError:
            return  # the broker is gone

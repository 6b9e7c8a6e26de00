"""Enqueues many calls of one task: large requests, sent while the next one is being made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from os import urandom
from typing import TYPE_CHECKING, Any, TypeVar

from taskq import loader
from taskq.client.handle import ResultHandle
from taskq.client.handles import HandleSet
from taskq.engine.commands import Call, Cancel, Enqueue
from taskq.errors import TaskqError, UnknownMessage

if TYPE_CHECKING:
    from taskq.backends.port import Connection
    from taskq.client.task import Task

R = TypeVar("R")

CALLS = 1000  # of one request
BYTES = 2 * 2**20  # of payloads in one request, about
AHEAD = 2  # requests under way


def starmap(task: Task[..., R], iterable: Iterable[Iterable[Any]]) -> HandleSet[R]:
    """See `Task.starmap`."""
    app, serializer = task.app, task.defaults.serializer
    ids: list[str] = []
    if loader.is_importing():
        ids = [urandom(12).hex() for _ in iterable]
    else:
        _enqueue(task, _chunks(task, iterable, ids))
    return HandleSet(app, [ResultHandle(app, id, serializer) for id in ids])


def _chunks(
    task: Task[..., Any], iterable: Iterable[Iterable[Any]], ids: list[str]
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
        calls.append(Call(id, payload))
        ids.append(id)
        size += len(payload)
        if len(calls) >= CALLS or size >= BYTES:
            yield calls
            calls, size = [], 0
    if calls:
        yield calls


def _enqueue(task: Task[..., Any], chunks: Iterator[list[Call]]) -> None:
    broker = task.app.broker
    first = next(chunks, None)
    if first is None:
        return
    second = next(chunks, None)
    if second is None:
        broker.call(task.request(first))
        return
    connection = broker.connect()
    sent: deque[Enqueue] = deque()
    offered: list[list[str]] = []
    try:
        for calls in _chain(first, second, chunks):
            request = task.request(calls)
            offered.append([call.id for call in calls])
            connection.send(request)
            sent.append(request)
            if len(sent) > AHEAD:
                connection.receive(sent.popleft())
        while sent:
            connection.receive(sent.popleft())
    except BaseException:
        _take_back(connection, offered)
        raise
    finally:
        connection.close()


def _chain(
    first: list[Call], second: list[Call], rest: Iterator[list[Call]]
) -> Iterator[list[Call]]:
    yield first
    yield second
    yield from rest


def _take_back(connection: Connection, offered: list[list[str]]) -> None:
    """Cancel what was enqueued before something went wrong; the caller got no handles for it.

    On the same connection, so that no request under way arrives after it was taken back.
    """
    for ids in offered:
        try:
            connection.call(Cancel(ids=ids))
        except UnknownMessage:
            continue  # that request was refused
        except TaskqError:
            return  # the broker is gone

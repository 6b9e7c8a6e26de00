"""What a broker is asked to do while it is killed, and what must be true of it afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from taskq.backends.channel import Channel
from taskq.engine.engine import Engine
from taskq.errors import UnknownMessage
from taskq.journal import open_journal
from taskq.protocol.base import Request
from taskq.protocol.consuming import Claim, Register, Settle
from taskq.protocol.operating import GetStats, Peek
from taskq.protocol.producing import Enqueue, Inspect, Unwatch, Wait
from taskq.protocol.values import Ack, Call, ErrorInfo, Fail, Options


class CrashOperation(Protocol):
    """One request, made again for each round, under other names."""

    def prepare(self, channel: Channel, number: int) -> Request[Any]:
        """Bring about what the request needs, and return it."""
        ...

    def check(self, channel: Channel, number: int, answered: bool) -> None:
        """Whether the next broker has all or nothing of it; then ask again, as a client would."""
        ...


class EnqueueOperation:
    """Messages into a new queue, or into one that is there.

    Args:
        count: of messages.
        size: bytes of each payload.
        new_queue: whether each round has a queue of its own.
    """

    def __init__(self, count: int = 1, size: int = 10, new_queue: bool = True) -> None:
        self._count, self._size, self._new_queue = count, size, new_queue

    def prepare(self, channel: Channel, number: int) -> Enqueue:
        if not self._new_queue:
            channel.call(enqueue("q", f"before {number}"))
        return self._request(number)

    def check(self, channel: Channel, number: int, answered: bool) -> None:
        request = self._request(number)
        ids = [call.id for call in request.calls]
        there = [id for id in ids if states(channel, id)]
        assert there in ([], ids), "a part of a request"
        assert there or not answered, "acknowledged and lost"
        assert channel.call(request).existing == there
        waiting = channel.call(Peek(queue=request.queue, limit=100_000)).messages
        assert sorted(each.id for each in waiting if each.id in ids) == sorted(ids)

    def _request(self, number: int) -> Enqueue:
        ids = [f"{number}-{index}" for index in range(self._count)]
        return enqueue(f"q{number}" if self._new_queue else "q", *ids, size=self._size)


class SettleOperation:
    """An ack, a retry and a burial: three ends of deliveries in one request."""

    def __init__(self) -> None:
        self._receipts: list[int] = []

    def prepare(self, channel: Channel, number: int) -> Settle:
        ids = self._ids(number)
        channel.call(enqueue(f"q{number}", *ids))
        channel.call(self._registration(number))
        claimed = channel.call(Claim(queues=[f"q{number}"], n=3, wait=0)).messages
        assert [message.id for message in claimed] == ids
        self._receipts = [message.receipt for message in claimed]
        return self._request(number)

    def check(self, channel: Channel, number: int, answered: bool) -> None:
        ids, ends = self._ids(number), [["succeeded"], ["scheduled"], ["dead"]]
        found = [states(channel, id) for id in ids]
        assert found in ([["leased"]] * 3, ends), "a part of a request"
        assert found == ends or not answered, "acknowledged and lost"
        self._check_results(channel, ids, finished=found == ends)
        channel.call(self._registration(number))
        assert channel.call(self._request(number)).rejected == []
        assert [states(channel, id) for id in ids] == ends
        self._check_results(channel, ids, finished=True)
        stats = channel.call(GetStats()).queues
        (group,) = (each for each in stats if each.queue == f"q{number}")
        assert (group.succeeded, group.dead, group.failed, group.leased) == (1, 1, 2, 0)

    def _check_results(self, channel: Channel, ids: list[str], finished: bool) -> None:
        """A result exists exactly where the message has finished."""
        waited = channel.call(Wait(watch=1, add=ids, wait=0))
        values = {each.id: each.value for each in waited.finished}
        assert values == ({ids[0]: b"42", ids[2]: None} if finished else {})
        channel.call(Unwatch(watch=1))

    def _ids(self, number: int) -> list[str]:
        return [f"{number}-ack", f"{number}-retry", f"{number}-bury"]

    def _registration(self, number: int) -> Register:
        return Register(
            worker=f"w{number}",
            consumer="c",
            group="default",
            queues=[f"q{number}"],
            holding=self._receipts,
        )

    def _request(self, number: int) -> Settle:
        ack, retry, bury = zip(self._receipts, self._ids(number), strict=True)
        error = ErrorInfo("builtins.ValueError", "no")
        return Settle(
            outcomes=[
                Ack(*ack, value=b"42"),
                Fail(*retry, error=error, delay=3600),
                Fail(*bury, error=error, final=True),
            ]
        )


def enqueue(queue: str, *ids: str, size: int = 10, delay: float = 0.0, **options: Any) -> Enqueue:
    """Messages with one retry each."""
    calls = [Call(id, b"p" * size) for id in ids]
    return Enqueue(
        queue=queue, task="task", options=Options(retries=1, **options), calls=calls, delay=delay
    )


def load(directory: Path, durability: str = "fsync") -> Engine:
    """The engine that the next broker would start with."""
    engine = Engine()
    journal = open_journal(directory, durability)
    try:
        journal.load(engine, journal.last_time())
    finally:
        journal.close()
    return engine


def states(channel: Channel, id: str) -> list[str]:
    """The state of a message in each group; empty where it is not known."""
    try:
        return [job.state for job in channel.call(Inspect(id=id)).jobs]
    except UnknownMessage:
        return []

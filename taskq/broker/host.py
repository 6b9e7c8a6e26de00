"""The host of the engine: gives it the time, commits what it changed, and only then replies.

One engine, one journal, one clock, one thread. `apply` any number of requests, then `commit` once:
all of them share one transaction, and no reply leaves before the commit that holds its effect.
"""

from __future__ import annotations

import os
from random import random
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from taskq.clock import Clock
from taskq.engine.tick import Tick
from taskq.journal import DURABILITIES
from taskq.protocol.base import Failed, Reply, Request
from taskq.protocol.operating import Ping, Pong
from taskq.protocol.producing import Enqueue
from taskq.version import __version__

if TYPE_CHECKING:
    from taskq.engine.engine import Engine
    from taskq.journal import Journal
    from taskq.transport.lock import DirectoryLock


_VERIFY = 1.0  # seconds between two looks whether the journal's files are still there
_LATE = 0.02  # seconds behind plan from which on the broker counts as having been away
_LONG = 0.25  # seconds that a tick takes with a slow disk; beyond that it counts as well


class Host:
    """Runs an engine on a journal.

    Args:
        engine: already loaded from the journal.
        journal: where each tick's changes go.
        clock: any object with `now()` and `ahead()`.
        directory: reported by `Pong`.
        lock: the right to serve that directory; given back by `close`.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        *,
        directory: str = "",
        lock: DirectoryLock | None = None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.now = self._started = clock.now()
        self._tick = Tick(self.now, random)
        self._journal = journal
        if engine.is_new:
            engine.begin_epoch(self.now)
        self._due: float | None = None
        self._own: list[tuple[int, Reply]] = []  # replies that need no engine
        self._directory = directory
        self.lock = lock
        self._verify_at = 0.0

    def begin(self) -> float:
        """Begin a tick: read the clock, and make leases longer by the time in which we were away."""
        self.now = now = self.clock.now()
        if self._due is not None and now - self._due > _LATE:
            self.engine.extend_for_pause(now - self._due)
        self._tick = Tick(now, random)
        return now

    def apply(self, session: int, request: Request[Any]) -> None:
        """Carry out a request of a session; its reply comes from this or a later `commit`."""
        if type(request) is Ping:
            self._own.append((session, self._pong(request.rid)))
        elif type(request) is Enqueue and not self._journal.has_room(self.now, _size(request)):
            sentence = self._disk_full(request.task)
            self._own.append((session, Failed(error="DiskFull", text=sentence, rid=request.rid)))
        else:
            if type(request) is Enqueue:
                request = self._turned(request)
            self.engine.apply(session, request, self._tick)

    def disconnect(self, session: int) -> None:
        """Forget a session that has ended, and its parked requests."""
        self.engine.disconnect(session, self.now)

    def commit(self) -> list[tuple[int, Reply]]:
        """End a tick: do what is due, make it durable, and return the replies with their sessions.

        Raises:
            JournalError, DiskFull: nothing may be sent any more; the broker must stop.
        """
        engine = self.engine
        if engine.has_parked_enqueues and not self._journal.has_room(self.now):
            engine.refuse_parked("DiskFull", self._disk_full("waiting producers"))
        engine.advance(self.now)
        changes = engine.take_changes()
        if changes is not None:
            self._journal.commit(changes)
            if self.now >= self._verify_at:
                self._journal.verify()
                self._verify_at = self.now + _VERIFY
        replies = engine.take_replies()
        if self._own:
            replies = [*replies, *self._own]
            self._own = []
        return replies

    def next_deadline(self) -> float | None:
        """When the engine wants to run again, in the clock's time; asked at the end of a tick."""
        due = self.engine.next_deadline()
        now = self.clock.now()
        # the tick itself is no absence, or leases would stand still while slice follows slice
        if now - self.now > _LONG:
            self.engine.extend_for_pause(now - self.now)
        self._due = None if due is None else max(due, now)
        return due

    def may_leave(self, within: float) -> bool:
        """Whether the broker may end: nothing is lost, and nothing falls due in `within` seconds."""
        if self._journal.durability == "none" and not self.engine.empty():
            return False
        due = self.engine.next_deadline()
        return due is None or due > self.now + within

    def close(self) -> None:
        """Close the journal, and let another broker have its directory."""
        self._journal.close()
        if self.lock is not None:
            self.lock.release()

    def _turned(self, request: Enqueue) -> Enqueue:
        """With absolute times that hold by the wall clock, which may have been set since ours began."""
        if request.eta_at is None and request.expires_at is None:
            return request
        ahead = self.clock.ahead()
        return replace(
            request,
            eta_at=None if request.eta_at is None else request.eta_at + ahead,
            expires_at=None if request.expires_at is None else request.expires_at + ahead,
        )

    def _disk_full(self, whose: str) -> str:
        return (
            f"the disk of {self._directory} is nearly full, so calls of {whose} are not "
            "accepted; what was accepted goes on. Make room, then try again"
        )

    def _pong(self, rid: int) -> Pong:
        return Pong(
            rid=rid,
            version=__version__,
            durability=DURABILITIES[self._journal.durability],
            uptime=self.now - self._started,
            pid=os.getpid(),
            directory=self._directory,
        )


def _size(request: Enqueue) -> int:
    return sum(len(call.payload) for call in request.calls)

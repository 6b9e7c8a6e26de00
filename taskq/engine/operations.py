"""Long operations, carried out in slices, so that no tick of the broker is long.

An operation is a generator. Each step of it is a small, bounded amount of work, and ends with `yield`;
what it returns is the reply. Its first slice is carried out at once, so a short one is answered like
any other request. The rest follows tick by tick, between the requests of others. After a crash between
two slices, the client, which has no reply, sends the request again. See docs/decisions/0018.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

from taskq.errors import TaskqError
from taskq.protocol.base import Failed, Reply

SLICE = 100  # steps of all operations together in one tick

Steps = Generator[None, None, Reply | None]


class Operations:
    """The operations that are under way.

    `running`: (session, rid, steps) of each one. `steps`: how many were made, ever.
    """

    __slots__ = ("_now", "_reply", "running", "steps")

    def __init__(self, reply: Callable[[int, Reply], None]) -> None:
        self._reply = reply
        self.running: deque[tuple[int, int, Steps]] = deque()
        self.steps = 0
        self._now = 0.0

    def __len__(self) -> int:
        return len(self.running)

    def start(self, session: int, rid: int, steps: Steps) -> Reply | None:
        """Begin an operation. Returns its reply if the first slice completes it, else `None`.

        Args:
            session: gets the reply if it comes later; 0 for nobody.
            rid: of the request.
            steps: the operation.

        Raises:
            TaskqError: the operation was refused in its first slice.
        """
        try:
            self._advance(steps, SLICE)
        except StopIteration as end:
            reply: Reply | None = end.value
            return reply
        self.running.append((session, rid, steps))
        return None

    def time(self, began: float) -> float:
        """The time of the slice that is carried out, for an operation that began then."""
        return max(began, self._now)

    def run(self, now: float) -> None:
        """Carry out the next slice, in turns."""
        self._now = now
        share = max(SLICE // len(self.running), 1)
        for _ in range(min(len(self.running), SLICE)):
            session, rid, steps = self.running.popleft()
            try:
                self._advance(steps, share)
            except StopIteration as end:
                reply = end.value
            except TaskqError as error:
                reply = Failed(error=type(error).__name__, text=str(error))
            else:
                self.running.append((session, rid, steps))
                continue
            if session and reply is not None:
                reply.rid = rid
                self._reply(session, reply)

    def _advance(self, steps: Steps, count: int) -> None:
        for _ in range(count):
            next(steps)
            self.steps += 1

"""Sessions: the connections of a broker, and the requests of each that wait for their reply."""

from __future__ import annotations

from taskq.engine.timers import MovableTimer


class Session:
    """One connection. What it has registered as is in the books of the subject concerned.

    `parked`: its requests that wait, in the order in which they came. `timer` rings at the earliest of
    their deadlines.
    """

    __slots__ = ("number", "parked", "timer")

    def __init__(self, number: int, timer: MovableTimer) -> None:
        self.number = number
        self.timer = timer
        self.parked: dict[Parked, None] = {}


class Parked:
    """A request whose reply comes later: when there is something to say, or at its deadline.

    Every kind of parked request is a subclass with what it waits for. What is to be done at the
    deadline, or when the session closes, is in `engine.PARKED`, by that class.
    """

    __slots__ = ("deadline", "rid", "session")

    def __init__(self, session: Session, rid: int, deadline: float) -> None:
        self.session = session
        self.rid = rid
        self.deadline = deadline
        session.parked[self] = None
        if deadline < session.timer.when:
            session.timer.set(deadline)

    def remove(self) -> None:
        """The request waits no longer: it is about to be answered, or nobody wants the reply."""
        self.session.parked.pop(self, None)

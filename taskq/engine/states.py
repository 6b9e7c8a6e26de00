"""The life of a delivery: every state, every event, and the one table that joins them.

A *delivery* is one message in one consumer group. This table is the whole state machine; nothing
else in the package decides whether a step is allowed. An illegal step raises `IllegalTransition`
and changes nothing. `docs/state_machine.md` is generated from this file.
"""

from __future__ import annotations

from enum import IntEnum

from taskq.errors import IllegalTransition


class State(IntEnum):
    """Where a delivery stands. The numbers are stored in the journal: never reuse one."""

    HELD = 0  # waits for other messages; nothing does yet
    SCHEDULED = 1  # not due yet, or backing off
    READY = 2
    LEASED = 3  # with a consumer
    SUCCEEDED = 4
    DEAD = 5  # in the dead-letter queue
    CANCELLED = 6
    EXPIRED = 7
    PARKED = 8  # waits for a worker that knows its task
    PURGED = 9  # thrown away by an operator: counted, and shown to nobody

    @property
    def label(self) -> str:
        """The word a user sees, e.g. `"ready"`."""
        return self.name.lower()


class Event(IntEnum):
    """What can happen to a delivery."""

    DUE = 0  # its time has come
    PARK = 1  # claimed by a worker that does not know the task
    CLAIM = 2  # handed to a consumer
    ACK = 3  # the consumer finished it
    RETRY = 4  # the attempt failed and another one follows
    RELEASE = 5  # handed back without having failed
    LAPSE = 6  # the consumer was lost
    BURY = 7  # given up
    CANCEL = 8
    EXPIRE = 9  # not started before `expires`
    REPLAY = 10  # taken out of the dead-letter queue
    REPLAY_LATER = 11  # the same, at a bounded rate
    PURGE = 12  # thrown away by an operator


WAITING = frozenset({State.HELD, State.PARKED, State.SCHEDULED, State.READY})
UNFINISHED = WAITING | {State.LEASED}
FINAL = frozenset(State) - UNFINISHED
ENDED = FINAL - {State.DEAD}  # for good: a dead letter may be replayed

TRANSITIONS: dict[State, dict[Event, State]] = {
    State.HELD: {
        Event.CANCEL: State.CANCELLED,
        Event.EXPIRE: State.EXPIRED,
        Event.PURGE: State.PURGED,
    },
    State.PARKED: {
        Event.CLAIM: State.LEASED,
        Event.CANCEL: State.CANCELLED,
        Event.EXPIRE: State.EXPIRED,
        Event.PURGE: State.PURGED,
    },
    State.SCHEDULED: {
        Event.DUE: State.READY,
        Event.CANCEL: State.CANCELLED,
        Event.EXPIRE: State.EXPIRED,
        Event.PURGE: State.PURGED,
    },
    State.READY: {
        Event.CLAIM: State.LEASED,
        Event.PARK: State.PARKED,
        Event.CANCEL: State.CANCELLED,
        Event.EXPIRE: State.EXPIRED,
        Event.PURGE: State.PURGED,
    },
    State.LEASED: {
        Event.ACK: State.SUCCEEDED,
        Event.RETRY: State.SCHEDULED,
        Event.RELEASE: State.READY,
        Event.LAPSE: State.READY,
        Event.PARK: State.PARKED,
        Event.BURY: State.DEAD,
        Event.CANCEL: State.CANCELLED,
        Event.PURGE: State.PURGED,
    },
    State.SUCCEEDED: {},
    State.DEAD: {
        Event.REPLAY: State.READY,
        Event.REPLAY_LATER: State.SCHEDULED,
        Event.PURGE: State.PURGED,
    },
    State.CANCELLED: {},
    State.EXPIRED: {},
    State.PURGED: {},
}


def after(state: State, event: Event) -> State:
    """The state that follows `event` in `state`.

    Raises:
        IllegalTransition: the table has no such step.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{event.name} is not possible in state {state.label}") from None

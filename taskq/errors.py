"""The exception hierarchy.

    TaskqError
    ├── BrokerUnavailable      no broker answered within the reconnect budget
    │   └── BrokerTimeout      a broker did not answer in time (also a `TimeoutError`)
    ├── AuthenticationFailed   the key is wrong or missing, or the peer is another user
    ├── ProtocolError          the peer sent a broken frame or speaks another protocol version
    ├── UnknownTask            no task has this name
    ├── UnknownMessage         no message has this id: never enqueued, purged, or expired long ago
    ├── UnknownConsumer        a claim arrived from a connection that has not registered
    ├── ResultExpired          the message has finished and its result has outlived its TTL
    ├── TaskCancelled          the call was cancelled
    ├── TaskExpired            the call had not started before `expires`
    ├── TaskTimeout            an attempt ran longer than `timeout` (also a `TimeoutError`)
    ├── WorkerLost             the worker died while it ran the task, `max_deliveries` times
    ├── LeaseLost              an outcome or renewal arrived after the lease had ended
    ├── PayloadTooLarge        a call or a result exceeds its limit
    ├── SerializationError     arguments or a result cannot be pickled or loaded
    │   └── TamperedPayload    the signature of a call or result is not valid
    ├── QueueFull              a limit of the queue or of the broker is reached
    ├── DiskFull               the disk has no room for new messages
    ├── TaskFailed             the task raised an exception that cannot be rebuilt here
    ├── IllegalTransition      the state machine has no such transition
    ├── JournalError           the journal is damaged, newer than this taskq, or not writable
    └── BrokerRunning          another broker serves this directory

Class names are part of the protocol and must not change.
"""

from __future__ import annotations


class TaskqError(Exception):
    """The base class of all exceptions of taskq."""


class BrokerUnavailable(TaskqError):
    """No broker answered within the reconnect budget."""


class BrokerTimeout(BrokerUnavailable, TimeoutError):
    """A broker was reached but did not answer in time, or not within the `timeout` of a call."""


class AuthenticationFailed(TaskqError):
    """The key is wrong or missing, or the peer belongs to another user."""


class ProtocolError(TaskqError):
    """The peer sent a broken frame or speaks another protocol version."""


class UnknownTask(TaskqError):
    """No task has this name."""


class UnknownMessage(TaskqError):
    """No message has this id: it was never enqueued, was purged, or expired long ago."""


class UnknownConsumer(TaskqError):
    """A claim arrived from a connection that has not registered as a consumer."""


class ResultExpired(TaskqError):
    """The message has finished and its result has outlived `result_ttl`."""


class TaskCancelled(TaskqError):
    """The call was cancelled."""


class TaskExpired(TaskqError):
    """The call had not started before `expires`."""


class TaskTimeout(TaskqError, TimeoutError):
    """An attempt ran longer than `timeout`."""


class WorkerLost(TaskqError):
    """The worker process died while it ran the task, `max_deliveries` times."""


class LeaseLost(TaskqError):
    """The lease has ended: the message was redelivered, finished or cancelled."""


class PayloadTooLarge(TaskqError):
    """A call or a result exceeds its limit."""


class SerializationError(TaskqError):
    """Arguments or a result cannot be pickled or loaded."""


class TamperedPayload(SerializationError):
    """The signature of a call or a result is not valid."""


class QueueFull(TaskqError):
    """The queue or the broker has reached its limit of messages or bytes."""


class DiskFull(TaskqError):
    """The disk of the journal has no room for new messages; nothing was enqueued."""


class TaskFailed(TaskqError):
    """The task raised an exception that cannot be rebuilt in this process."""


class IllegalTransition(TaskqError):
    """The state machine has no such transition; nothing was changed."""


class JournalError(TaskqError):
    """The journal is damaged, newer than this taskq, or not writable."""


class BrokerRunning(TaskqError):
    """Another broker serves this directory."""


def by_name(name: str) -> type[TaskqError]:
    """The class with this name, or `TaskqError` for a name that a newer peer has sent."""
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, TaskqError):
        return found
    return TaskqError

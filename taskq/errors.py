"""Every error that taskq raises, in one tree.

    TaskqError
    ├── BrokerUnavailable      no broker answers within the reconnect budget
    │   └── BrokerTimeout      a broker was reached, and did not answer in time
    ├── AuthenticationFailed   wrong or missing key, or a peer of another user
    ├── ProtocolError          the peer speaks something else: broken frame, other version
    ├── UnknownTask            no task of that name where one is needed
    ├── UnknownMessage         no message of that id: never enqueued, purged, or long forgotten
    ├── UnknownConsumer        a claim came from a connection that has not registered
    ├── ResultExpired          the message finished, and its result has outlived its TTL
    ├── TaskCancelled
    ├── TaskExpired            not started before `expires`
    ├── TaskTimeout            an attempt ran longer than `timeout` (also a `TimeoutError`)
    ├── WorkerLost             the worker died under the task, `max_deliveries` times
    ├── LeaseLost              a late ack, retry or renewal: the message is somebody else's now
    ├── PayloadTooLarge        a call or a result over its limit
    ├── SerializationError     arguments or a result that cannot be pickled or loaded
    │   └── TamperedPayload    the signature of a call or result does not fit
    ├── QueueFull
    ├── DiskFull
    ├── TaskFailed             the task raised something that cannot be rebuilt here
    ├── IllegalTransition      a step that the state machine does not have
    ├── JournalError           the journal is damaged, newer than this taskq, or cannot be written
    └── BrokerRunning          another broker serves this directory

`TaskqError` names travel on the wire, so a class keeps its name for ever.
"""

from __future__ import annotations


class TaskqError(Exception):
    """The root of all errors of taskq."""


class BrokerUnavailable(TaskqError):
    """No broker answers within the reconnect budget."""


class BrokerTimeout(BrokerUnavailable):
    """A broker was reached and did not answer in time."""


class AuthenticationFailed(TaskqError):
    """The key is wrong or missing, or the peer belongs to another user."""


class ProtocolError(TaskqError):
    """The peer sent a broken frame or speaks another version."""


class UnknownTask(TaskqError):
    """No task of that name where one is needed."""


class UnknownMessage(TaskqError):
    """No message of that id: it was never enqueued, was purged, or is long forgotten."""


class UnknownConsumer(TaskqError):
    """A claim came from a connection that has not registered as a consumer."""


class ResultExpired(TaskqError):
    """The message finished, and its result has outlived its `result_ttl`."""


class TaskCancelled(TaskqError):
    """The call was cancelled."""


class TaskExpired(TaskqError):
    """The call was not started before its `expires`."""


class TaskTimeout(TaskqError, TimeoutError):
    """One attempt ran longer than its `timeout`."""


class WorkerLost(TaskqError):
    """The worker process died while it ran the task, `max_deliveries` times."""


class LeaseLost(TaskqError):
    """The lease is gone: the message was delivered again, finished or cancelled meanwhile."""


class PayloadTooLarge(TaskqError):
    """A call or a result is larger than its limit."""


class SerializationError(TaskqError):
    """Arguments or a result cannot be pickled, or cannot be loaded."""


class TamperedPayload(SerializationError):
    """The signature of a call or a result does not fit its content."""


class QueueFull(TaskqError):
    """The queue has reached its limit of messages or bytes."""


class DiskFull(TaskqError):
    """The disk of the journal is full; nothing was enqueued."""


class TaskFailed(TaskqError):
    """The task raised an exception that cannot be rebuilt in this process."""


class IllegalTransition(TaskqError):
    """The state machine has no such step; nothing was changed."""


class JournalError(TaskqError):
    """The journal is damaged, newer than this taskq, or cannot be written."""


class BrokerRunning(TaskqError):
    """Another broker already serves this directory."""


def by_name(name: str) -> type[TaskqError]:
    """The class of that name, or `TaskqError` for a name from a newer peer."""
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, TaskqError):
        return found
    return TaskqError

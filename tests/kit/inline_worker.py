"""A worker in one call, for tests of the client: it runs in the test's own thread."""

from __future__ import annotations

import itertools

from taskq import TaskQueue
from taskq.application import queues_of
from taskq.codec.ref import CallRef
from taskq.protocol.consuming import Claim, Register, Settle
from taskq.protocol.values import Ack, Delivered, Fail, Outcome

_numbers = itertools.count(1)


def run_ready(queue: TaskQueue, n: int = 10_000, group: str = "default") -> int:
    """Run up to `n` messages of the app's queues that are ready; returns how many."""
    queues = queues_of(queue)
    name = f"inline-{next(_numbers)}"
    register = Register(worker=name, consumer=name, group=group, queues=queues)
    connection = queue.broker.connect(lambda: register)
    try:
        messages: list[Delivered] = []
        while batch := connection.call(Claim(queues=queues, n=n - len(messages), wait=0)).messages:
            messages += batch
        outcomes: list[Outcome] = []
        for message in messages:
            function, args, kwargs = queue.codec.decode_call(
                message.queue, message.id, message.task, message.payload
            )
            function = function or queue.tasks[message.task].fn
            call = CallRef(message.queue, message.id, message.task)
            try:
                value = queue.codec.encode_result(call, function(*args, **kwargs))
            except Exception as error:
                info = queue.codec.encode_error(call, error, message.attempt, name)
                outcomes.append(Fail(message.receipt, message.id, info))
            else:
                outcomes.append(Ack(message.receipt, message.id, value))
        connection.call(Settle(outcomes=outcomes))
        return len(messages)
    finally:
        connection.close()

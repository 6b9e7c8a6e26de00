"""What threads may see of the client's lazily filled attributes: all of one, or nothing."""

from __future__ import annotations

from recording_broker import recorded_queue

from tests.kit.races import together

ROUNDS = 150


def test_a_call_that_carries_its_code_says_so() -> None:
    for number in range(ROUNDS):
        queue, broker = recorded_queue()
        task = queue.task(lambda n: n)
        together(task, 4)
        carried = [request.options.carries_code for request in broker.requests]
        assert carried == [True] * 4, f"round {number}"
        assert all(request.calls[0].payload[1:2] == b"v" for request in broker.requests)

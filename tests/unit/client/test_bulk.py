from __future__ import annotations

import pytest
from recording_broker import recorded_queue

from taskq.client import bulk


@pytest.mark.parametrize(
    ("sizes", "requests"),
    [
        ([900, 50_000], [1, 1]),  # together they may exceed a frame, alone they do not
        ([50_000, 900, 50_000], [1, 1, 1]),
        ([400, 400, 400, 400], [2, 2]),
        ([10] * 5, [3, 2]),
    ],
)
def test_a_request_is_small_or_holds_one_call(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], requests: list[int]
) -> None:
    monkeypatch.setattr(bulk, "BYTES", 1000)
    monkeypatch.setattr(bulk, "CALLS", 3)
    queue, broker = recorded_queue()
    task = queue.task(serializer="json")(len)
    handles = task.map("x" * size for size in sizes)
    assert [len(request.calls) for request in broker.requests] == requests
    assert [call.id for request in broker.requests for call in request.calls] == [
        handle.id for handle in handles
    ]

"""The adaptive size of claims."""

from __future__ import annotations

from taskq.worker.runtime.batch_sizer import WORTH, BatchSizer


def settle(pace: BatchSizer, seconds_each: float, turns: int = 20) -> int:
    for _ in range(turns):
        pace.record(pace.size, seconds_each * pace.size)
    return pace.size


def test_it_begins_with_one() -> None:
    assert BatchSizer(128).size == 1


def test_fast_tasks_come_in_large_batches_up_to_the_limit() -> None:
    assert settle(BatchSizer(128), 1e-6) == 128
    assert settle(BatchSizer(16), 1e-6) == 16


def test_a_batch_is_worth_the_planned_time() -> None:
    assert settle(BatchSizer(128), WORTH / 10) in (9, 10)


def test_slow_tasks_come_one_by_one() -> None:
    assert settle(BatchSizer(128), 1.0) == 1


def test_one_slow_batch_shrinks_the_next_at_once() -> None:
    pace = BatchSizer(128)
    settle(pace, 1e-6)
    pace.record(1, 0.5)
    assert pace.size == 1


def test_it_grows_by_a_bounded_factor() -> None:
    pace = BatchSizer(128)
    sizes = []
    for _ in range(5):
        pace.record(pace.size, 1e-6 * pace.size)
        sizes.append(pace.size)
    assert sizes == [4, 16, 64, 128, 128]


def test_an_empty_batch_teaches_nothing() -> None:
    pace = BatchSizer(128)
    settle(pace, 1e-6)
    pace.record(0, 5.0)
    assert pace.size == 128

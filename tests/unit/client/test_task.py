from __future__ import annotations

import asyncio
import inspect
import pickle
import threading
from pathlib import Path
from typing import Any, cast

import cloudpickle
import pytest

from taskq import ResultHandle, TaskQueue, current, errors
from taskq.protocol.operating import GetStats
from tests.kit.inline_worker import run_ready
from tests.kit.messages import missing, naming

queue = TaskQueue("unit-task", broker="memory:")


@queue.task
def importable(n: int) -> int:
    """Add one."""
    return n + 1


@pytest.fixture
def q() -> TaskQueue:
    return TaskQueue("q", broker="memory:")


def accepted(q: TaskQueue) -> int:
    return q.broker.call(GetStats()).broker.acknowledged


def test_a_call_is_enqueued_and_comes_back(q: TaskQueue) -> None:
    @q.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    handle = add(1, b=2)
    assert isinstance(handle, ResultHandle)
    assert handle.status() == "ready"
    assert run_ready(q) == 1
    assert handle() == 3
    assert handle.done()


def test_a_task_looks_like_its_function() -> None:
    assert importable.__name__ == "importable"
    assert importable.__doc__ == "Add one."
    assert list(inspect.signature(importable).parameters) == ["n"]
    assert importable.name == "test_task.importable"
    assert importable.queue == "unit-task"
    assert importable.fn(1) == 2


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"c": 2}, "unexpected keyword argument 'c'"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
    ],
)
def test_arguments_are_checked_at_the_call(q: TaskQueue, args: Any, kwargs: Any, text: str) -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    task: Any = q.task(add)
    for _ in range(2):
        with pytest.raises(TypeError, match=text):
            task(*args, **kwargs)
    assert accepted(q) == 0


def test_57_nothing_is_enqueued_when_an_argument_cannot_be_pickled(q: TaskQueue) -> None:
    @q.task
    def send(to: str, lock: object) -> None: ...

    with pytest.raises(errors.SerializationError, match="argument 'lock'"):
        send("a", threading.Lock())
    with pytest.raises(errors.SerializationError, match="argument 'lock'"):
        send.starmap([("a", 1), ("b", threading.Lock())])
    assert accepted(q) == 0


@pytest.mark.parametrize("mode", ["r", "r+", "w", "rb", "wb", "rb+"])
def test_57_an_open_file_is_no_argument(q: TaskQueue, tmp_path: Path, mode: str) -> None:
    @q.task
    def read(source: object) -> None: ...

    (tmp_path / "a.txt").write_text("content")
    with open(tmp_path / "a.txt", mode) as file:
        for argument in (file, [file], lambda: file):
            with pytest.raises(errors.SerializationError) as caught:
                read(argument)
            assert not missing(
                str(caught.value), "'source'", "a.txt", "path", "nothing was enqueued"
            )
    assert accepted(q) == 0


def test_a_method_is_no_task(q: TaskQueue) -> None:
    class Shop:
        @q.task
        def charge(self, order: int) -> None: ...

        @staticmethod
        @q.task
        def refund(order: int) -> None: ...

    with pytest.raises(TypeError, match=naming("Shop.charge", "method", "self", "function")):
        cast("Any", Shop()).charge(3)
    Shop().refund(3)
    assert accepted(q) == 1


def test_a_handle_is_no_argument_yet(q: TaskQueue) -> None:
    @q.task
    def one(n: Any) -> Any:
        return n

    with pytest.raises(TypeError, match="was given a ResultHandle"):
        one(one(1))
    with pytest.raises(TypeError, match="was given a ResultHandle"):
        one(n=one(1))


def test_map_and_starmap(q: TaskQueue) -> None:
    @q.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    mapped = add.map(range(2500))
    assert len(mapped) == 2500
    pairs = add.starmap([(1, 2), (3, 4)])
    assert run_ready(q) == 2502
    assert mapped.results(timeout=10) == list(range(1, 2501))
    assert pairs.results(timeout=10) == [3, 7]
    assert add.map([]).results() == []
    with pytest.raises(ValueError, match="one message"):
        add.options(id="x").map([1])


def test_starmap_of_single_arguments_is_refused(q: TaskQueue) -> None:
    @q.task
    def one(n: int) -> int:
        return n

    with pytest.raises(TypeError, match=naming("5", "one.map")):
        one.starmap([5])  # type: ignore[list-item]


def test_what_map_enqueued_before_a_faulty_item_is_cancelled(q: TaskQueue) -> None:
    @q.task
    def one(n: Any) -> Any:
        return n

    with pytest.raises(errors.SerializationError):
        one.map([*range(2500), threading.Lock()])
    assert accepted(q) > 0
    assert run_ready(q) == 0


def test_options_of_one_call(q: TaskQueue) -> None:
    @q.task
    def one(n: int) -> int:
        return n

    later = one.options(delay="1h", priority=0)(1)
    assert later.status() == "scheduled"
    assert later.info().priority == 0
    first = one.options(id="order-7")(1)
    assert one.options(id="order-7")(2) == first
    assert first.id == "order-7"
    assert run_ready(q) == 1
    assert q.handle("order-7").result() == 1


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ({"name": "other"}, TypeError),
        ({"retry_on": OSError}, TypeError),
        ({"backoff": lambda attempt: 1}, TypeError),
        ({"nonsense": 1}, TypeError),
        ({"delay": -1}, ValueError),
    ],
)
def test_what_one_call_cannot_change(overrides: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        importable.options(**overrides)


def test_call_local_runs_here(q: TaskQueue) -> None:
    @q.task
    async def later(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @q.task
    def attempt() -> int:
        current().progress(1, 2)
        return current().attempt

    assert later.call_local(5) == 5
    assert attempt.call_local() == 1
    with pytest.raises(RuntimeError):
        current()


def test_an_importable_task_pickles_by_name() -> None:
    assert pickle.loads(pickle.dumps(importable)) is importable


def test_a_recursive_task_travels_by_value() -> None:
    q = TaskQueue("by-value", broker="embedded:/nowhere")

    @q.task(retries=2)
    def countdown(n: int) -> object:
        return countdown if n == 0 else None

    copy = cloudpickle.loads(cloudpickle.dumps(countdown))
    assert copy is not countdown
    assert (copy.name, copy.defaults) == (countdown.name, countdown.defaults)
    inner = copy.fn(0)
    assert inner.name == countdown.name
    assert copy.app.name == "by-value"


def test_json_tasks(q: TaskQueue) -> None:
    @q.task(serializer="json")
    def echo(x: Any) -> Any:
        return x

    with pytest.raises(errors.SerializationError, match="argument 'x'"):
        echo((1, 2))
    assert accepted(q) == 0
    assert echo([1]).status() == "ready"


def test_a_full_queue_refuses_a_map_and_takes_its_first_requests_back(
    q: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.client.bulk.CALLS", 4)
    task = q.task(importable.fn)
    q.limit(max_messages=10)
    with pytest.raises(errors.QueueFull, match="is full"):
        task.map(range(20))
    (stats,) = q.stats().queues
    assert (stats.ready, stats.cancelled) == (0, 8)
    assert len(task.map(range(10))) == 10


def test_when_full_says_how_long_a_call_waits(q: TaskQueue) -> None:
    task = q.task(when_full="20s")(importable.fn)
    q.limit(max_messages=1)
    first = task(1)
    worker = threading.Thread(target=lambda: run_ready(q, 1))
    worker.start()
    assert task(2) != first
    worker.join()
    with pytest.raises(errors.QueueFull, match=r"no room within 0\.01 s"):
        task.options(when_full=0.01)(3)
    with pytest.raises(errors.QueueFull, match=r"'q' is full"):
        task.options(when_full="raise")(3)


def test_a_map_waits_for_room_and_keeps_its_order(q: TaskQueue) -> None:
    seen: list[int] = []
    task = q.task(when_full=20)(seen.append)
    q.limit(max_messages=7)
    done = threading.Event()

    def consume() -> None:
        while not done.is_set() or q.stats().queues[0].ready:
            assert run_ready(q, 3) <= 3

    worker = threading.Thread(target=consume)
    worker.start()
    handles = task.map(range(100))
    done.set()
    worker.join()
    assert len(handles) == 100
    assert seen == list(range(100))


def test_a_map_that_finds_no_room_in_time_leaves_nothing_behind(q: TaskQueue) -> None:
    task = q.task(when_full=0.05)(importable.fn)
    q.limit(max_messages=3)
    with pytest.raises(errors.QueueFull, match="no room within"):
        task.map(range(10))
    (stats,) = q.stats().queues
    assert (stats.ready, stats.cancelled) == (0, 3)

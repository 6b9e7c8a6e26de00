from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec
import pytest

from taskq import HandleSet, ResultHandle, TaskQueue, as_completed, context, errors, wait
from taskq.backends.memory import MemoryBroker
from taskq.backends.port import Connection
from taskq.client import waiting
from taskq.client.waiting import ResultWatch, UnconsumedWarning, warn_of_standstill
from taskq.protocol.consuming import Claim, Register
from taskq.protocol.producing import Unwatch, Wait, Waited
from taskq.protocol.values import Finished
from tests.kit.fakes import FakeBroker
from tests.kit.inline_worker import run_ready
from tests.kit.messages import naming
from tests.kit.races import interrupted
from tests.kit.waiting import wait_until

R = TypeVar("R")


async def awaited(handle: ResultHandle[R]) -> R:
    """`await handle`, as a coroutine of its own."""
    return await handle


numbers = itertools.count()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def q(clock: Clock) -> TaskQueue:
    queue = TaskQueue(f"q{next(numbers)}", broker="memory:")
    queue.use_broker(MemoryBroker(SimpleNamespace(now=clock, ahead=float)))

    @queue.task(name="one")
    def one(n: int) -> int:
        if n < 0:
            raise ValueError(n)
        return n

    return queue


@pytest.fixture
def other() -> Iterator[TaskQueue]:
    queue = TaskQueue("other", broker="memory:")

    @queue.task(name="one")
    def one(n: int) -> int:
        return n

    yield queue
    queue.close()


def test_a_result_is_kept_in_the_handle(q: TaskQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = q.tasks["one"](5)
    run_ready(q)
    assert handle.result(timeout=10) == 5
    monkeypatch.setattr(q.broker, "call", lambda *_, **__: pytest.fail("asked again"))
    assert handle() == 5
    assert handle.done()
    assert handle.exception() is None


def test_what_the_task_raised(q: TaskQueue) -> None:
    handle = q.tasks["one"](-1)
    run_ready(q)
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            handle.result(timeout=10)
    assert isinstance(handle.exception(), ValueError)
    assert "in one" in str(handle.exception().__cause__)  # type: ignore[union-attr]


def test_a_handle_that_sees_a_replay_waits_for_the_new_outcome(q: TaskQueue) -> None:
    broken = [True]

    @q.task(name="mended")
    def mended() -> str:
        if broken:
            raise ValueError("not yet")
        return "done"

    handle = mended()
    run_ready(q)
    assert isinstance(handle.exception(timeout=10), ValueError)
    assert handle.status() == "dead"
    assert handle.is_settled  # nothing new: the error is kept
    q.dlq.replay(handle.id)
    assert handle.status() == "ready"
    assert not handle.done()
    assert not handle.is_settled
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    broken.clear()
    run_ready(q)
    assert [each.result() for each in as_completed([handle], timeout=10)] == ["done"]
    assert handle.exception() is None


def test_a_timeout_leaves_the_handle_valid(q: TaskQueue) -> None:
    handle = q.tasks["one"](1)
    with pytest.raises(TimeoutError, match=naming(handle.id, "0 s")):
        handle.result(timeout=0)
    run_ready(q)
    assert handle.result(timeout=0) == 1
    with pytest.raises(ValueError, match=naming("timeout", "-1")):
        q.tasks["one"](1).result(timeout=-1)


def test_61_every_end_has_its_own_error(q: TaskQueue, clock: Clock) -> None:
    task = q.tasks["one"]
    cancelled = task(1)
    assert cancelled.cancel()
    assert not cancelled.cancel()
    expired = task.options(expires=datetime.fromtimestamp(clock.now + 5, UTC))(1)
    brief = task.options(result_ttl=1, priority=0)(1)
    run_ready(q, 1)
    clock.now += 10
    unknown = q.handle("nothing")
    for handle, error in (
        (cancelled, errors.TaskCancelled),
        (expired, errors.TaskExpired),
        (brief, errors.ResultExpired),
        (unknown, errors.UnknownMessage),
    ):
        assert type(handle.exception(timeout=0)) is error
        with pytest.raises(error, match=handle.id):
            handle.result(timeout=0)
    for ask in (unknown.status, unknown.done, unknown.info, unknown.progress):
        with pytest.raises(errors.UnknownMessage, match="nothing"):
            ask()


@pytest.mark.parametrize("later", [10, 1000])  # its id is remembered, and forgotten
def test_everybody_who_asks_for_an_expired_result_gets_the_same_error(
    q: TaskQueue, clock: Clock, later: float
) -> None:
    id = q.tasks["one"].options(result_ttl=1)(1).id
    run_ready(q, 1)
    clock.now += later
    handle = q.handle(id)
    for ask in (handle.result, handle.status, handle.done, handle.info, handle.progress):
        with pytest.raises(errors.ResultExpired, match=naming(id, "result_ttl")):
            ask()
    assert not handle.cancel()


def test_an_unknown_id_may_become_known(q: TaskQueue) -> None:
    handle = q.handle("mine")
    with pytest.raises(errors.UnknownMessage):
        handle.result(timeout=0)
    q.tasks["one"].options(id="mine")(3)
    run_ready(q)
    assert handle.result(timeout=0) == 3


@pytest.mark.parametrize("line", range(12))
def test_a_thread_sees_no_old_error_with_a_result(q: TaskQueue, line: int) -> None:
    handle = q.handle("mine")
    with pytest.raises(errors.UnknownMessage):
        handle.result(timeout=0)
    q.tasks["one"].options(id="mine")(3)
    run_ready(q)
    seen: list[object] = []
    interrupted(
        lambda: handle.result(timeout=0),
        ResultHandle.settle.__code__,
        line,
        lambda: seen.append(handle.result(timeout=0)),
    )
    assert seen in ([], [3])


def test_handles_are_values(q: TaskQueue) -> None:
    handle = q.tasks["one"](1)
    again = pickle.loads(pickle.dumps(handle))
    assert again == handle == q.handle(handle.id)
    assert len({handle, again}) == 1
    run_ready(q)
    assert again.app is q
    assert again.result(timeout=0) == 1
    assert handle.id in repr(handle)


def test_75_a_tampered_result_is_refused(q: TaskQueue) -> None:
    handle = q.tasks["one"](1)
    handle.settle(Finished(handle.id, "succeeded", b"\x01p\x03\x0b" + b"x" * 30))
    with pytest.raises(errors.TamperedPayload):
        handle.result()


def test_await(q: TaskQueue) -> None:
    of_other_tests = set(threading.enumerate())

    async def main() -> None:
        handles = [q.tasks["one"](n) for n in range(300)]
        failing = q.tasks["one"](-1)
        gathered = asyncio.gather(*handles)
        await asyncio.get_running_loop().run_in_executor(None, run_ready, q)
        assert await gathered == list(range(300))
        with pytest.raises(ValueError, match="-1"):
            await failing
        never = q.tasks["one"](1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never, 0)
        with pytest.raises(errors.UnknownMessage):
            await q.handle("nothing")
        ours = set(threading.enumerate()) - of_other_tests
        assert sum("taskq-waiter" in thread.name for thread in ours) == 1

    asyncio.run(main())


def test_a_waiter_whose_thread_does_not_start_says_so_and_works_later(
    q: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        handle = q.tasks["one"](1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                await handle
        waiting = asyncio.ensure_future(awaited(handle))
        await asyncio.sleep(0)
        run_ready(q)
        assert await asyncio.wait_for(waiting, 20) == 1

    asyncio.run(main())


def test_a_loop_that_closes_just_then_does_not_disturb_other_waiters(q: TaskQueue) -> None:
    first, second = q.tasks["one"].map([1, 2])
    loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    abandoned = loop.create_task(awaited(first))
    waiting = other.create_task(awaited(second))
    for each in (loop, other):
        each.run_until_complete(asyncio.sleep(0))  # now it waits
    loop.close()
    run_ready(q)
    assert other.run_until_complete(asyncio.wait_for(waiting, 20)) == 2
    other.close()
    assert not abandoned.done()
    abandoned.get_coro().close()  # type: ignore[union-attr]


def test_a_long_wait_outlives_many_short_ones(q: TaskQueue, clock: Clock) -> None:
    async def main() -> None:
        later = q.tasks["one"].options(delay=100)(-5)
        waiting = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(awaited(later))]))
        for n in range(100):
            handle = q.tasks["one"](n)
            asking = asyncio.ensure_future(awaited(handle))
            await asyncio.sleep(0)
            run_ready(q)
            assert await asking == n
        clock.now += 200
        run_ready(q)
        await waiting
        assert isinstance(later.exception(), ValueError)

    asyncio.run(main())


def test_await_raises_that_the_broker_is_gone(q: TaskQueue) -> None:
    handle = q.tasks["one"](1)

    def gone() -> None:
        raise errors.BrokerUnavailable("gone")

    q.broker.connect = gone  # type: ignore[method-assign,assignment]

    async def main() -> None:
        await handle

    for _ in range(2):
        with pytest.raises(errors.BrokerUnavailable, match="gone"):
            asyncio.run(main())


class SilentBroker(FakeBroker):
    """One that accepts connections and does not answer."""

    def connect(self, *_: object, **__: object) -> Any:
        raise errors.BrokerTimeout("silent")

    call = connect


# --- many ----------------------------------------------------------------------------------------


def test_wait(q: TaskQueue) -> None:
    one = q.tasks["one"]
    bad, good, late = one(-1), one(1), one.options(delay=100)(2)
    run_ready(q)
    done, not_done = wait([bad, good, late, good], timeout=0)
    assert (done, not_done) == ({bad, good}, {late})
    assert wait([late, good], return_when="FIRST_COMPLETED").done == {good}
    assert wait([late, bad], return_when="FIRST_EXCEPTION").done == {bad}
    with pytest.raises(ValueError, match=naming("return_when", "ALL_COMPLETED", "'SOMETIME'")):
        wait([good], return_when="SOMETIME")  # type: ignore[arg-type]
    assert wait([]).done == set()


def test_as_completed(q: TaskQueue) -> None:
    handles = q.tasks["one"].map(range(5))
    late = q.tasks["one"].options(delay=100)(2)
    run_ready(q)
    assert {h.result() for h in as_completed(handles, timeout=10)} == {0, 1, 2, 3, 4}
    seen = []
    with pytest.raises(TimeoutError, match="1 of 6 calls"):
        seen.extend(as_completed([*handles, late], timeout=0))
    assert len(seen) == 5


def test_handles_of_several_brokers(q: TaskQueue, other: TaskQueue) -> None:
    handles = [q.tasks["one"](1), other.tasks["one"](2)]
    run_ready(q)
    run_ready(other)
    assert sorted(h.result() for h in as_completed(handles, timeout=20)) == [1, 2]


@pytest.mark.parametrize("error", [errors.BrokerTimeout, errors.BrokerUnavailable])
def test_handles_of_other_brokers_finish_next_to_a_broker_that_is_gone(
    q: TaskQueue, error: type[errors.BrokerUnavailable]
) -> None:
    lost, good = lost_queue(error("gone")), q.tasks["one"](1)
    threading.Thread(target=lambda: (wait_until(has_lost(lost)), run_ready(q))).start()
    completed = as_completed([lost.handle("a"), good], timeout=60)
    assert next(completed) is good
    with pytest.raises(error, match="gone"):
        next(completed)


def test_a_timeout_next_to_a_broker_that_is_gone_names_it(
    q: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, late = lost_queue(errors.BrokerUnavailable("gone")), q.tasks["one"](1)
    times = iter([0.0, 0.0, 60.0])  # the time is over when the first error has come in
    monkeypatch.setattr("taskq.client.handles.monotonic", lambda: next(times))
    with pytest.raises(errors.BrokerTimeout, match=naming("not finished in time", "gone")):
        list(as_completed([lost.handle("a"), late], timeout=60))


def lost_queue(error: Exception) -> TaskQueue:
    queue = TaskQueue("lost")
    queue.use_broker(FakeBroker(error))  # type: ignore[arg-type]
    return queue


def has_lost(queue: TaskQueue) -> Callable[[], bool]:
    """Whether those who wait for that queue have been told that its broker is gone."""
    broker = cast("FakeBroker", queue.broker)
    name = f"taskq-waiter-{broker.url}"
    return lambda: (
        not broker.connections and all(each.name != name for each in threading.enumerate())
    )


@pytest.mark.parametrize("count", [1, 2])
def test_wait_raises_that_a_broker_does_not_answer_before_its_time_is_over(count: int) -> None:
    queues = [TaskQueue(f"silent{number}") for number in range(count)]
    for queue in queues:
        queue.use_broker(SilentBroker())  # type: ignore[arg-type]
    with pytest.raises(errors.BrokerTimeout, match="silent"):
        wait([queue.handle("a") for queue in queues], timeout=60)


def test_brokers_that_were_waited_for_in_vain_are_not_kept() -> None:
    queues = [TaskQueue("a"), TaskQueue("b")]
    for queue in queues:
        queue.use_broker(FakeBroker(errors.BrokerUnavailable("gone")))  # type: ignore[arg-type]
    brokers = [weakref.ref(queue.broker) for queue in queues]
    with contextlib.suppress(errors.BrokerUnavailable):
        list(as_completed([queue.handle(queue.name) for queue in queues]))
    del queue, queues

    def are_gone() -> bool:
        gc.collect()
        return not any(broker() for broker in brokers)

    wait_until(are_gone)


def test_a_handle_set_is_a_sequence(q: TaskQueue) -> None:
    handles = q.tasks["one"].map(range(4))
    assert isinstance(handles, HandleSet)
    assert len(handles) == 4
    assert isinstance(handles[1:3], HandleSet)
    assert list(handles[1:3]) == [handles[1], handles[2]]
    assert HandleSet(q, [q.handle("nobody"), *handles]).cancel() == 4
    assert not handles.wait(timeout=0).not_done


def test_results_with_the_errors_in_their_places(q: TaskQueue) -> None:
    share = q.task(name="share")(lambda n: 12 // n)
    handles = share.map([3, 0, 4])
    run_ready(q)
    with pytest.raises(ZeroDivisionError):
        handles.results(timeout=0)
    four, error, three = handles.results(timeout=0, return_exceptions=True)
    assert (four, three) == (4, 3)
    assert isinstance(error, ZeroDivisionError)
    with pytest.raises(TimeoutError):
        share.map([1]).results(timeout=0, return_exceptions=True)


def test_a_set_draws_only_in_a_terminal(q: TaskQueue) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    handles = q.tasks["one"].map(range(4))
    run_ready(q)
    for out, drawn in ((io.StringIO(), False), (Terminal(), True)):
        handles = HandleSet(q, [q.handle(h.id) for h in handles])
        assert handles.results(timeout=0, progress=out) == [0, 1, 2, 3]
        assert ("4/4 100%" in out.getvalue()) is drawn


# --- the watch -----------------------------------------------------------------------------------


class Script:
    """A broker that answers waits from a list."""

    url = "embedded:/nowhere"

    def __init__(self, *replies: Waited) -> None:
        self.replies = list(replies)
        self.asked: list[Wait] = []

    def call(self, request: Wait, *, timeout: float | None = None) -> Waited:
        self.asked.append(request)
        return self.replies.pop(0)


def test_ids_are_sent_once() -> None:
    script = Script(
        Waited(finished=[Finished("a", "succeeded")], pending=1),
        Waited(finished=[Finished("b", "succeeded")], pending=0),
    )
    watch = ResultWatch(script, ["a", "b"])  # type: ignore[arg-type]
    assert [f.id for f in watch.next(None)] == ["a"]
    assert [f.id for f in watch.next(None)] == ["b"]
    assert watch.next(None) == []
    assert [sorted(request.add) for request in script.asked] == [["a", "b"], []]


def test_the_hint_names_a_queue_whose_name_has_a_colon() -> None:
    script = Script()
    with pytest.warns(UnconsumedWarning, match="-Q mails:3:1"):
        warn_of_standstill(script, ["mails:3"], [])  # type: ignore[arg-type]


def test_12_a_forgotten_watch_is_made_again() -> None:
    script = Script(
        Waited(finished=[], pending=0), Waited(finished=[Finished("a", "succeeded")], pending=1)
    )
    watch = ResultWatch(script, ["a", "b"])  # type: ignore[arg-type]
    assert [f.id for f in watch.next(None)] == ["a"]
    assert [sorted(request.add) for request in script.asked] == [["a", "b"], ["a", "b"]]


def test_the_first_slice_is_short_and_warns_of_missing_workers() -> None:
    script = Script(
        Waited(finished=[], pending=1, unconsumed=["lonely"]),
        Waited(finished=[Finished("a", "succeeded")], pending=0),
    )
    watch = ResultWatch(script, ["a"])  # type: ignore[arg-type]
    with pytest.warns(UnconsumedWarning, match=naming("no worker", "'lonely'")) as caught:
        watch.next(None)
    assert caught[0].filename == __file__
    assert "taskq worker MODULE:QUEUE -Q lonely" in str(caught[0].message)
    assert [request.wait for request in script.asked] == [2.0, 30.0]
    warn_of_standstill(script, ["lonely"], [])  # type: ignore[arg-type]  # once: or an error here


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first slice of no length, and no memory of what was warned of."""
    monkeypatch.setattr(waiting, "FIRST_SLICE", 0.0)
    monkeypatch.setattr(waiting, "warned", {})


def register(q: TaskQueue, tasks: list[str]) -> Connection:
    """A worker that knows these tasks and does nothing."""
    hello = Register(worker="w", consumer="w", group="default", queues=[q.name], tasks=tasks)
    return q.broker.connect(lambda: hello)


@pytest.mark.usefixtures("impatient")
def test_a_wait_for_a_parked_task_warns(q: TaskQueue) -> None:
    connection = register(q, ["another"])
    handle = q.tasks["one"](1)
    connection.call(Claim(queues=[q.name], n=1, wait=0))
    with (
        pytest.raises(TimeoutError),
        pytest.warns(UnconsumedWarning, match=naming("task one")) as caught,
    ):
        handle.result(timeout=0)
    assert caught[0].filename == __file__
    connection.close()


@pytest.mark.usefixtures("impatient")
def test_a_wait_for_a_paused_queue_warns(q: TaskQueue) -> None:
    connection = register(q, ["one"])
    handle = q.tasks["one"](1)
    q.pause()
    with (
        pytest.raises(TimeoutError),
        pytest.warns(UnconsumedWarning, match=naming("paused", f"taskq queue resume {q.name}")),
    ):
        handle.result(timeout=0)
    connection.close()


@pytest.mark.usefixtures("impatient")
def test_a_task_that_waits_for_what_no_worker_has_taken_is_warned(q: TaskQueue) -> None:
    connection = register(q, ["one"])
    handle = q.tasks["one"](1)
    token = context.enter(context.local("outer", q.name))
    try:
        with (
            pytest.raises(TimeoutError),
            pytest.warns(UnconsumedWarning, match=naming("call of one", "more workers")),
        ):
            handle.result(timeout=0)
    finally:
        context.leave(token)
    connection.close()


@pytest.mark.usefixtures("impatient")
def test_who_waits_for_what_only_takes_long_is_not_warned(q: TaskQueue) -> None:
    connection = register(q, ["one"])
    handles = q.tasks["one"].map(range(2))
    connection.call(Claim(queues=[q.name], n=1, wait=0))
    q.pause()
    with pytest.raises(TimeoutError):
        handles[0].result(timeout=0)
    connection.close()


def test_a_watch_that_was_left_is_dropped_at_the_broker(
    q: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = q.tasks["one"](1)
    asked: list[Any] = []
    call = q.broker.call

    def record(request: Any, **how: Any) -> Any:
        asked.append(request)
        return call(request, **how)

    monkeypatch.setattr(q.broker, "call", record)
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    watch, unwatch = asked[0], asked[-1]
    assert isinstance(watch, Wait)
    assert isinstance(unwatch, Unwatch)
    assert unwatch.watch == watch.watch


def test_an_id_that_a_call_of_another_task_has(q: TaskQueue) -> None:
    @q.task(name="two")
    def two(n: int) -> int:
        return 2 * n

    first = q.tasks["one"].options(id="same")(5)
    second = ResultHandle[int](q, "same", two.origin)
    for _ in range(2):  # while the first one waits, and when it has ended
        with pytest.raises(errors.UnknownMessage, match=naming("call same", "two", "one")):
            two.options(id="same")(5)
        run_ready(q)
    assert first.result(timeout=10) == q.handle("same").result(timeout=10) == 5
    with pytest.raises(errors.UnknownMessage, match=naming("call same", "two", "one")):
        second.result(timeout=10)


def test_an_id_that_is_in_use_stands_for_its_first_message_in_another_queue_too(
    q: TaskQueue,
) -> None:
    first = q.tasks["one"].options(id="same")(5)
    second = q.tasks["one"].options(id="same", queue="elsewhere")(6)
    run_ready(q)
    assert first.result(timeout=10) == second.result(timeout=10) == 5


def test_75_a_handle_asks_for_the_result_of_its_own_call(q: TaskQueue) -> None:
    handle = q.tasks["one"](5)
    run_ready(q)
    watch = ResultWatch(q.broker, (handle.id,))
    (told,) = watch.next(None)
    for queue, task in ((q.name, "two"), ("elsewhere", "one")):
        # a broker that gives it out as the result of another call
        claimed = q.handle(handle.id)
        claimed.settle(msgspec.structs.replace(told, queue=queue, task=task))
        assert isinstance(claimed.exception(), errors.TamperedPayload)
    other = q.task(lambda n: n, name="two")(1)
    other.settle(msgspec.structs.replace(told, id=other.id, task="two"))
    assert isinstance(other.exception(), errors.TamperedPayload)
    honest = q.handle(handle.id)
    honest.settle(told)
    assert honest.result() == 5


@pytest.mark.parametrize("wrong", [1, "abc", ["x"]])
def test_what_is_no_handle_is_not_waited_for(q: TaskQueue, wrong: Any) -> None:
    handle = q.tasks["one"](1)
    for function in (wait, as_completed):
        with pytest.raises(TypeError, match=naming(repr(wrong), "handles", "queue.handle(id)")):
            function([handle, wrong])


def test_many_handles_are_not_awaited_as_one(q: TaskQueue) -> None:
    async def attempt(handles: Any) -> None:
        await handles

    with pytest.raises(TypeError, match=naming("asyncio.gather(*handles)")):
        asyncio.run(attempt(q.tasks["one"].map([1, 2])))

"""One message through the steps of the processor."""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import pytest

from taskq.codec.by_value import ByValue
from taskq.codec.ref import CallRef
from taskq.context import current
from taskq.errors import LeaseLost, TaskCancelled, TaskTimeout
from taskq.options.task_options import Retry, TaskOptions
from taskq.protocol.consuming import Report
from taskq.protocol.values import Abandon, Ack, Delivered, Fail, Outcome, Progress, Release
from taskq.worker.runtime.processor import Processor
from taskq.worker.runtime.slot import Slot
from tests.kit.fakes import FakeAlarm, FakeApp, FakeTask
from tests.kit.messages import missing


class ProcessorBench:
    """A processor for some functions."""

    def __init__(self, *functions: Callable[..., Any], **options: Any) -> None:
        self.app = FakeApp(*functions, **options)
        self.slot = Slot()
        self.alarm = FakeAlarm()
        self.notices = 0
        self.task = ""  # whose call came last
        self.processor = Processor(self.app, "w", self.slot, self.alarm, self.notice)

    def notice(self) -> None:
        self.notices += 1

    def run(self, task: str, *args: Any, **options: Any) -> Outcome | None:
        self.task = task
        return self.processor.run(self.app.claim(task, *args, **options))

    def fails(self, task: str, *args: Any, **options: Any) -> Fail:
        outcome = self.run(task, *args, **options)
        assert isinstance(outcome, Fail)
        return outcome

    def value(self, outcome: Outcome | None) -> Any:
        assert isinstance(outcome, Ack)
        return self.app.codec.decode_result(CallRef("q", outcome.id, self.task), outcome.value)


def add(a: int, b: int) -> int:
    return a + b


async def add_later(a: int, b: int) -> int:
    return a + b


def fail(*args: Any) -> None:
    raise ValueError(*args)


def test_a_value_is_acknowledged() -> None:
    bench = ProcessorBench(add)
    assert bench.value(bench.run("add", 2, 3)) == 5
    assert bench.slot.running == []
    assert bench.slot.started == 1


def test_a_coroutine_is_awaited() -> None:
    bench = ProcessorBench(add_later)
    assert bench.value(bench.run("add_later", 2, 3)) == 5
    bench.processor.close()


def test_an_exception_fails_the_attempt() -> None:
    bench = ProcessorBench(fail)
    outcome = bench.fails("fail", "no")
    assert (outcome.error.kind, outcome.error.text) == ("ValueError", "no")
    assert (outcome.final, outcome.delay) == (False, None)
    assert outcome.error.worker == "w"
    assert bench.slot.words[Slot.FAILED] == 1


def test_types_decide_about_another_attempt() -> None:
    assert ProcessorBench(fail, give_up_on=ValueError).fails("fail").final
    assert ProcessorBench(fail, retry_on=KeyError).fails("fail").final
    assert not ProcessorBench(fail, retry_on=ValueError).fails("fail").final


def test_retry_asks_for_another_attempt_with_its_delay() -> None:
    def again() -> None:
        raise Retry(delay=7, reason="not yet")

    outcome = ProcessorBench(again, give_up_on=Exception).fails("again")
    assert (outcome.final, outcome.delay, outcome.error.text) == (False, 7.0, "not yet")


def test_a_backoff_function_is_asked_with_the_number_of_failures() -> None:
    bench = ProcessorBench(fail, backoff=lambda failures: failures * 11)
    assert bench.fails("fail").delay == 11.0
    # the third attempt after one failure and the death of a worker
    message = bench.app.claim_as("w/1", "fail", "another")
    message.attempt, message.failures = 3, 1
    outcome = bench.processor.run(message)
    assert isinstance(outcome, Fail)
    assert outcome.delay == 22.0


def test_a_backoff_function_that_raises_leaves_it_to_the_broker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def divide(failures: int) -> float:
        return failures / 0

    outcome = ProcessorBench(fail, backoff=divide).fails("fail")
    assert (outcome.final, outcome.delay, outcome.error.kind) == (False, None, "ValueError")
    record = caplog.records[0]
    wanted = (
        "fail: the backoff function raised ZeroDivisionError: division by zero",
        "at most 1 s",
    )
    assert not missing(record.getMessage(), *wanted)
    traceback = record.task_traceback  # type: ignore[attr-defined]
    assert "in divide" in traceback
    assert not [text for text in ("task_options.py", "During handling") if text in traceback]


@pytest.mark.parametrize("value", ["oops", -1, None, math.nan, [1]])
def test_a_backoff_function_that_returns_no_seconds_is_one_line(
    caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    outcome = ProcessorBench(fail, backoff=lambda failures: value).fails("fail")
    assert (outcome.final, outcome.delay, outcome.error.kind) == (False, None, "ValueError")
    record = caplog.records[0]
    wanted = ("fail: the result of the backoff function", f"not {value!r}", "at most 1 s")
    assert not missing(record.getMessage(), *wanted)
    assert not record.exc_info
    assert not record.task_traceback  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_nothing_that_a_task_raises_leaves_the_processor(kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind("bye")

    assert ProcessorBench(leave).fails("leave").error.kind == kind.__name__


def test_an_exception_that_cannot_be_shown_fails_the_attempt_only() -> None:
    class Liar(Exception):
        def __str__(self) -> str:
            raise SystemExit

        def __reduce__(self) -> Any:
            raise KeyboardInterrupt

    def lie() -> None:
        raise Liar

    assert "Liar" in ProcessorBench(lie).fails("lie").error.kind


def test_a_result_that_cannot_be_pickled_is_final() -> None:
    def generator() -> Any:
        return (n for n in range(3))

    outcome = ProcessorBench(generator).fails("generator")
    assert outcome.final
    assert outcome.error.kind.endswith("SerializationError")


def test_a_result_over_the_limit_is_final() -> None:
    def big() -> bytes:
        return bytes(2000)

    bench = ProcessorBench(big)
    bench.app.codec.max_payload = 1000
    outcome = bench.fails("big")
    assert outcome.final
    assert outcome.error.kind.endswith("PayloadTooLarge")


def test_a_call_that_was_tampered_with_is_never_loaded() -> None:
    bench = ProcessorBench(add)
    message = bench.app.claim("add", 1, 2)
    message.payload = message.payload[:-1] + b"!"
    outcome = bench.processor.run(message)
    assert isinstance(outcome, Fail)
    assert outcome.final
    assert outcome.error.kind.endswith("TamperedPayload")
    assert bench.slot.running == []


def test_arguments_that_do_not_fit_fail_the_attempt() -> None:
    assert ProcessorBench(add).fails("add", 1).error.kind == "TypeError"


def test_an_unknown_task_goes_back_undecoded() -> None:
    bench = ProcessorBench(add)
    outcome = bench.run("nobody", 1)
    assert outcome == Release(cast("Release", outcome).receipt, "id", unknown=True)


def by_value(
    bench: ProcessorBench, function: Callable[..., Any], options: object, *args: Any
) -> Delivered:
    bench.task = "anon"
    data = ByValue("anon", function, options).data()
    payload = bench.app.codec.encode_call("q", "id", "anon", args, {}, function=data)
    return Delivered(1, "id", "q", "anon", payload, 1, None, 30.0)


def test_a_call_that_carries_its_function_needs_no_task() -> None:
    bench = ProcessorBench()
    message = by_value(bench, lambda a: a * 2, None, 21)
    assert bench.value(bench.processor.run(message)) == 42


def test_a_call_that_carries_its_function_carries_its_policy() -> None:
    bench = ProcessorBench()
    policy = TaskOptions().merge({"give_up_on": ZeroDivisionError})
    outcome = bench.processor.run(by_value(bench, lambda a: 1 // a, policy, 0))
    assert isinstance(outcome, Fail)
    assert outcome.final


def test_json_calls_give_json_results() -> None:
    bench = ProcessorBench(add)
    payload = bench.app.codec.encode_call("q", "id", "add", (1, 2), {}, serializer="json")
    outcome = bench.processor.run(Delivered(1, "id", "q", "add", payload, 1, None, 30.0))
    assert isinstance(outcome, Ack)
    assert bench.app.codec.decode_result(CallRef("q", "id", "add"), outcome.value, "json") == 3


# --- cancellation -----------------------------------------------------------------------------


def test_a_task_that_obeys_a_cancellation_is_abandoned() -> None:
    bench = ProcessorBench()

    def obey() -> None:
        bench.slot.post(current().fence)
        if current().cancelled:
            raise TaskCancelled("as you wish")

    bench.app.tasks["obey"] = FakeTask(obey)
    assert isinstance(bench.run("obey"), Abandon)


def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    def quit_early() -> None:
        raise TaskCancelled("no")

    assert ProcessorBench(quit_early).fails("quit_early").error.kind.endswith("TaskCancelled")


def test_a_task_that_was_cancelled_before_it_began_does_not_run() -> None:
    ran: list[int] = []
    bench = ProcessorBench(add)
    bench.app.tasks["add"].fn = lambda a, b: ran.append(a)
    message = bench.app.claim("add", 1, 2)
    bench.slot.post(message.receipt)
    assert isinstance(bench.processor.run(message), Abandon)
    assert ran == []


# --- context and timeout ------------------------------------------------------------------------


def test_a_task_sees_its_call() -> None:
    def look() -> tuple[Any, ...]:
        context = current()
        return context.id, context.attempt, context.queue, context.task

    bench = ProcessorBench(look)
    assert bench.value(bench.run("look")) == ("id", 1, "q", "look")
    with pytest.raises(RuntimeError):
        current()


def test_progress_waits_for_the_guard_and_only_the_latest_is_kept() -> None:
    sent: list[Report] = []

    def work() -> None:
        for done in range(1, 101):
            current().progress(done, 100, "working")
        sent.extend(bench.processor.reports.take())

    bench = ProcessorBench(work)
    message = bench.app.claim("work")
    assert isinstance(bench.processor.run(message), Ack)
    told = Progress(100, 100, "working")
    assert sent == [Report(receipt=message.receipt, id=message.id, progress=told)]
    assert not bench.processor.reports.running


def test_progress_of_a_lost_message_raises_in_the_task() -> None:
    def work() -> None:
        current().progress(1)
        bench.processor.reports.refused(current().fence)
        current().progress(2)

    bench = ProcessorBench(work)
    assert bench.fails("work").error.kind.endswith("LeaseLost")


def test_a_success_is_one_line_with_the_duration(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("taskq"), "propagate", True)
    with caplog.at_level(logging.DEBUG, logger="taskq.worker"):
        ProcessorBench(add).run("add", 2, 3)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "taskq.worker"]
    assert re.search(r"\badd id\b.* \d+\.\d{6} s", line)


def test_a_timeout_arms_the_alarm_and_the_launcher() -> None:
    seen: list[float] = []
    bench = ProcessorBench(add)
    bench.app.tasks["add"].fn = lambda a, b: seen.append(bench.slot.deadline)
    assert isinstance(bench.run("add", 1, 2, timeout=5.0), Ack)
    assert seen[0] > 0
    assert bench.slot.deadline == 0
    assert bench.alarm.log == [5.0, "stop"]
    assert bench.notices == 1


def test_a_launcher_that_looks_in_time_anyway_is_not_notified() -> None:
    bench = ProcessorBench(add)
    bench.slot.armed = 1e-9
    bench.run("add", 1, 2, timeout=5.0)
    assert bench.notices == 0


def test_a_launcher_that_would_look_too_late_is_notified() -> None:
    bench = ProcessorBench(add)
    bench.slot.armed = 1e12
    bench.run("add", 1, 2, timeout=5.0)
    assert bench.notices == 1


def test_a_task_without_timeout_touches_no_timer() -> None:
    bench = ProcessorBench(add)
    bench.run("add", 1, 2)
    assert bench.alarm.log == []
    assert bench.notices == 0


def test_a_failure_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no\n2026-01-31 12:00:00 INFO all is well \x1b[2J")

    with caplog.at_level(logging.WARNING, "taskq.worker"):
        ProcessorBench(fail).run("fail")
    (message,) = caplog.messages
    assert "no 2026-01-31" in message
    assert message.isprintable()


def logged(
    caplog: pytest.LogCaptureFixture, error: BaseException, **options: Any
) -> tuple[str, str]:
    """Message and traceback that the log has of a task that raises."""

    def fail() -> None:
        raise error

    with caplog.at_level(logging.DEBUG, "taskq.worker"):
        ProcessorBench(fail, **options).run("fail")
    (record,) = (record for record in caplog.records if "failed" in record.message)
    return record.message, record.task_traceback  # type: ignore[attr-defined]


def test_a_failure_is_logged_with_the_user_s_frames(caplog: pytest.LogCaptureFixture) -> None:
    message, traceback = logged(caplog, ValueError("no\r\x1b[2J"))
    assert not missing(message, "attempt 1", "ValueError")
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert ", in fail\n" in traceback
    assert "in _execute" not in traceback
    assert traceback.replace("\n", "").isprintable()


def test_the_loop_of_a_coroutine_is_not_in_its_traceback() -> None:
    async def fail_later() -> None:
        raise ValueError("no")

    for timeout in (None, 5.0):
        bench = ProcessorBench(fail_later)
        error = bench.fails("fail_later", timeout=timeout).error
        bench.processor.close()
        assert ", in fail_later\n" in error.traceback
        assert "asyncio" not in error.traceback
        assert "coroutines.py" not in error.traceback


def test_a_failure_that_is_final_is_logged_so(caplog: pytest.LogCaptureFixture) -> None:
    message, _ = logged(caplog, ValueError("no"), give_up_on=(ValueError,))
    assert not missing(message, "attempt 1", "given up", "ValueError: no")


@pytest.mark.parametrize("error", [Retry(reason="not yet"), LeaseLost("gone")])
def test_what_is_raised_on_purpose_is_logged_without_traceback(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    message, traceback = logged(caplog, error)
    assert str(error) in message
    assert traceback == ""


def test_early_acknowledgement_gives_no_outcome(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "taskq.worker"):
        assert ProcessorBench(fail).run("fail", "oops", ack_early=True) is None
    assert "oops" in caplog.text


def test_a_log_that_raises_does_not_keep_the_failure_from_the_broker() -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise AttributeError("request_id")

    logger = logging.getLogger("taskq.worker")
    logger.addFilter(refuse)
    try:
        assert ProcessorBench(fail).fails("fail", "no").error.text == "no"
    finally:
        logger.removeFilter(refuse)


# --- forks ------------------------------------------------------------------------------------


def fork_and(leave: Callable[[], Any]) -> int:
    pid = os.fork()
    if not pid:
        leave()
    return pid


@pytest.mark.parametrize("timeout", [None, 20.0])
@pytest.mark.parametrize(
    ("leave", "code"),
    [(lambda: None, 0), (lambda: sys.exit(3), 3), (lambda: sys.exit("no"), 1), (fail, 1)],
    ids=["return", "exit", "exit-with-text", "raise"],
)
def test_a_process_that_the_task_forked_ends_with_the_task(
    leave: Callable[[], Any], code: int, timeout: float | None
) -> None:
    bench = ProcessorBench(fork_and)
    me = os.getpid()
    pid = bench.value(bench.run("fork_and", leave, timeout=timeout))
    if os.getpid() != me:
        os._exit(99)  # the copy went on
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code


# --- a ring at the end of a task --------------------------------------------------------------


def ring() -> None:
    raise TaskTimeout


def test_an_alarm_that_rings_while_it_is_stopped_leaves_no_deadline() -> None:
    bench = ProcessorBench(add)
    bench.alarm.stop = ring  # type: ignore[method-assign]
    assert "TaskTimeout" in bench.fails("add", 1, 2, timeout=5.0).error.kind
    assert bench.slot.deadline == 0.0


@pytest.mark.parametrize("function", ["_end_copies", "stop"])
def test_an_alarm_that_rings_on_the_way_to_its_stop_leaves_no_deadline(function: str) -> None:
    """A signal is handled at the start of a Python function: at each one between task and stop."""
    called: list[str] = []

    def trace(frame: FrameType, event: str, argument: object) -> None:
        called.append(frame.f_code.co_name)
        if called[-1] == function:
            sys.settrace(None)
            ring()

    bench = ProcessorBench(add)
    bench.app.tasks["add"].fn = lambda: sys.settrace(trace)
    try:
        error = bench.fails("add", timeout=5.0).error
    finally:
        sys.settrace(None)
    assert called[-1] == function
    assert error.text == "the attempt ran longer than its timeout of 5 s"
    assert bench.slot.deadline == 0.0


def test_a_deadline_that_another_task_has_left_is_gone_before_the_next_begins() -> None:
    seen: list[float] = []
    bench = ProcessorBench(add)
    bench.app.tasks["add"].fn = lambda: seen.append(bench.slot.deadline)
    bench.slot.cells[0].deadline = 1.0
    bench.run("add")
    assert seen == [0.0]

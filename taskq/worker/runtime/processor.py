"""Runs one message: load → start the timeout → run → outcome.

Nothing that user code raises leaves this file; every message ends in an outcome.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import CoroutineType
from typing import Any, TypeVar

from taskq import context as contexts
from taskq.application import App, Policy
from taskq.codec.arguments import fits
from taskq.codec.header import carries_code, serializer_of
from taskq.codec.ref import CallRef
from taskq.context import TaskContext
from taskq.errors import TaskCancelled, TaskTimeout
from taskq.protocol.consuming import Extend
from taskq.protocol.values import (
    Abandon,
    Ack,
    Delivered,
    ErrorInfo,
    Fail,
    Outcome,
    Progress,
    Release,
)
from taskq.worker.runtime.copies import end_copy
from taskq.worker.runtime.coroutines import CoroutineRunner
from taskq.worker.runtime.failures import decide_retry, log_failure, policy_of
from taskq.worker.runtime.limits import GRACE, Alarm, late
from taskq.worker.runtime.progress import ProgressReports
from taskq.worker.runtime.slot import Cancellations, Cell, Slot
from taskq.worker.runtime.unknown import UnknownTasks

T = TypeVar("T")

_LARGE = 65_536  # bytes from which a result counts towards `Processor.unsettled_bytes`
_ENDS: dict[type, str] = {Ack: "succeeded", Abandon: "was cancelled"}  # a failure is logged apart

log = logging.getLogger("taskq.worker")


class Processor:
    """One consumer's executor.

    Args:
        app: tasks, codec and broker.
        worker: name of the worker, for error reports.
        slot: where the launcher sees what is running.
        alarm: raises `TaskTimeout` in this thread.
        armed: called when the slot holds a deadline that the launcher does not wait for yet.
    """

    def __init__(
        self,
        app: App,
        worker: str,
        slot: Slot,
        alarm: Alarm,
        armed: Callable[[], None],
        group: str = "default",
    ) -> None:
        self._broker = app.broker
        self._group = group
        self._codec = app.codec
        self._tasks = app.tasks
        self._unknown = UnknownTasks(group)
        self._worker = worker
        self._slot = slot
        self._words = slot.words
        self._cell = slot.cells[0]
        self._ints = self._cell.ints
        self._floats = self._cell.floats
        self.cancellations = Cancellations(slot)
        self.reports = ProgressReports(group)
        self._alarm = alarm
        self._armed = armed
        self._coroutines = CoroutineRunner()
        self._pid = os.getpid()
        self._debug = log.isEnabledFor(logging.DEBUG)
        self.unsettled_bytes = 0

    def run(self, message: Delivered) -> Outcome | None:
        """Execute one message; `None` if the broker wants no outcome (`ack="early"`)."""
        receipt = message.receipt
        ints = self._ints
        cancellations = self.cancellations
        began_at = time.perf_counter() if self._debug else 0.0
        # before `BEGAN`: whatever became of the last task, nobody is killed for another's deadline
        self._floats[Cell.DEADLINE] = 0.0
        ints[Cell.BEGAN] = receipt
        self._words[Slot.STARTED] += 1
        try:
            if cancellations.ring[cancellations.at]:
                cancellations.read()
            if receipt in cancellations.receipts:
                return Abandon(receipt, message.id)
            outcome = self._process(message)
        finally:
            ints[Cell.ENDED] = receipt
            if self.reports.running:
                self.reports.forget(receipt)
        if self._debug and type(outcome) in _ENDS:
            seconds = time.perf_counter() - began_at
            log.debug("%s %s %s in %.6f s", message.task, message.id, _ENDS[type(outcome)], seconds)
        return None if message.ack_early else outcome

    def close(self) -> None:
        """End the event loop, if one was made."""
        self._coroutines.close()

    # --- the steps --------------------------------------------------------------------------

    def _process(self, message: Delivered) -> Outcome:
        task = self._tasks.get(message.task)
        if task is None and not carries_code(message.payload):
            # loading the arguments may need modules that this worker does not have either
            self._unknown.log(message.task)
            return Release(message.receipt, message.id, unknown=True)
        try:
            function, args, kwargs = self._codec.decode_call(
                message.queue,
                message.id,
                message.task,
                message.payload,
                known=task is not None,
            )
        except BaseException as error:
            return self._failed(message, error, final=True)
        callee: Callable[..., Any] = function or task.fn  # type: ignore[union-attr]
        try:
            value = self._execute(message, callee, args, kwargs)
        except BaseException as error:
            if type(error) is TypeError and not fits(callee, args, kwargs):
                return self._failed(message, error, final=True)  # another attempt fits no better
            return self._raised(message, policy_of(task, function), error)
        try:
            result = self._codec.encode_result(
                CallRef(message.queue, message.id, message.task),
                value,
                serializer_of(message.payload),
            )
        except BaseException as error:
            return self._failed(message, error, final=True)
        if len(result) > _LARGE:
            self.unsettled_bytes += len(result)
        return Ack(message.receipt, message.id, result)

    def _execute(
        self,
        message: Delivered,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        token = contexts.enter(self._context(message))
        try:
            if message.timeout is None:
                value = function(*args, **kwargs)
                if value.__class__ is CoroutineType:
                    value = self._coroutines.run(value, None)
                return value
            return self._within(message.timeout, function, args, kwargs)
        finally:
            self._end_copies()
            contexts.leave(token)

    def _within(
        self,
        timeout: float,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """Run with a limit on the time: `TaskTimeout` first; if that does not help, the launcher."""
        slot, cell = self._slot, self._cell
        deadline = cell.deadline = time.monotonic() + timeout + GRACE
        try:
            try:
                self._alarm.start(timeout)
                # after the system call of `start`: `armed` must not be read before `deadline` is out
                if not 0 < slot.armed <= deadline:
                    self._armed()
                value = function(*args, **kwargs)
                if value.__class__ is CoroutineType:
                    self._alarm.stop()
                    value = self._coroutines.run(value, timeout)
                return value
            finally:  # the alarm may still ring, inside each of these calls
                try:
                    self._end_copies()  # before it takes the deadline out of the slot that we share
                finally:
                    try:
                        self._alarm.stop()
                    finally:
                        cell.deadline = 0.0
        except TaskTimeout as error:
            # a thread's alarm can raise the bare class only
            error.args = error.args or (late(timeout),)
            raise

    def _end_copies(self) -> None:
        """End a process that the task has forked, and that came out of it as we did.

        It would go on as a second consumer of our name, and share our slot.
        """
        if os.getpid() != self._pid:
            end_copy(sys.exc_info()[1])

    def _context(self, message: Delivered) -> TaskContext:
        receipt = message.receipt
        return TaskContext(
            message.id,
            message.attempt,
            receipt,
            message.queue,
            message.task,
            report=lambda done, total, note: self._report(message, done, total, note),
            extend=lambda seconds: self._extend(message, seconds),
            cancelled=lambda: self.cancellations.has(self._cell, receipt),
        )

    # --- what a task says through its context -------------------------------------------------

    def _report(self, message: Delivered, done: float, total: float | None, note: str) -> None:
        if not message.ack_early:
            self.reports.put(message.receipt, message.id, Progress(done, total, note))

    def _extend(self, message: Delivered, seconds: float) -> None:
        if not message.ack_early:
            request = Extend(
                receipt=message.receipt, id=message.id, seconds=seconds, group=self._group
            )
            self._broker.call(request)

    # --- failures -----------------------------------------------------------------------------

    def _raised(self, message: Delivered, options: Policy, error: BaseException) -> Outcome:
        """What follows from an exception of the task itself."""
        if isinstance(error, TaskCancelled):
            self.cancellations.read()
            if message.receipt in self.cancellations.receipts:
                return Abandon(message.receipt, message.id)
        final, delay = decide_retry(message, options, error)
        return self._failed(message, error, final=final, delay=delay)

    def _failed(
        self, message: Delivered, error: BaseException, *, final: bool, delay: float | None = None
    ) -> Outcome:
        info = self._describe(message, error)
        self._words[Slot.FAILED] += 1
        with suppress(Exception):  # the app may have given our logger a filter that raises
            log_failure(message, error, info, final)
        return Fail(message.receipt, message.id, info, final=final, delay=delay)

    def _describe(self, message: Delivered, error: BaseException) -> ErrorInfo:
        try:
            return self._codec.encode_error(
                CallRef(message.queue, message.id, message.task),
                error,
                message.attempt,
                self._worker,
                time.time(),
                serializer_of(message.payload),
            )
        except BaseException:
            # an exception may lie about itself in any way; its class name is always there
            return ErrorInfo(
                kind=type(error).__qualname__,
                text="the exception cannot be shown",
                attempt=message.attempt,
                at=time.time(),
                worker=self._worker,
            )

"""Task options: what a user may say, checked, and what of it the broker must know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Literal, TypeAlias, TypedDict

from msgspec import Struct
from msgspec.structs import replace

from taskq.options.checks import check
from taskq.options.durations import Duration, Moment, seconds
from taskq.protocol.backoff import Backoff
from taskq.protocol.values import Options

BackoffOption: TypeAlias = "Backoff | Duration | Sequence[Duration] | Callable[[int], float]"
ExceptionTypes: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...]"


class Priority(IntEnum):
    """The lowest number runs first; first in, first out within one."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


class Retry(Exception):
    """Raise it in a task to ask for another attempt.

    It counts as a failed attempt: when `retries` are used up, the call is dead-lettered.

    Args:
        delay: seconds until the next attempt, a `timedelta` or `"5m"`; default: the backoff.
        reason: one line that the attempt's record shows.
    """

    def __init__(self, delay: Duration | None = None, reason: str | None = None) -> None:
        self.delay = None if delay is None else seconds("Retry(delay=…)", delay)
        self.reason = reason
        super().__init__(self.delay, reason)

    def __str__(self) -> str:
        return self.reason or "the task asked for another attempt"


class QueueDefaults(TypedDict, total=False):
    """The task options that a `TaskQueue` may set for all of its tasks; see `TaskKeywords`."""

    queue: str
    priority: int
    retries: int
    backoff: BackoffOption
    retry_on: ExceptionTypes | None
    give_up_on: ExceptionTypes
    timeout: Duration | None
    visibility_timeout: Duration
    max_deliveries: int
    result_ttl: Duration
    delay: Duration
    eta: Moment | None
    expires: Duration | Moment | None
    ack: Literal["late", "early"]
    serializer: Literal["pickle", "json"]
    when_full: Literal["raise"] | Duration


class TaskKeywords(QueueDefaults, total=False):
    """The options of a task.

    Keys:
        name: task name; default: module and qualified name of the function.
        queue: queue name; default: the name of the `TaskQueue`.
        priority: `Priority`, 0 to 3.
        retries: extra attempts after a failed one.
        backoff: `Backoff`, seconds, a list of seconds, or a function of the number of failures.
        retry_on: exception types that are worth another attempt; default: every `Exception`.
        give_up_on: exception types that are not; wins over `retry_on`.
        timeout: duration that one attempt may run.
        visibility_timeout: length of the lease, renewed for as long as the worker lives.
        max_deliveries: worker deaths after which the call is dead-lettered.
        result_ttl: how long the result is kept.
        delay: duration before the first attempt.
        eta: `datetime` (naive: local time) or Unix time before which it does not run.
        expires: duration from the enqueue, or a `datetime`, after which it does not start.
        ack: `"late"` (at least once) or `"early"` (at most once).
        serializer: `"pickle"` or `"json"`.
        when_full: `"raise"` `QueueFull` at once, or how long a call waits for room before that.
    """

    name: str


class Overrides(QueueDefaults, total=False):
    """The options that one call may change: those of a task but for `name`, and

    Keys:
        id: message id; a second message with the same id gives the first one's handle.
    """

    id: str | None


class BackoffError(ValueError):
    """A backoff function returned no duration."""


class TaskOptions(Struct, frozen=True, kw_only=True):
    """Checked options; build them with `merge`. Durations are seconds, moments Unix times.

    `expires` is a duration, `expires_at` a moment; at most one is set. `backoff_function` is called
    by the worker with the number of the failed attempt. `when_full`: 0 raises at once.
    """

    name: str | None = None
    queue: str | None = None
    priority: int = Priority.MEDIUM
    retries: int = 0
    backoff: Backoff = Backoff()
    backoff_function: Callable[[int], float] | None = None
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    visibility_timeout: float = 30.0
    max_deliveries: int = 5
    result_ttl: float = 3600.0
    delay: float = 0.0
    eta: float | None = None
    expires: float | None = None
    expires_at: float | None = None
    id: str | None = None
    ack: str = "late"
    serializer: str = "pickle"
    when_full: float = 0.0

    def merge(self, changes: dict[str, Any]) -> TaskOptions:
        """These options with `changes` on top, each checked.

        Raises:
            TypeError: an unknown option, or a value of the wrong type.
            ValueError: a value out of range.
        """
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            checked |= check(name, value)
        return replace(self, **checked)

    def to_wire(self, carries_code: bool) -> Options:
        """What the broker must know; the same for every call of a task.

        Args:
            carries_code: the calls carry their function by value.
        """
        return Options(
            priority=int(self.priority),
            retries=self.retries,
            backoff=self.backoff,
            timeout=self.timeout,
            lease=self.visibility_timeout,
            max_deliveries=self.max_deliveries,
            result_ttl=self.result_ttl,
            ack_early=self.ack == "early",
            carries_code=carries_code,
        )

    def has_policy(self) -> bool:
        """Whether there is something that the worker, not the broker, decides after a failure."""
        plain = self.retry_on == (Exception,) and not self.give_up_on
        return not plain or self.backoff_function is not None

    def gives_up(self, error: BaseException) -> bool:
        """Whether that exception is not worth another attempt."""
        if isinstance(error, Retry):
            return False
        return isinstance(error, self.give_up_on) or not isinstance(error, self.retry_on)

    def retry_delay(self, failures: int) -> float | None:
        """Seconds that `backoff=` as a function wants after so many failures, from 1.

        `None` leaves it to the broker, which knows every other kind of backoff. Whatever the
        function raises goes to the caller.

        Raises:
            BackoffError: it returned something else than a duration.
        """
        if self.backoff_function is None:
            return None
        delay = self.backoff_function(failures)
        try:
            return seconds("the result of the backoff function", delay)
        except (TypeError, ValueError) as error:
            raise BackoffError(str(error)) from None

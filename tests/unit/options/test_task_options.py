from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskq import Backoff, Priority, Retry
from taskq.options.durations import seconds, timeout_of, unix_time
from taskq.options.task_options import TaskOptions
from tests.kit.messages import naming


def options(**changes: Any) -> TaskOptions:
    return TaskOptions().merge(changes)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5.0),
        (0.25, 0.25),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("2d", 172800.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_durations(value: Any, expected: float) -> None:
    assert seconds("x", value) == expected


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("", ValueError),
        ("5", ValueError),
        ("5 fortnights", ValueError),
        ("-5m", ValueError),
        (timedelta(seconds=-1), ValueError),
        (True, TypeError),
        (None, TypeError),
        ([1], TypeError),
    ],
)
def test_durations_that_are_none(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^delay must"):
        options(delay=value)


def test_moments() -> None:
    aware = datetime(2030, 1, 1, tzinfo=UTC)
    assert unix_time("eta", aware) == aware.timestamp()
    naive = datetime(2030, 1, 1)
    assert unix_time("eta", naive) == naive.timestamp()
    assert unix_time("eta", 5) == 5.0
    with pytest.raises(TypeError, match=naming("eta", "datetime", "'tomorrow'")):
        options(eta="tomorrow")


def test_timeouts_of_waiting_calls() -> None:
    assert timeout_of(None) is None
    assert timeout_of(float("inf")) is None
    assert timeout_of(0) == 0.0
    for bad, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(error, match="timeout must be"):
            timeout_of(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"retires": 3}, TypeError, "unknown task option 'retires'"),
        ({"unique": "queued"}, TypeError, "'unique' is not in this version"),
        ({"retries": -1}, ValueError, "retries must be"),
        ({"retries": 1.5}, TypeError, "retries must be"),
        ({"retries": True}, TypeError, "retries must be"),
        ({"priority": 4}, ValueError, "priority must be a whole number from 0 to 3"),
        ({"max_deliveries": 0}, ValueError, "max_deliveries must be"),
        ({"timeout": 0}, ValueError, "timeout must be finite and greater than zero"),
        ({"visibility_timeout": 0}, ValueError, "visibility_timeout must be"),
        ({"name": ""}, ValueError, "name must be"),
        ({"queue": "  "}, ValueError, "queue must be"),
        ({"queue": "a,b"}, ValueError, "queue must have no comma"),
        ({"queue": 7}, TypeError, "queue must be"),
        ({"ack": "never"}, ValueError, "ack must be 'late' or 'early'"),
        ({"serializer": "yaml"}, ValueError, "serializer must be"),
        ({"retry_on": "ValueError"}, TypeError, "retry_on must be an exception type"),
        ({"give_up_on": (ValueError, 3)}, TypeError, "give_up_on must be"),
        ({"backoff": []}, ValueError, "backoff must not be an empty list"),
        ({"backoff": [1, -1]}, ValueError, "each backoff must"),
        ({"expires": -1}, ValueError, "expires must"),
        ({"id": ""}, ValueError, "id must be"),
        ({"id": "x" * 1001}, ValueError, "id must have at most 1,000 characters, not 1,001"),
    ],
)
def test_bad_options(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        options(**changes)


def test_the_options_that_the_broker_gets() -> None:
    wire = options(
        priority=Priority.HIGH,
        retries=2,
        backoff=[1, "2s"],
        timeout="1m",
        visibility_timeout=9,
        result_ttl="2h",
        ack="early",
    ).to_wire(carries_code=True)
    assert (wire.priority, wire.retries, wire.timeout, wire.lease) == (1, 2, 60.0, 9.0)
    assert (wire.result_ttl, wire.ack_early, wire.carries_code) == (7200.0, True, True)
    assert [wire.backoff.delay(failures, 0.5) for failures in (1, 2, 3)] == [1.0, 2.0, 2.0]


def test_seconds_as_backoff_are_constant_even_beyond_the_usual_maximum() -> None:
    assert options(backoff="2h").backoff.delay(7, 0.9) == 7200.0
    assert options(backoff=Backoff(base=3)).backoff == Backoff(base=3)


def test_a_backoff_function() -> None:
    chosen = options(backoff=lambda attempt: attempt * 10)
    assert chosen.retry_delay(3) == 30.0
    assert options().retry_delay(3) is None
    with pytest.raises(ValueError, match=naming("backoff", "-1")):
        options(backoff=lambda attempt: -1).retry_delay(1)


def test_later_options_win_and_the_rest_stays() -> None:
    both = options(retries=2, backoff=lambda attempt: 1).merge({"retries": 3, "backoff": 5})
    assert (both.retries, both.backoff_function) == (3, None)
    moment = options(expires=5).merge({"expires": datetime(2030, 1, 1, tzinfo=UTC)})
    assert (moment.expires, moment.expires_at) == (None, 1893456000.0)


def test_which_exceptions_are_given_up() -> None:
    chosen = options(retry_on=(OSError, KeyError), give_up_on=FileNotFoundError)
    assert not chosen.gives_up(PermissionError())
    assert chosen.gives_up(FileNotFoundError())
    assert chosen.gives_up(ValueError())
    assert not chosen.gives_up(Retry())
    assert not options().gives_up(ValueError())
    assert chosen.has_policy()
    assert not options(retries=3).has_policy()


def test_retry() -> None:
    retry = Retry("5m", "not there yet")
    again = pickle.loads(pickle.dumps(retry))
    assert (again.delay, again.reason, str(again)) == (300.0, "not there yet", "not there yet")
    with pytest.raises(ValueError, match="delay"):
        Retry(-1)

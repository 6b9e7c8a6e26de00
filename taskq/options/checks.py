"""Checks of task options: each turns what a user says into the fields of `TaskOptions`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from taskq.options.durations import seconds, unix_time
from taskq.protocol.backoff import Backoff
from taskq.protocol.values import MAX_ID

LATER = frozenset({"unique", "debounce", "rate_limit", "concurrency", "after"})


def check(name: str, value: object) -> dict[str, Any]:
    """The fields that the option `name` sets, with `value` checked.

    Raises:
        TypeError: an unknown option, or a value of the wrong type.
        ValueError: a value out of range.
    """
    checker = _CHECKS.get(name)
    if checker is not None:
        return checker(name, value)
    if name in LATER:
        raise TypeError(f"the task option {name!r} is not in this version of taskq")
    raise TypeError(f"unknown task option {name!r}; there are {', '.join(_CHECKS)}")


def text(name: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        TypeError: not a text.
        ValueError: empty, blank or not printable.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {value!r}")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{name} must be a printable text that is not empty, not {value!r}")
    return value


def queue_name(name: str, value: object) -> str:
    """A text that can name a queue, also in a list like `-Q a,b:3`.

    Raises:
        TypeError: not a text.
        ValueError: no such name.
    """
    checked = text(name, value)
    if "," in checked or checked != checked.strip():
        raise ValueError(
            f"{name} must have no comma, and no space at its ends, not {value!r}: "
            "workers take their queues as a list, -Q a,b:3"
        )
    return checked


def module_names(name: str, value: object) -> tuple[str, ...]:
    """Names of modules, such as `shop.tasks`.

    Raises:
        TypeError: one text instead of several, or something else than texts.
        ValueError: a text that is no name of a module.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of module names, not {value!r}")
    modules = tuple(value)
    for each in modules:
        if not all(part.isidentifier() for part in text(name, each).split(".")):
            raise ValueError(f"{name} must have names of modules like shop.tasks, not {each!r}")
    return modules


def _queue(name: str, value: object) -> dict[str, Any]:
    return {name: queue_name(name, value)}


def _text(name: str, value: object) -> dict[str, Any]:
    return {name: text(name, value)}


def _optional_id(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, str) and len(value) > MAX_ID:
        raise ValueError(
            f"{name} must have at most {MAX_ID:,} characters, not {len(value):,}; "
            "use a digest of a longer text"
        )
    return {name: None if value is None else text(name, value)}


def _whole(least: int, most: int | None = None) -> Callable[[str, object], dict[str, Any]]:
    def check(name: str, value: object) -> dict[str, Any]:
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number {span}, not {value!r}")
        if value < least or (most is not None and value > most):
            raise ValueError(f"{name} must be a whole number {span}, not {value!r}")
        return {name: value}

    return check


def _duration(name: str, value: object) -> dict[str, Any]:
    return {name: seconds(name, value)}


def _positive(name: str, value: object) -> dict[str, Any]:
    return {name: seconds(name, value, positive=True)}


def _optional_positive(name: str, value: object) -> dict[str, Any]:
    return {name: None} if value is None else _positive(name, value)


def _eta(name: str, value: object) -> dict[str, Any]:
    return {name: None if value is None else unix_time(name, value)}


def _expires(name: str, value: object) -> dict[str, Any]:
    from datetime import datetime

    if value is None:
        return {"expires": None, "expires_at": None}
    if isinstance(value, datetime):
        return {"expires": None, "expires_at": unix_time(name, value)}
    return {"expires": seconds(name, value), "expires_at": None}


def _one_of(*allowed: str) -> Callable[[str, object], dict[str, Any]]:
    def check(name: str, value: object) -> dict[str, Any]:
        if value not in allowed:
            raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")
        return {name: value}

    return check


def _when_full(name: str, value: object) -> dict[str, Any]:
    return {name: 0.0 if value == "raise" else seconds(name, value)}


def _exceptions(name: str, value: object) -> dict[str, Any]:
    if value is None and name == "retry_on":
        return {name: (Exception,)}
    types = value if isinstance(value, tuple | list) else (value,)
    if not all(isinstance(entry, type) and issubclass(entry, BaseException) for entry in types):
        raise TypeError(f"{name} must be an exception type or a tuple of them, not {value!r}")
    return {name: tuple(types)}


def _backoff(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, Backoff):
        return {"backoff": value, "backoff_function": None}
    if callable(value):
        return {"backoff": Backoff(), "backoff_function": value}
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("backoff must not be an empty list; retry at once with backoff=0")
        steps = tuple(seconds("each backoff", step) for step in value)
    else:
        steps = (seconds(name, value),)
    return {
        "backoff": Backoff(steps=steps, max=max(steps), jitter=False),
        "backoff_function": None,
    }


_CHECKS: dict[str, Callable[[str, object], dict[str, Any]]] = {
    "name": _text,
    "queue": _queue,
    "priority": _whole(0, 3),
    "retries": _whole(0),
    "backoff": _backoff,
    "retry_on": _exceptions,
    "give_up_on": _exceptions,
    "timeout": _optional_positive,
    "visibility_timeout": _positive,
    "max_deliveries": _whole(1),
    "result_ttl": _duration,
    "delay": _duration,
    "eta": _eta,
    "expires": _expires,
    "id": _optional_id,
    "ack": _one_of("late", "early"),
    "serializer": _one_of("pickle", "json"),
    "when_full": _when_full,
}

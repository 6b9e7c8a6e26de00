"""Durations and moments as people write them, turned into seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime, timedelta

Duration: TypeAlias = "float | str | timedelta"
Moment: TypeAlias = "float | datetime"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_FORMS = 'seconds, a timedelta or a text like "90s", "5m" or "1h30m"'


def seconds(name: str, value: object, *, positive: bool = False) -> float:
    """A duration in seconds.

    Args:
        name: what the value is for; begins the sentence of an error.
        value: seconds, a `timedelta`, or `"1h30m"` with the units ms, s, m, h, d, w.
        positive: refuse zero as well.

    Raises:
        TypeError: not one of these types.
        ValueError: negative, not finite, or not readable.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be {_FORMS}, not {value!r}")
    if isinstance(value, int | float):
        number = float(value)
    elif isinstance(value, str):
        number = _parse(name, value)
    else:
        from datetime import timedelta

        if not isinstance(value, timedelta):
            raise TypeError(f"{name} must be {_FORMS}, not {value!r}")
        number = value.total_seconds()
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        least = "greater than zero" if positive else "zero or greater"
        raise ValueError(f"{name} must be finite and {least}, not {value!r}")
    return number


def _parse(name: str, text: str) -> float:
    import re

    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", text.replace(" ", ""))
    if not parts or "".join(map("".join, parts)) != text.replace(" ", ""):
        raise ValueError(f"{name} must be {_FORMS}, not {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def unix_time(name: str, value: object) -> float:
    """A moment as a Unix time.

    Args:
        name: what the value is for; begins the sentence of an error.
        value: Unix seconds, or a `datetime`; a naive one is taken as local time.

    Raises:
        TypeError: not one of these types.
        ValueError: not finite.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        from datetime import datetime

        if not isinstance(value, datetime):
            raise TypeError(f"{name} must be a datetime or a Unix time in seconds, not {value!r}")
        number = value.timestamp()
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value!r}")
    return number


def timeout_of(value: float | None) -> float | None:
    """Check the `timeout` of a call that waits: `None`, or seconds that are not negative.

    Raises:
        TypeError: not a number.
        ValueError: negative or NaN.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"timeout must be seconds or None, not {value!r}")
    if not value >= 0:
        raise ValueError(f"timeout must be zero or greater, not {value!r}")
    return None if math.isinf(value) else float(value)

"""The types of option values: each says in one sentence what it takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import click

if TYPE_CHECKING:
    Type: TypeAlias = click.ParamType[Any]
else:
    Type = click.ParamType  # generic from click 8.3 on


class Whole(Type):
    """A whole number of at least `least`."""

    name = "integer"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text. Raises `BadParameter`."""
        try:
            number = int(value)
        except ValueError:
            number = self._least - 1
        if number < self._least:
            self.fail(
                f"must be a whole number of at least {self._least}, not {value!r}", param, ctx
            )
        return number


class Positive(Type):
    """A number greater than zero."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text. Raises `BadParameter`."""
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            self.fail(f"must be a number greater than zero, not {value!r}", param, ctx)
        return number


class Parsed(Type):
    """Whatever a function makes of the text; its `ValueError` is the sentence."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text. Raises `BadParameter`."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _duration(text: str) -> float:
    from taskq.options.durations import seconds

    try:
        return seconds("", _number(text))
    except ValueError:
        raise ValueError(
            f"must be seconds, or a length like 90s, 5m or 1h30m, not {text!r}"
        ) from None


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _moment(text: str) -> datetime | float:
    from taskq.options.durations import unix_time

    try:
        number = _number(text)
        moment = number if isinstance(number, float) else datetime.fromisoformat(number)
        unix_time("", moment)
        return moment
    except (ValueError, OverflowError):
        raise ValueError(
            f"must be a moment like 2030-01-31T18:00, or a Unix time, not {text!r}"
        ) from None


def _size(text: str) -> int:
    from taskq.sizes import size_in_bytes

    try:
        return size_in_bytes("", text)
    except ValueError:
        raise ValueError(f'must be bytes or a size like "512MiB", not {text!r}') from None


def _modules(text: str) -> tuple[str, ...]:
    from taskq.options.checks import module_names

    try:
        return module_names("", [part.strip() for part in text.split(",")])
    except ValueError:
        raise ValueError(f"must be a module like shop.tasks, not {text!r}") from None


def _priority(text: str) -> int:
    from taskq.options.task_options import Priority

    by_name = {each.name.lower(): each.value for each in Priority}
    names = {str(value): value for value in by_name.values()} | by_name
    if text.lower() not in names:
        levels = ", ".join(f"{name} ({value})" for name, value in by_name.items())
        raise ValueError(f"must be one of {levels}, not {text!r}")
    return names[text.lower()]


DURATION = Parsed("duration", _duration)
MOMENT = Parsed("moment", _moment)
SIZE = Parsed("size", _size)
MODULES = Parsed("modules", _modules)
PRIORITY = Parsed("priority", _priority)
COUNT = Whole(1)
LIMIT = Whole(0)
RATE = Positive()

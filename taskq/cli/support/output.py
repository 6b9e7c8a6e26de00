"""Prints data: aligned tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from time import localtime, strftime
from typing import Any

import click
from msgspec import Struct

from taskq import texts
from taskq.protocol.values import ErrorInfo
from taskq.sizes import size_text

Row = Sequence[object]

size = size_text


def plain(value: object) -> Any:
    """Data as JSON knows it: our structs become objects, their payloads sizes in bytes.

    What JSON has no word for becomes its `repr`, infinity and bytes among them.
    """
    if isinstance(value, Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {
            name: len(entry) if isinstance(entry, bytes) else plain(entry)
            for name, entry in fields.items()
        }
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    return repr(value)


def emit_json(value: object) -> None:
    """Print one JSON document."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    if not is_encodable(text):
        text = json.dumps(plain(value), indent=2)
    click.echo(text)


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can say it: half of a surrogate pair, as in odd file names, it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def width(text: str) -> int:
    """How many terminal columns a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def table(headers: Sequence[str], rows: Iterable[Row]) -> str:
    """An aligned table. Columns of numbers stand to the right; `None` is an empty cell.

    Args:
        headers: one a column.
        rows: cells; ints get thousands separators.
    """
    rows = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in rows]
    right = [
        all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headers))
    ]
    widths = [max(width(line[i]) for line in [list(headers), *cells]) for i in range(len(headers))]
    lines = []
    for line in [list(headers), *cells]:
        parts = []
        for text, columns, is_right in zip(line, widths, right, strict=True):
            gap = " " * (columns - width(text))
            parts.append(gap + text if is_right else text + gap)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def fields(pairs: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Aligned lines of names and values; those whose value is an empty text are left out."""
    shown = [(name, value) for name, value in pairs if value != ""]
    columns = max((width(name) for name, _ in shown), default=0) + 2
    for name, value in shown:
        yield f"{name:<{columns}}{value}"


def failed_attempts(errors: Iterable[ErrorInfo]) -> Iterator[str]:
    """The attempts of a message that have failed, each with its traceback, for people."""
    for error in errors:
        yield ""
        yield f"attempt {error.attempt} failed {when(error.at)} on {error.worker or 'the broker'}"
        yield (error.traceback or f"{error.kind}: {error.text}").rstrip("\n")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return short_line(str(value))


def short_line(text: str, limit: int = 100) -> str:
    """A text without line breaks and control characters, and cut if it is too long."""
    text = " ".join(texts.one_line(text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def duration(seconds: float) -> str:
    """A length of time in two units at most, e.g. `3 min 12 s`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length:
            count, rest = divmod(whole, length)
            return f"{count} {unit} {rest // part} {smaller}" if rest >= part else f"{count} {unit}"
    return f"{whole} s"


def ago(at: float | None, now: float) -> str:
    """How long ago a Unix time was."""
    return "" if not at else f"{duration(now - at)} ago"


def when(at: float | None) -> str:
    """A Unix time as local date and time."""
    return "" if not at else strftime("%Y-%m-%d %H:%M:%S", localtime(at))


def plural(count: int, word: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"

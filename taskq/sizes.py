"""Parses counts and sizes such as `"512MiB"`."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_FORM = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)


def size_in_bytes(name: str, value: object) -> int:
    """Parse a number of bytes.

    Args:
        name: name of the option, for error messages.
        value: bytes, or a text like `"512MiB"` or `"2G"`; K, M, G and T are powers of 1024.

    Raises:
        TypeError: neither a number nor text.
        ValueError: negative or not readable.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f'{name} must be bytes or a text like "512MiB", not {value!r}')
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{name} must be zero or greater, not {value}")
        return value
    found = _FORM.fullmatch(value.strip())
    if found is None:
        raise ValueError(f'{name} must be bytes or a text like "512MiB", not {value!r}')
    return int(float(found[1]) * _UNITS[found[2].upper()])


def whole_number(name: str, value: object) -> int:
    """Parse a count.

    Raises:
        TypeError: neither a number nor text.
        ValueError: negative or not readable.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not str(value).strip().isdecimal():
        raise ValueError(f"{name} must be a whole number, zero or greater, not {value!r}")
    return int(value)


def size_text(count: float) -> str:
    """A number of bytes for people, e.g. `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"

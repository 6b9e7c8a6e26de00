"""What a static reader found, as text for people: bounded in length and depth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskq.codec.static_reader import Box, Cut, Named

MAX_DEPTH = 12
MAX_TEXT = 200  # characters of one text, bytes of one value
MAX_BITS = 2000  # of an int that is written out

_BRACKETS = {"tuple": ("(", ")"), "list": ("[", "]"), "dict": ("{", "}"), "set": ("{", "}")}


class _Full(Exception):
    """There is no room left."""


def text_of(values: Iterable[object], named: Iterable[tuple[object, object]], limit: int) -> str:
    """Arguments as a call shows them, e.g. `1, 'a', to=[2]`; ends with `…` if that is too long."""
    writer = _Writer(limit)
    try:
        writer.arguments(values, named)
    except _Full:
        writer.parts.append("…")
    return "".join(writer.parts)


class _Writer:
    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self._left = limit
        self._depth = 0

    def put(self, text: str) -> None:
        """Add text, or as much as there is room for."""
        self.parts.append(text[: self._left])
        self._left -= len(text)
        if self._left <= 0:
            raise _Full

    def arguments(self, values: Iterable[object], named: Iterable[tuple[object, object]]) -> None:
        """The inside of the parentheses of a call."""
        first = True
        for value in values:
            self.put("" if first else ", ")
            self.value(value)
            first = False
        for name, value in named:
            self.put("" if first else ", ")
            self.put(f"{_name(name)}=")
            self.value(value)
            first = False

    def value(self, value: object) -> None:
        """Anything that a static reader, or JSON, gives."""
        if isinstance(value, str | bytes | bytearray):
            shown = repr(value[:MAX_TEXT])
            self.put(shown if len(value) <= MAX_TEXT else f"{shown}…")
        elif isinstance(value, Cut):
            self.put(f"{value.head[:MAX_TEXT]!r}…")
        elif isinstance(value, int) and value.bit_length() > MAX_BITS:
            self.put(f"<int of {value.bit_length()} bits>")
        elif isinstance(value, Named):
            self.put(_dotted(value))
        elif self._depth >= MAX_DEPTH:
            self.put("…")
        else:
            self._depth += 1
            self._nested(value)
            self._depth -= 1

    def _nested(self, value: object) -> None:
        if isinstance(value, list):
            self._container("list", value)
        elif isinstance(value, dict):
            self._container("dict", list(value.items()))
        elif isinstance(value, Box) and value.kind == "call":
            self._object(value)
        elif isinstance(value, Box):
            self._container(value.kind, value.items)
        elif value is None or isinstance(value, bool | int | float):
            self.put(repr(value))
        else:
            self.put("?")

    def _container(self, kind: str, items: list[Any]) -> None:
        opening, closing = _BRACKETS.get(kind, (f"{kind}({{", "})"))
        if kind == "set" and not items:
            opening, closing = "set(", ")"
        self.put(opening)
        for number, item in enumerate(items):
            self.put(", " if number else "")
            if kind == "dict" and isinstance(item, tuple):
                self.value(item[0])
                self.put(": ")
                self.value(item[1])
            else:
                self.value(item)
        self.put("," + closing if kind == "tuple" and len(items) == 1 else closing)

    def _object(self, box: Box) -> None:
        known = _KNOWN.get(box.called) if isinstance(box.called, Named) else None
        if isinstance(box.called, Named) and box.called.module.startswith("cloudpickle"):
            self.put("<code>")
        elif known is not None and (text := known(box.items)):
            self.put(text)
        else:
            self._call(box)

    def _call(self, box: Box) -> None:
        called, values = box.called, box.items
        if called in _MADE_OF_CLASS and values:
            called, values = values[0], []  # how protocols 0 and 1 make an object
        self.value(called)
        self.put("(")
        # exactly a tuple: a pair of a dict, or a keyword and its value
        given = [*values, *box.added]
        fields = [item for item in given if type(item) is tuple]
        state = box.state
        if isinstance(state, Box) and state.kind == "tuple" and len(state.items) == 2:
            state = state.items[1]  # attributes in slots
        if isinstance(state, Box) and state.kind == "dict":
            fields += state.items
        elif state is not None:
            fields.append(("state", state))
        self.arguments((item for item in given if type(item) is not tuple), fields)
        self.put(")")


def _name(name: object) -> str:
    return name if isinstance(name, str) and name.isidentifier() else repr(name)[:MAX_TEXT]


def _dotted(named: Named) -> str:
    text = (
        f"{named.module}.{named.name}".removeprefix("builtins.")
        .removeprefix("__builtin__.")
        .strip(".")
    )
    return text if text.replace(".", "").isidentifier() else repr(text)[:MAX_TEXT]


def _datetime(items: list[Any]) -> str | None:
    data = items[0] if len(items) == 1 else None
    if not isinstance(data, bytes) or len(data) != 10:
        return None  # with a time zone
    fields = [data[0] * 256 + data[1], *data[2:7]]
    micros = int.from_bytes(data[7:])
    return f"datetime.datetime({', '.join(map(str, [*fields, *([micros] if micros else [])]))})"


def _date(items: list[Any]) -> str | None:
    data = items[0] if len(items) == 1 else None
    if not isinstance(data, bytes) or len(data) != 4:
        return None
    return f"datetime.date({data[0] * 256 + data[1]}, {data[2]}, {data[3]})"


def _of_program(items: list[Any]) -> str | None:
    return _dotted(Named(str(items[0]), str(items[1]))) if len(items) == 2 else None


_MADE_OF_CLASS = (Named("copyreg", "_reconstructor"), Named("copy_reg", "_reconstructor"))
_KNOWN = {
    Named("datetime", "datetime"): _datetime,
    Named("datetime", "date"): _date,
    Named("taskq.codec.main_pickler", "_get"): _of_program,
}

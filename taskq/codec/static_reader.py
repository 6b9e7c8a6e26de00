"""Reads a pickle as data: no class is imported and nothing is called, whatever the bytes say.

A machine like the unpickler's runs over the opcodes, and if that would import or call something
it notes what it was asked for. `static_text` shows the outcome to people.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

MAX_BYTES = 2**18  # of a pickle that are looked at
MAX_STEPS = 50_000  # opcodes

# opcodes that begin with the length of a text or of bytes, and how many bytes that takes
_TEXTS = {0x8C: 1, 0x58: 4, 0x8D: 8}
_BYTES = {0x43: 1, 0x42: 4, 0x8E: 8, 0x96: 8}


class Named(NamedTuple):
    """Something that would be imported."""

    module: str
    name: str


class Cut(NamedTuple):
    """The beginning of a text or of bytes whose end is not there."""

    head: str | bytes


class Box:
    """A container, or an object that would be made by a call.

    Attributes:
        kind: `tuple`, `list`, `dict`, `set`, `frozenset` or `call`.
        called: of a call, what would be called.
        items: of a container its elements, of a call its arguments; those of a dict are pairs.
        added: elements and pairs that an object would be given once it is made.
        state: what an object's attributes would be set from.
    """

    __slots__ = ("added", "called", "items", "kind", "state")

    def __init__(self, kind: str, items: list[Any], called: object = None) -> None:
        self.kind = kind
        self.items = items
        self.called = called
        self.added: list[Any] = []
        self.state: object = None


class Outcome(NamedTuple):
    """What a pickle holds: one value; or, if it is cut, the values that were read so far."""

    values: list[object]
    is_whole: bool


def read(data: bytes) -> Outcome:
    """What a pickle holds. Never raises; takes a bounded time and amount of memory."""
    machine = _Machine()
    file = BytesIO(data[:MAX_BYTES])
    place = 0
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if opcode.name == "STOP":
                return Outcome([machine.stack.pop()], True)
            if steps >= MAX_STEPS:
                break
            machine.step(opcode.name, argument)
            place = file.tell()
    except Exception:  # cut off, or no pickle
        cut = _cut(data[place:MAX_BYTES])
        if cut is not None:
            machine.stack.append(cut)
    return Outcome(machine.unfinished(), False)


def _cut(rest: bytes) -> Cut | None:
    """The text or the bytes with which the data ends, as far as they are there."""
    if rest and rest[0] in _TEXTS:
        return Cut(rest[1 + _TEXTS[rest[0]] :][:1000].decode("utf-8", "ignore"))
    if rest and rest[0] in _BYTES:
        return Cut(rest[1 + _BYTES[rest[0]] :][:1000])
    return None


class _Machine:
    """The stack machine of `pickle`, with notes in place of objects."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the marks
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Do what one opcode says. Raises anything if it makes no sense."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(Box(_EMPTY[name], []))
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            self.stack.append(argument)  # every other opcode pushes the value that it holds

    def unfinished(self) -> list[object]:
        """What lies on the stack, with what stands above a mark in the container below it."""
        while self._below:
            items, self.stack = self.stack, self._below.pop()
            top = self.stack[-1] if self.stack else None
            if isinstance(top, Box) and not top.items:
                top.items = _pairs(items) if top.kind == "dict" else items
            else:
                self.stack.extend(items)
        return self.stack

    def marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        items, self.stack = self.stack, self._below.pop()
        return items

    # --- what opcodes do ----------------------------------------------------------------------

    def mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def memoize(self, place: Any) -> None:
        self._memo[len(self._memo) if place is None else place] = self.stack[-1]

    def recall(self, place: Any) -> None:
        self.stack.append(self._memo[place])

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def tuple_of(self, count: int) -> None:
        items = self.stack[-count:]
        del self.stack[-count:]
        self.stack.append(Box("tuple", items))

    def collect(self, kind: str) -> None:
        items = self.marked()
        self.stack.append(Box(kind, _pairs(items) if kind == "dict" else items))

    def extend(self, items: list[Any]) -> None:
        box = self.stack[-1]
        (box.added if box.kind == "call" else box.items).extend(items)

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        self.extend([item])

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.extend([(key, value)])

    def global_of(self, text: Any) -> None:
        module, _, name = text.partition(" ")
        self.stack.append(Named(module, name))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Named(str(module)[:500], str(name)[:500]))

    def call(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        items = arguments.items if isinstance(arguments, Box) else [arguments]
        self.stack.append(Box("call", list(items[:1000]), called))

    def call_with_names(self, _: Any) -> None:
        names = self.stack.pop()
        self.call(None)
        self.stack[-1].items += names.items if isinstance(names, Box) else [names]

    def make(self, text: Any) -> None:
        items = self.marked()
        module, _, name = str(text or "").partition(" ")
        called = Named(module, name) if text else items.pop(0)
        self.stack.append(Box("call", items, called))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Box):
            self.stack[-1].state = state

    def pop_mark(self, _: Any) -> None:
        self.marked()

    def replace(self, text: str) -> None:
        self.stack.pop()
        self.note(text)

    def note(self, text: str) -> None:
        self.stack.append(Box("call", [], Named("", text)))


def _pairs(items: list[Any]) -> list[Any]:
    return list(zip(items[::2], items[1::2], strict=False))


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_TUPLE": "tuple", "EMPTY_LIST": "list", "EMPTY_DICT": "dict", "EMPTY_SET": "set"}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "MEMOIZE": lambda machine, _: machine.memoize(None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "TUPLE": lambda machine, _: machine.collect("tuple"),
    "LIST": lambda machine, _: machine.collect("list"),
    "DICT": lambda machine, _: machine.collect("dict"),
    "FROZENSET": lambda machine, _: machine.collect("frozenset"),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.marked()),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.extend(_pairs(machine.marked())),
    "GLOBAL": _Machine.global_of,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "INST": _Machine.make,
    "OBJ": lambda machine, _: machine.make(None),
    "BUILD": _Machine.build,
    **dict.fromkeys(
        ("EXT1", "EXT2", "EXT4"), lambda machine, code: machine.note(f"extension {code}")
    ),
    "PERSID": lambda machine, _: machine.note("persistent object"),
    "BINPERSID": lambda machine, _: machine.replace("persistent object"),
    "NEXT_BUFFER": lambda machine, _: machine.note("buffer"),
    "READONLY_BUFFER": lambda machine, _: None,
}

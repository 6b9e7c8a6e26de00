"""What a function that travels by value refers to, and which data goes with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from inspect import unwrap
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from taskq import names
from taskq.program import MAIN

_UNSET = object()
_CODE = (FunctionType, BuiltinFunctionType, ModuleType, type, property, classmethod, staticmethod)
_SMALL = 2**64  # a number below it is no secret


def references(fn: Callable[..., Any]) -> list[object]:
    """What a function refers to: itself, its globals and closure, and in turn those of the functions
    and classes among them that travel with it, which are those of the same module.
    """
    found: list[object] = [fn]
    space = getattr(unwrap(fn), "__globals__", {})
    visited = set()
    for value in found:  # grows meanwhile
        if id(value) in visited:
            continue
        visited.add(id(value))
        if isinstance(value, FunctionType):
            if value is fn or value.__globals__ is space:
                found += [value.__globals__.get(name, _UNSET) for name in _names_in(value)]
            found += map(_content, value.__closure__ or ())
        elif isinstance(value, type):
            if value.__module__ == space.get("__name__"):
                found += [
                    entry for entry in vars(value).values() if isinstance(entry, FunctionType)
                ]
        elif "__wrapped__" in getattr(value, "__dict__", ()):  # a task, or another decorator's
            found.append(value.__dict__["__wrapped__"])
    return found


def carried_data(fn: Callable[..., Any]) -> dict[str, object]:
    """The data that a pickle by value of a function holds, by name.

    Globals, variables of enclosing functions, defaults and attributes of classes; not modules, code,
    small numbers, and what is taskq's own.
    """
    data: dict[str, object] = {}
    left: list[object] = [fn]
    visited = set()
    while left:
        value = left.pop()
        value = getattr(value, "__dict__", {}).get("__wrapped__", value)  # a task's function
        if id(value) in visited or not _travels(value):
            continue
        visited.add(id(value))
        for name, used in _used_by(value):
            if isinstance(used, _CODE) or "__wrapped__" in getattr(used, "__dict__", ()):
                left.append(used)
            elif _tells_something(used):
                data[name] = used
    return data


def _used_by(code: object) -> Iterator[tuple[str, object]]:
    """What a function or class takes along, by name."""
    if isinstance(code, FunctionType):
        space = code.__globals__
        yield from [(name, space[name]) for name in _globals_in(code.__code__) if name in space]
        cells = zip(code.__code__.co_freevars, code.__closure__ or (), strict=False)
        yield from [(name, _content(cell)) for name, cell in cells]
        positional = code.__code__.co_varnames[: code.__code__.co_argcount]
        defaults = code.__defaults__ or ()
        yield from zip(positional[len(positional) - len(defaults) :], defaults, strict=False)
        yield from (code.__kwdefaults__ or {}).items()
    elif isinstance(code, type):
        for name, value in vars(code).items():
            if not name.startswith("__"):
                yield f"{code.__qualname__}.{name}", getattr(value, "__func__", value)


def _travels(value: object) -> bool:
    """Whether a function or class is pickled by value, since no other process can import it."""
    if not isinstance(value, FunctionType | type):
        return False
    return value.__module__ in MAIN or names.find(value.__module__, value.__qualname__) is not value


def _tells_something(value: object) -> bool:
    if value is None or value is _UNSET or isinstance(value, bool | float):
        return False
    if isinstance(value, int) and abs(value) < _SMALL:
        return False
    return not type(value).__module__.startswith("taskq.")


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _UNSET


def _globals_in(code: CodeType) -> set[str]:
    """The names of the globals that some code really uses."""
    import dis

    return {
        str(each.argval)
        for part in _codes(code)
        for each in dis.get_instructions(part)
        if each.opname == "LOAD_GLOBAL"
    }


def _names_in(fn: FunctionType) -> list[str]:
    """All names in the code of a function: quick, and more than its globals."""
    code = fn.__code__
    known = _names.get(code)
    if known is None:
        known = sorted({name for each in _codes(code) for name in each.co_names})
        _names[code] = known
    return known


_names: WeakKeyDictionary[CodeType, list[str]] = WeakKeyDictionary()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def user_level() -> int:
    """The `stacklevel` with which a warning of the caller names the code that uses taskq."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("taskq."):
        frame = frame.f_back
        level += 1
    return level

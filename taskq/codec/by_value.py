"""Pickles by value: what lives in `__main__` or cannot be imported travels with its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import unwrap
from operator import is_
from types import CellType, CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from taskq import names
from taskq.errors import SerializationError


def dump_by_value(value: Any) -> bytes:
    """A pickle that carries the code of what the receiver could not import.

    What belongs to a program that was started by `python -m NAME` can be imported from NAME.
    """
    import cloudpickle

    main = names.importable_name("__main__")
    if main is None:
        data: bytes = cloudpickle.dumps(value, 5)
        return data
    from taskq.codec.main_pickler import dumps

    return dumps(value, main)


class ByValue:
    """The bytes of one function.

    A notebook rebinds globals between two calls, so these are compared, also those of the functions
    and classes of its module that it uses; what is changed in place inside of a global object is
    not noticed.

    Args:
        task: name, for errors.
        fn: the function.
        options: what the worker needs to know of its task; it arrives as `fn.__taskq_options__`.
    """

    def __init__(self, task: str, fn: Callable[..., Any], options: object) -> None:
        self._task = task
        self._fn = fn
        self._options = options
        self._made: tuple[list[object], bytes] = ([], b"")  # one for the other, so in one piece

    def data(self) -> bytes:
        """The bytes.

        Raises:
            SerializationError: the function refers to something that cannot be pickled.
        """
        now = references(self._fn)
        seen, data = self._made
        if len(now) != len(seen) or not all(map(is_, now, seen)):
            data = self._dump()
            self._made = now, data
        return data

    def _dump(self) -> bytes:
        try:
            return dump_by_value((self._fn, self._options))
        except Exception as error:
            raise SerializationError(
                f"the function of task {self._task} cannot be sent by value: "
                f"{type(error).__name__}: {error}; put it into a module that the workers can import"
            ) from error


_UNSET = object()


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
                found += [value.__globals__.get(name, _UNSET) for name in _global_names(value)]
            found += map(_content, value.__closure__ or ())
        elif isinstance(value, type):
            if value.__module__ == space.get("__name__"):
                found += [
                    entry for entry in vars(value).values() if isinstance(entry, FunctionType)
                ]
        elif "__wrapped__" in getattr(value, "__dict__", ()):  # a task, or another decorator's
            found.append(value.__dict__["__wrapped__"])
    return found


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _UNSET


def _global_names(fn: FunctionType) -> list[str]:
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

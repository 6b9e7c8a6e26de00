"""Pickles by value: what lives in `__main__` or cannot be imported travels with its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

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

    A notebook rebinds globals between two calls, so these are compared; what is changed in place
    inside of a global object is not noticed.

    Args:
        task: name, for errors.
        fn: the function.
        options: what the worker needs to know of its task; it arrives as `fn.__taskq_options__`.
    """

    def __init__(self, task: str, fn: Callable[..., Any], options: object) -> None:
        self._task = task
        self._fn = fn
        self._options = options
        self._names = tuple(_global_names(fn))
        self._seen: list[object] = []
        self._data = b""

    def data(self) -> bytes:
        """The bytes.

        Raises:
            SerializationError: the function refers to something that cannot be pickled.
        """
        seen = self._references()
        if not self._data or not all(map(_same, seen, self._seen)):
            self._data = self._dump()
            self._seen = seen
        return self._data

    def _dump(self) -> bytes:
        try:
            return dump_by_value((self._fn, self._options))
        except Exception as error:
            raise SerializationError(
                f"the function of task {self._task} cannot be sent by value: "
                f"{type(error).__name__}: {error}; put it into a module that the workers can import"
            ) from error

    def _references(self) -> list[object]:
        fn = self._fn
        if not isinstance(fn, FunctionType):
            return []
        values = [fn.__globals__.get(name, _UNSET) for name in self._names]
        for cell in fn.__closure__ or ():
            try:
                values.append(cell.cell_contents)
            except ValueError:
                values.append(_UNSET)
        return values


_UNSET = object()


def _same(one: object, other: object) -> bool:
    return one is other


def _global_names(fn: object) -> list[str]:
    if not isinstance(fn, FunctionType):
        return []
    return sorted({name for code in _codes(fn.__code__) for name in code.co_names})


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)

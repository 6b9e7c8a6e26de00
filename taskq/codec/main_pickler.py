"""A cloudpickle that takes no open files, and knows the name under which workers import the program."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from collections import ChainMap
from types import FunctionType
from typing import Any

import cloudpickle

from taskq import names, program

_STREAMS = ("stdout", "stderr")  # of the receiver: cloudpickle sends their names


def dumps(value: Any, main: str | None) -> bytes:
    """Pickle by value.

    Args:
        main: the module from which the receiver takes what an import of the program defines.
    """
    with io.BytesIO() as file:
        pickler = _Pickler(file, protocol=5) if main is None else _MainPickler(file, main)
        pickler.dump(value)
        return file.getvalue()


def _reduce_file(file: io.TextIOWrapper | io.BufferedIOBase | io.RawIOBase) -> tuple[Any, ...]:
    for name in _STREAMS:
        if file is getattr(sys, name):
            return getattr, (sys, name)
    # cloudpickle itself would send a text file as an `io.StringIO` of all that it holds
    raise pickle.PicklingError(
        f"an open file stays in its process ({getattr(file, 'name', '?')!r}); pass its path instead "
        "and open it in the task"
    )


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    dispatch_table = ChainMap(
        dict.fromkeys(
            (
                io.TextIOWrapper,
                io.BufferedReader,
                io.BufferedWriter,
                io.BufferedRandom,
                io.FileIO,
            ),
            _reduce_file,
        ),
        cloudpickle.Pickler.dispatch_table,
    )


class _MainPickler(_Pickler):
    def __init__(self, file: io.BytesIO, main: str) -> None:
        super().__init__(file, protocol=5)
        self._main = main

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and _is_in_main(obj):
            return _get, (self._main, obj.__qualname__)
        return super().reducer_override(obj)


def _is_in_main(obj: type | FunctionType) -> bool:
    module, qualname = obj.__module__, obj.__qualname__
    if module not in program.MAIN or names.find(module, qualname) is not obj:
        return False
    if isinstance(obj, FunctionType):
        return program.module_of(obj) is not None
    return program.defines(qualname)


def _get(module: str, qualname: str) -> object:
    importlib.import_module(module)
    found = names.find(module, qualname)
    if found is None:
        raise AttributeError(f"the module {module} has no {qualname}")
    return found

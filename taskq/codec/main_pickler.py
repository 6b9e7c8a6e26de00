"""A cloudpickle that refers to the program by the name under which workers import it."""

from __future__ import annotations

import importlib
import io
from types import FunctionType
from typing import Any

import cloudpickle

from taskq import names, program


def dumps(value: Any, main: str) -> bytes:
    """Pickle; what an import of the program defines is taken from the module `main` by the receiver."""
    with io.BytesIO() as file:
        _Pickler(file, main).dump(value)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
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

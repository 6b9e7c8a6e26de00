"""Pickles by value: code of `__main__`, or that cannot be imported, goes along with the call."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from operator import is_
from typing import Any

from taskq import program
from taskq.codec.main_references import refers_to_main
from taskq.codec.references import carried_data, references, user_level
from taskq.errors import SerializationError
from taskq.sizes import size_text

MAX_CODE = 2**20  # bytes of a function by value; each of its calls carries them
NAMED = 8  # variables in a warning


class CarriedDataWarning(UserWarning):
    """The calls of a task carry data along with its code."""


def dump_by_value(value: Any, *, main: str | None = None) -> bytes:
    """A pickle that carries the code of what the receiver could not import.

    Args:
        main: the name under which the receiver has the program, where it has it; then what is
            defined there travels by that name.
    """
    import cloudpickle

    from taskq.codec.main_pickler import dumps

    spawned = program.spawned_main()
    if spawned is not None:  # cloudpickle knows only `__main__` for a module that others lack
        cloudpickle.register_pickle_by_value(spawned)
    return dumps(value, main)


def dump(value: Any) -> tuple[bool, bytes]:
    """A pickle of a result or an exception, and whether it holds code."""
    try:
        data = pickle.dumps(value, 5)
    except Exception:
        pass
    else:
        if b"_main__" not in data or not refers_to_main(data):
            return False, data
    # worker threads share the process of the program, and know it by its name; other workers do not
    data = dump_by_value(value, main=program.alias())
    return has_code(data), data


def has_code(data: bytes) -> bool:
    """Whether a pickle of `dump_by_value` holds code, so that only this minor version loads it."""
    return b"cloudpickle" in data


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
        """The bytes. Warns with `CarriedDataWarning`, once, where data travels along.

        Raises:
            SerializationError: the function refers to something that cannot be pickled, or it takes
                more than 1 MiB with what it refers to.
        """
        now = references(self._fn)
        seen, data = self._made
        if len(now) != len(seen) or not all(map(is_, now, seen)):
            data = self._dump()
            self._made = now, data
        return data

    def _dump(self) -> bytes:
        try:
            data = dump_by_value((self._fn, self._options))
        except Exception as error:
            raise SerializationError(
                f"the function of task {self._task} cannot be sent by value: "
                f"{type(error).__name__}: {error}; put it into a module that the workers can import"
            ) from error
        sizes = _sizes(carried_data(self._fn))
        if len(data) > MAX_CODE:
            raise SerializationError(
                f"the function of task {self._task} takes {size_text(len(data))} with the data that "
                f"it uses{_listed(sizes)}, and a call carries at most {size_text(MAX_CODE)} of code; "
                "pass data as arguments, or put the task into a module that the workers can import"
            )
        if sizes:
            _warn(self._task, sizes)
        return data


def _sizes(data: dict[str, object]) -> dict[str, int]:
    """Bytes of each value, the largest first."""
    sizes: dict[str, int] = {}
    for name, value in data.items():
        with suppress(Exception):  # what cannot be pickled alone, such as a class's descriptor
            sizes[name] = len(dump_by_value(value))
    return dict(sorted(sizes.items(), key=lambda entry: -entry[1]))


def _listed(sizes: dict[str, int]) -> str:
    named = [f"{name} ({size_text(size)})" for name, size in list(sizes.items())[:NAMED]]
    more = f" and {len(sizes) - NAMED} more" if len(sizes) > NAMED else ""
    return f": {', '.join(named)}{more}" if named else ""


def _warn(task: str, sizes: dict[str, int]) -> None:
    """Warn of the data that travels, once for a task and these names."""
    import warnings

    mark = object()
    if _warned.setdefault((task, frozenset(sizes)), mark) is mark:
        warnings.warn(
            f"no worker can import the function of {task}, so each call carries it, and with it the "
            f"data that it uses{_listed(sizes)}; that lies in the journal as it is. Keep secrets out, "
            "pass data as arguments, or put the task into a module that the workers can import",
            CarriedDataWarning,
            stacklevel=user_level(),
        )


_warned: dict[tuple[str, frozenset[str]], object] = {}

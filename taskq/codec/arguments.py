"""Arguments that pickle cannot take: by cloudpickle, or an error that names the one at fault."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from taskq.codec.by_value import dump_by_value
from taskq.errors import SerializationError


def dump_arguments(
    task: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    signed_like: Callable[..., Any] | None,
    first: Exception,
    main: str | None = None,
) -> bytes:
    """The pickle of (args, kwargs).

    Args:
        signed_like: the function whose parameters name an argument.
        first: why plain pickle did not take them.
        main: see `dump_by_value`.

    Raises:
        SerializationError: cloudpickle does not take them either.
    """
    try:
        return dump_by_value((args, kwargs), main=main)
    except Exception as error:
        named = name_arguments(args, kwargs, signed_like)
        for name, value in named.items():
            try:
                dump_by_value(value)
            except Exception as cause:
                raise SerializationError(
                    f"the argument {name!r} of {task}, a {type(value).__qualname__}, cannot be "
                    f"pickled: {brief(cause)}; nothing was enqueued"
                ) from first
        raise SerializationError(
            f"the arguments of {task} cannot be pickled together: {brief(error)}; "
            "nothing was enqueued"
        ) from first


def name_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], function: Callable[..., Any] | None
) -> dict[str, Any]:
    """The arguments by the names of their parameters."""
    try:
        assert function is not None
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (AssertionError, TypeError, ValueError):
        return {str(place): value for place, value in enumerate(args, 1)} | dict(kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            named |= {f"{name}[{place}]": entry for place, entry in enumerate(value)}
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        else:
            named[name] = value
    return named


def fits(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function can be called with these arguments, as far as its signature shows."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except ValueError:
        return True  # a builtin without one
    except TypeError:
        return False
    return True


def brief(error: BaseException) -> str:
    """An exception in one line, whatever its `__str__` does."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "its text cannot be made"
    name = type(error).__name__
    return f"{name}: {text[:500]}" if text else name

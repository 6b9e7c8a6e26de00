"""The JSON half of the codec: for those who want no pickle at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from taskq.codec.arguments import name_arguments
from taskq.errors import SerializationError


def dump_call(
    task: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    signed_like: Callable[..., Any] | None,
) -> bytes:
    """The body of a call.

    Raises:
        SerializationError: an argument does not survive JSON; it is named.
    """
    value = [list(args), dict(kwargs)]
    body = _dump(value)
    if body is not None:
        return body
    for name, argument in name_arguments(args, kwargs, signed_like).items():
        if _dump(argument) is None:
            raise SerializationError(
                f"the argument {name!r} of {task}, a {type(argument).__qualname__}, does not survive "
                "JSON; pass numbers, texts, lists and dicts with text keys"
            )
    raise SerializationError(f"the arguments of {task} do not survive JSON; nothing was enqueued")


def dump_result(value: Any) -> bytes:
    """The body of a result.

    Raises:
        SerializationError: it does not survive JSON.
    """
    body = _dump(value)
    if body is None:
        raise SerializationError(
            f"the result, a {type(value).__qualname__}, does not survive JSON; return numbers, "
            "texts, lists and dicts with text keys"
        )
    return body


def load(body: bytes) -> Any:
    """The value of a body."""
    return json.loads(body)


def _dump(value: Any) -> bytes | None:
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        return text.encode() if json.loads(text) == value else None
    except Exception:
        return None

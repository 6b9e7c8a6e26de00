"""The arguments of a call as text, without unpickling: for commands, logs and dead letters."""

from __future__ import annotations

import json
from typing import NamedTuple

from taskq.codec.header import FORMAT, HEAD, carries_code, serializer_of
from taskq.codec.static_reader import Box, read
from taskq.codec.static_text import text_of

LIMIT = 500  # characters

_MAX_JSON = 2**16  # bytes that are parsed


class CallText(NamedTuple):
    """What a payload shows of its call.

    Attributes:
        arguments: as in source text, e.g. `1, 'a', to=[2]`. Names of classes and functions come from
            the payload; escape them where a terminal or a page could take them for its own.
        carries_code: the call brings its function along.
        serializer: `"pickle"` or `"json"`.
    """

    arguments: str
    carries_code: bool
    serializer: str


def describe_call(payload: bytes, limit: int = LIMIT) -> CallText:
    """Describe a call. Imports and calls nothing, never raises, takes a bounded time.

    The signature is not checked: the text says what the payload claims.

    Args:
        payload: as it is in the journal, or the first part of it.
        limit: characters of the arguments; more end in `…`.
    """
    serializer = serializer_of(payload)
    if payload[:1] != bytes([FORMAT]):
        return CallText("… in another format", False, serializer)
    body = payload[HEAD:]
    if serializer == "json":
        return CallText(_of_json(body, limit), False, serializer)
    code = carries_code(payload)
    if code:
        body = body[4 + int.from_bytes(body[:4]) :]
    return CallText(_of_pickle(body, limit), code, serializer)


def _of_pickle(body: bytes, limit: int) -> str:
    values, is_whole = read(body)
    if not is_whole:
        return text_of(values, (), limit) + ("" if not values else " …") or "…"
    match values:
        case [Box(kind="tuple", items=[Box(kind="tuple") as args, Box(kind="dict") as kwargs])]:
            return text_of(args.items, kwargs.items, limit)
    return text_of(values, (), limit)


def _of_json(body: bytes, limit: int) -> str:
    try:
        if len(body) <= _MAX_JSON:
            args, kwargs = json.loads(body)
            return text_of(args, kwargs.items(), limit)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # cut off, or no call
    return repr(body[:limit].decode("utf-8", "replace"))[1:-1] + "…"

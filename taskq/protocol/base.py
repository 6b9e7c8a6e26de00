"""The roots of the vocabulary: every request, and the reply that answers it, derives from these.

The structs of this package are the port between the engine and everybody else. The in-memory broker
hands them to the engine as they are; a broker process gets them as MessagePack (`docs/protocol.md`).
A request carries a request id, `rid`, which its reply echoes. Times are seconds: durations, unless a
name ends in `_at`, which is a Unix time. Payloads, results and errors' `pickled` are opaque bytes.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

# a deadline made of infinity or NaN would never come, and upset the order of the others
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
"""A finite number of seconds; 0 and less mean no time at all."""


class Reply(Struct, array_like=True, tag=True, kw_only=True):
    """The root of all replies."""

    rid: int = 0


R = TypeVar("R", bound=Reply)


class Request(Struct, Generic[R], array_like=True, tag=True, kw_only=True):
    """The root of all requests; `R` is the reply that answers it."""

    rid: int = 0


class Failed(Reply):
    """The request was refused and changed nothing. `error` names a class of `taskq.errors`."""

    error: str
    text: str


class Done(Reply):
    """The request was carried out. `count`: how many messages it changed."""

    count: int = 0

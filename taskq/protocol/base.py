"""Base classes of requests and replies.

The structs of this package are the port of the engine. The in-memory broker passes them to the
engine; a broker process receives them as MessagePack (`docs/protocol.md`). A request has a request
id, `rid`, which its reply repeats.

`rid` is the first field of every struct, `wait` the second one of requests that can be parked. New
fields are appended, with a default: an older peer ignores them, and a newer peer uses the default if
they are missing (decision 0015). Every struct is declared with `kw_only=True`, because msgspec would
otherwise place its fields before `rid`.

Times are seconds: durations, unless a name ends in `_at`, which is a Unix time. Payloads, results and
errors' `pickled` are opaque bytes.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

# infinity or NaN would give a deadline that never comes and breaks the order of the others
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
"""A finite number of seconds; 0 or less means no time."""


class Reply(Struct, array_like=True, tag=True, kw_only=True):
    """Base class of replies. `rid` is the id of the request."""

    rid: int = 0


R = TypeVar("R", bound=Reply)


class Request(Struct, Generic[R], array_like=True, tag=True, kw_only=True):
    """Base class of requests; `R` is the type of the reply."""

    rid: int = 0


class Parkable(Request[R], kw_only=True):
    """A request whose reply can be delayed by up to `wait` seconds."""

    wait: Seconds = 0.0


def may_park(request: Request[R]) -> float:
    """The maximum delay of the reply in seconds."""
    return request.wait if isinstance(request, Parkable) else 0.0


class Failed(Reply, kw_only=True):
    """The request failed and changed nothing. `error` names a class of `taskq.errors`."""

    error: str
    text: str


class Done(Reply, kw_only=True):
    """The request succeeded. `count`: number of changed messages."""

    count: int = 0

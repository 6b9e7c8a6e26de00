"""The roots of the vocabulary: every request, and the reply that answers it, derives from these.

The structs of this package are the port between the engine and everybody else. The in-memory broker
hands them to the engine as they are; a broker process gets them as MessagePack (`docs/protocol.md`).
A request carries a request id, `rid`, which its reply echoes.

Growth: `rid` is the first field of every struct here, `wait` the second of those that may park. Later
fields are only ever appended, with a default, so the older side of a connection ignores what it does
not know and the newer side fills in what it is not sent (decision 0015). Every struct is declared with
`kw_only=True`: msgspec would put its fields before `rid` otherwise.

Times are seconds: durations, unless a name ends in `_at`, which is a Unix time. Payloads, results and
errors' `pickled` are opaque bytes.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

# a deadline made of infinity or NaN would never come, and upset the order of the others
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
"""A finite number of seconds; 0 and less mean no time at all."""


class Reply(Struct, array_like=True, tag=True, kw_only=True):
    """The root of all replies. `rid` is that of the request which is answered."""

    rid: int = 0


R = TypeVar("R", bound=Reply)


class Request(Struct, Generic[R], array_like=True, tag=True, kw_only=True):
    """The root of all requests; `R` is the reply that answers it."""

    rid: int = 0


class Parkable(Request[R], kw_only=True):
    """A request whose reply may come later: within `wait` seconds."""

    wait: Seconds = 0.0


def may_park(request: Request[R]) -> float:
    """Seconds for which the broker may keep the request before it replies."""
    return request.wait if isinstance(request, Parkable) else 0.0


class Failed(Reply, kw_only=True):
    """The request was refused and changed nothing. `error` names a class of `taskq.errors`."""

    error: str
    text: str


class Done(Reply, kw_only=True):
    """The request was carried out. `count`: how many messages it changed."""

    count: int = 0

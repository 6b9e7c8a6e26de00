"""Which call a result or an error belongs to: it is signed with it."""

from __future__ import annotations

from typing import NamedTuple


class CallRef(NamedTuple):
    """One call, by what its payload is signed with."""

    queue: str
    id: str
    task: str

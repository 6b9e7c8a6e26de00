"""Whether this thread imports an app for a worker.

A worker imports the module that, run as a program, also enqueues and waits. While it does, calls of
tasks are not enqueued, and whatever would block on a result ends the import at that line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

_importing: dict[int, int] = {}  # threads that import an app, and how many such imports deep


class ImportEnds(BaseException):
    """Ends the import of an app if it would block. Not for users to catch."""


def is_importing() -> bool:
    """Whether this thread imports an app, so that calls are not to be enqueued."""
    return bool(_importing) and get_ident() in _importing


def refuse_to_block() -> None:
    """End the import where something needs the broker for a handle.

    Raises:
        ImportEnds: this thread imports an app.
    """
    if is_importing():
        raise ImportEnds


@contextmanager
def app_import() -> Iterator[None]:
    """Mark the block as the import of an app by this thread."""
    thread = get_ident()
    _importing[thread] = _importing.get(thread, 0) + 1
    try:
        yield
    finally:
        _importing[thread] -= 1
        if not _importing[thread]:
            del _importing[thread]


def _forked() -> None:
    # the other threads stayed in the parent, and new ones may get their numbers
    here = get_ident()
    depth = _importing.get(here)
    _importing.clear()
    if depth:
        _importing[here] = depth


os.register_at_fork(after_in_child=_forked)

"""Runs `async def` tasks: one event loop a consumer, made when the first one comes."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from taskq.errors import TaskTimeout
from taskq.worker.runtime.limits import late

if TYPE_CHECKING:
    import asyncio


class CoroutineRunner:
    """An event loop that outlives the tasks that run in it."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None) -> object:
        """The result of the coroutine.

        Raises:
            TaskTimeout: it took longer than `timeout` seconds; it was cancelled at an `await`.
        """
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        if timeout is not None:
            coroutine = _within(coroutine, timeout)
        return self._runner.run(coroutine, context=copy_context())

    def close(self) -> None:
        """Close the loop."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None


async def _within(coroutine: Coroutine[Any, Any, Any], timeout: float) -> object:
    import asyncio

    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await coroutine
    except TimeoutError:
        # the task's own TimeoutError is not ours to rename
        if not limit.expired():
            raise
        raise TaskTimeout(late(timeout)) from None

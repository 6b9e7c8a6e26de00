"""Coroutines in a consumer's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from taskq.errors import TaskTimeout
from taskq.worker.runtime.coroutines import CoroutineRunner

colour: ContextVar[str] = ContextVar("colour")


@pytest.fixture
def runner() -> Iterator[CoroutineRunner]:
    runner = CoroutineRunner()
    yield runner
    runner.close()


async def loop_id() -> int:
    return id(asyncio.get_running_loop())


def test_one_loop_serves_all(runner: CoroutineRunner) -> None:
    assert runner.run(loop_id(), None) == runner.run(loop_id(), 5.0)


def test_the_coroutine_sees_the_context_of_its_task(runner: CoroutineRunner) -> None:
    async def look() -> str:
        return colour.get()

    for name in ("red", "blue"):
        token = colour.set(name)
        assert runner.run(look(), None) == name
        colour.reset(token)


def test_a_timeout_cancels_at_an_await(runner: CoroutineRunner) -> None:
    cleaned: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with pytest.raises(TaskTimeout, match=r"0\.01 s"):
        runner.run(wait(), 0.01)
    assert cleaned == [True]
    assert runner.run(loop_id(), None)  # the loop is fit for the next one


def test_a_timeout_error_of_the_task_keeps_its_type(runner: CoroutineRunner) -> None:
    async def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as raised:
        runner.run(fail(), 5.0)
    assert not isinstance(raised.value, TaskTimeout)

"""What a type checker sees; `mypy --strict` reads this file, and pytest runs it as a smoke test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from taskq import HandleSet, ResultHandle, Task, TaskQueue, as_completed, task

queue = TaskQueue("typing", broker="memory:", retries=1)


@queue.task
def add(a: int, b: int = 1) -> int:
    return a + b


@queue.task(retries=3, backoff=[1, "5s"], timeout="5m", retry_on=(OSError,))
def shout(text: str) -> str:
    return text.upper()


@queue.task
async def fetch(url: str) -> bytes:
    return url.encode()


@queue.task(priority=0)
async def post(url: str) -> bytes:
    return url.encode()


@task
def anywhere(x: float) -> float:
    return x


def test_types() -> None:
    assert_type(add(1, b=2), ResultHandle[int])
    assert_type(add.options(delay="5m", id="x")(1), ResultHandle[int])
    assert_type(shout("a"), ResultHandle[str])
    assert_type(fetch("u"), ResultHandle[bytes])
    assert_type(post("u"), ResultHandle[bytes])
    assert_type(shout.map(["a"]), HandleSet[str])
    assert_type(as_completed([add(1)]), Iterator[ResultHandle[int]])
    assert_type(add.call_local(1), int)
    assert_type(anywhere.fn(1.5), float)
    plain: Task[[float], float] = anywhere
    assert plain.name.endswith("anywhere")


def refused() -> None:
    """Never called: each line is an error, and an ignore that is not needed is one, too."""
    add("1")  # type: ignore[arg-type]
    add()  # type: ignore[call-arg]
    add(1, c=2)  # type: ignore[call-arg]
    shout(1)  # type: ignore[arg-type]
    fetch()  # type: ignore[call-arg]
    queue.task(retires=3)  # type: ignore[call-overload]
    add.options(retries="3")  # type: ignore[typeddict-item,arg-type,unused-ignore]


async def waits() -> None:
    assert_type(await add(1), int)
    assert_type(add(1)(), int)
    assert_type(add(1).result(timeout=5), int)
    assert_type(add.map([1]).results(), list[int])
    assert_type(add.map([1]).results(return_exceptions=True), list[int | BaseException])

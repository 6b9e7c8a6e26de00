"""The process that looks for a lost broker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskq.errors import AuthenticationFailed, BrokerUnavailable, TaskqError
from taskq.worker.pool.finder import BrokerFinder
from tests.kit.fakes import FakeBroker, FakeConnection
from tests.kit.processes import is_alive, send
from tests.kit.waiting import wait_until


class Slow(FakeBroker):
    """Takes as long to connect as a pipe is empty."""

    def __init__(self, *connections: FakeConnection | Exception) -> None:
        super().__init__(*connections)
        self.reader, self.writer = os.pipe()

    def connect(self, *args: Any, **options: Any) -> FakeConnection:
        os.read(self.reader, 1)
        return super().connect(*args, **options)

    def answer(self) -> None:
        os.write(self.writer, b"x")


Begin = Callable[..., tuple[BrokerFinder, Slow]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    made: list[tuple[BrokerFinder, Slow]] = []

    def make(*connections: FakeConnection | Exception) -> tuple[BrokerFinder, Slow]:
        broker = Slow(*connections)
        made.append((BrokerFinder(broker, lambda: None), broker))
        assert not made[-1][0].found()
        return made[-1]

    yield make
    for finder, broker in made:
        finder.close()
        os.close(broker.reader)
        os.close(broker.writer)


def test_a_slow_start_keeps_nobody_waiting(begin: Begin) -> None:
    finder, broker = begin(FakeConnection(lambda request: None))
    assert not finder.found()
    assert finder.fileno() is not None
    broker.answer()
    finder.wait(20)
    assert finder.found()
    assert finder.fileno() is None


@pytest.mark.parametrize("error", [BrokerUnavailable("gone: away"), AuthenticationFailed("key")])
def test_a_failure_is_raised_as_it_is(begin: Begin, error: TaskqError) -> None:
    finder, broker = begin(error)
    broker.answer()
    finder.wait(20)
    with pytest.raises(type(error), match=str(error)):
        finder.found()
    assert not finder.found()  # it looks again


def test_a_fault_of_the_search_is_named(begin: Begin) -> None:
    finder, broker = begin(OverflowError("a fault"))
    broker.answer()
    finder.wait(20)
    with pytest.raises(BrokerUnavailable, match="crashed: OverflowError\\('a fault'\\)"):
        finder.found()


def test_a_search_that_is_killed_is_one_that_failed(begin: Begin) -> None:
    finder, _ = begin()
    assert finder.pid is not None
    send(finder.pid, signal.SIGKILL)
    finder.wait(20)
    with pytest.raises(BrokerUnavailable, match="was killed"):
        finder.found()


def test_a_search_can_be_given_up(begin: Begin) -> None:
    finder, _ = begin()
    pid = finder.pid
    assert pid is not None
    finder.close()
    wait_until(lambda: not is_alive(pid))
    assert finder.fileno() is None

"""The thread behind `await handle`, against a connection that the test conducts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from taskq.client.waiter import Waiter
from taskq.client.waiting import UnconsumedWarning
from taskq.errors import BrokerTimeout, BrokerUnavailable
from taskq.protocol.base import Done, Request
from taskq.protocol.producing import Unwatch, Wait, Waited
from taskq.protocol.values import Finished
from tests.kit.fakes import FakeBroker, FakeConnection


class Conversation(FakeConnection):
    """Shows each request to the test, which answers it, and wakes who waits for it."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.requests: SimpleQueue[Request[Any]] = SimpleQueue()
        self.replies: SimpleQueue[Any] = SimpleQueue()
        self.overdue = False
        self._wake_r, self._wake_w = os.pipe()

    def send(self, request: Request[Any]) -> None:
        super().send(request)
        self.requests.put(request)

    def answer_parked(self, request: Request[Any], reply: Any) -> None:
        self.parked[id(request)] = reply
        os.write(self._wake_w, b"!")

    def arrived(self, request: Request[Any]) -> bool:
        if self.overdue:
            raise BrokerTimeout("did not answer")
        return super().arrived(request)

    def be_overdue(self) -> None:
        os.write(self._wake_w, b"!")  # before it is seen: the pipe is closed then
        self.overdue = True

    def fileno(self) -> int:
        return self._wake_r

    def close(self) -> None:
        super().close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _reply(self, request: Request[Any]) -> Any:
        self.requests.put(request)
        reply = self.replies.get()
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def conversation() -> Iterator[Conversation]:
    yield (it := Conversation())
    it.replies.put(BrokerUnavailable("the test is over"))
    if not it.closed:
        it.be_overdue()


Ends = SimpleQueue[Finished | BaseException]


def test_each_callback_is_called_once(conversation: Conversation) -> None:
    waiter, ends = Waiter(FakeBroker(conversation)), Ends()
    waiter.add("a", ends.put)
    waiter.add("a", ends.put)
    request = conversation.requests.get()
    assert isinstance(request, Wait)
    assert request.add == ["a"]
    conversation.answer_parked(request, Waited(finished=[Finished("a", "succeeded")], pending=0))
    assert [ends.get().id, ends.get().id] == ["a", "a"]  # type: ignore[union-attr]


def test_a_caller_never_waits_for_a_broker_that_does_not_answer(conversation: Conversation) -> None:
    waiter, ends = Waiter(FakeBroker(conversation)), Ends()
    waiter.add("a", ends.put)
    parked = conversation.requests.get()
    waiter.discard("a", ends.put)  # the await has timed out
    conversation.answer_parked(parked, Waited(finished=[], pending=1))
    assert isinstance(conversation.requests.get(), Unwatch)
    # the thread stands in the middle of that call, and stays there
    waiter.add("b", ends.put)
    waiter.discard("b", ends.put)
    waiter.add("c", ends.put)
    conversation.replies.put(Done())
    following = conversation.requests.get()
    assert isinstance(following, Wait)
    assert "c" in following.add
    assert ends.empty()


def test_a_broker_that_does_not_answer_in_time_is_reported_to_everybody(
    conversation: Conversation,
) -> None:
    waiter, ends = Waiter(FakeBroker(conversation)), Ends()
    waiter.add("a", ends.put)
    conversation.requests.get()
    waiter.add("b", ends.put)
    conversation.be_overdue()
    assert {type(ends.get()), type(ends.get())} == {BrokerTimeout}


def test_it_asks_at_the_time_that_the_connection_names(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "due", time.monotonic)  # now, and nothing comes in
    waiter, ends = Waiter(FakeBroker(conversation)), Ends()
    waiter.add("a", ends.put)
    conversation.requests.get()
    conversation.overdue = True
    assert isinstance(ends.get(), BrokerTimeout)


def test_a_warning_that_is_an_error_reaches_who_waits(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.client.waiter.FIRST_SLICE", 0.0)
    waiter, ends = Waiter(FakeBroker(conversation)), Ends()
    waiter.add("a", ends.put)
    request = conversation.requests.get()
    reply = Waited(finished=[], pending=1, unconsumed=["nobody-works-this"])
    conversation.answer_parked(request, reply)
    assert isinstance(ends.get(), UnconsumedWarning)


def test_after_a_failure_the_next_one_starts_anew() -> None:
    broken, sound, ends = Conversation(), Conversation(), Ends()
    waiter = Waiter(FakeBroker(broken, sound))
    waiter.add("a", ends.put)
    broken.requests.get()
    broken.be_overdue()
    assert isinstance(ends.get(), BrokerTimeout)
    waiter.add("b", ends.put)
    request = sound.requests.get()
    assert isinstance(request, Wait)
    assert request.add == ["b"]
    sound.be_overdue()
    assert isinstance(ends.get(), BrokerTimeout)

"""What a consumer has in hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from taskq.protocol.values import Ack, Delivered, Release
from taskq.worker.runtime.in_flight import InFlight


def delivered(receipt: int, early: bool = False) -> Delivered:
    return Delivered(receipt, f"id{receipt}", "q", "t", b"", 1, None, 30.0, early)


def test_unstarted_messages_become_releases_in_order() -> None:
    in_flight = InFlight()
    in_flight.take([delivered(1), delivered(2), delivered(3)])
    in_flight.inbox.popleft()
    assert in_flight.unstarted() == [Release(2, "id2"), Release(3, "id3")]
    assert not in_flight.inbox
    assert in_flight.held == {1, 2, 3}  # until the broker has said that it took them back


def test_what_is_acknowledged_early_stays_to_be_run() -> None:
    in_flight = InFlight()
    in_flight.take([delivered(1), delivered(2, early=True), delivered(3), delivered(4, early=True)])
    assert [release.receipt for release in in_flight.unstarted()] == [1, 3]
    assert [message.receipt for message in in_flight.inbox] == [2, 4]
    assert in_flight.held == {1, 3}


class WatchedInbox(deque[Delivered]):
    """Calls `look` before and after each removal."""

    look: Callable[[], None] = staticmethod(lambda: None)

    def pop(self) -> Delivered:  # type: ignore[override]
        self.look()
        message = super().pop()
        self.look()
        return message

    def remove(self, message: Delivered) -> None:
        self.look()
        super().remove(message)
        self.look()


def test_what_is_acknowledged_early_is_in_the_inbox_all_the_time() -> None:
    in_flight = InFlight()
    in_flight.inbox = inbox = WatchedInbox()
    in_flight.take([delivered(1), delivered(2, early=True), delivered(3)])
    seen: list[list[int]] = []
    inbox.look = lambda: seen.append([m.receipt for m in inbox if m.ack_early])  # type: ignore[method-assign]
    in_flight.unstarted()
    assert seen
    assert all(receipts == [2] for receipts in seen)


def test_what_begins_meanwhile_is_not_handed_back() -> None:
    in_flight = InFlight()
    in_flight.inbox = inbox = WatchedInbox()
    in_flight.take([delivered(1), delivered(2), delivered(3)])
    begun: list[int] = []

    def begin() -> None:
        if not begun:
            begun.append(inbox.popleft().receipt)
            begun.append(inbox.popleft().receipt)

    inbox.look = begin  # type: ignore[method-assign]
    assert in_flight.unstarted() == [Release(3, "id3")]
    assert begun == [1, 2]
    assert not inbox


def test_settled_outcomes_are_no_longer_held() -> None:
    in_flight = InFlight()
    in_flight.take([delivered(1), delivered(2)])
    in_flight.outbox.append(Ack(1, "id1", None))
    outcomes = in_flight.finished()
    assert in_flight.held == {1, 2}
    in_flight.settled(outcomes)
    assert in_flight.held == {2}
    assert in_flight.finished() == []


def test_what_another_broker_does_not_know_is_dropped_but_for_what_it_acknowledged() -> None:
    in_flight = InFlight()
    in_flight.take([delivered(1), delivered(2), delivered(3, early=True), delivered(4)])
    in_flight.outbox.append(Ack(1, "id1", None))
    in_flight.inbox.popleft()
    assert in_flight.drop() == 2
    assert [message.receipt for message in in_flight.inbox] == [3]
    assert not in_flight.outbox
    assert in_flight.held == set()

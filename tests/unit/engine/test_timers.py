"""Timers and alarms."""

from __future__ import annotations

import sys
from math import inf
from types import FrameType

from taskq.engine.timers import MovableTimer, Timers
from tests.kit.engine import EngineBench


def test_timers_fire_in_order_of_time_then_of_asking() -> None:
    timers = Timers()
    fired: list[str] = []
    for when, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "d")):
        timers.at(when, lambda subject, now: fired.append(subject), name)
    assert timers.next == 1.0
    timers.fire(0.999)
    assert fired == []
    timers.fire(2.0)
    assert fired == ["a", "b", "c"]
    assert timers.next == 3.0


def test_a_timer_may_ask_for_another_in_the_same_moment() -> None:
    timers = Timers()
    fired: list[float] = []

    def again(subject: int, now: float) -> None:
        fired.append(now)
        if subject:
            timers.at(now, again, subject - 1)

    timers.at(1.0, again, 2)
    timers.fire(5.0)
    assert fired == [5.0] * 3
    assert timers.next == inf


class Bell:
    """An alarm, and the times at which it rang."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.rang: list[float] = []
        self.alarm = MovableTimer(self.timers, self.rang.append)


def test_an_alarm_rings_once() -> None:
    bell = Bell()
    bell.alarm.set(5)
    for now in range(10):
        bell.timers.fire(now)
    assert bell.rang == [5]
    assert bell.alarm.when == inf


def test_an_alarm_moved_later_rings_later_only() -> None:
    bell = Bell()
    bell.alarm.set(5)
    bell.alarm.set(8)
    bell.timers.fire(7)
    assert (bell.rang, bell.timers.next) == ([], 8)
    bell.timers.fire(8)
    assert bell.rang == [8]


def test_an_alarm_moved_earlier_rings_earlier_only() -> None:
    bell = Bell()
    bell.alarm.set(8)
    bell.alarm.set(5)
    bell.timers.fire(5)
    bell.timers.fire(8)
    assert bell.rang == [5]


def test_an_alarm_taken_back_does_not_ring() -> None:
    bell = Bell()
    bell.alarm.set(5)
    bell.alarm.set(inf)
    bell.timers.fire(100)
    assert (bell.rang, bell.timers.next) == ([], inf)


def test_an_alarm_can_be_set_again_while_old_entries_are_left() -> None:
    bell = Bell()
    bell.alarm.set(8)
    bell.alarm.set(5)
    bell.timers.fire(5)
    bell.alarm.set(20)
    bell.timers.fire(8)
    assert (bell.rang, bell.timers.next) == ([5], 20)
    bell.timers.fire(20)
    assert bell.rang == [5, 20]


def test_an_alarm_that_moves_a_million_times_keeps_the_heap_small() -> None:
    bell = Bell()
    for now in range(100_000):
        bell.timers.fire(now)
        bell.alarm.set(now + 30)
    assert len(bell.timers) <= 2


def calls_of_a_tick(bench: EngineBench) -> int:
    """How many functions one tick calls, C ones included."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        bench.after(1)
        bench.engine.next_deadline()
    finally:
        sys.setprofile(None)
    return calls


def test_what_is_parked_far_in_the_future_costs_nothing_per_tick() -> None:
    few, many = EngineBench(), EngineBench()
    few.enqueue("a", delay=1e6)
    many.enqueue(*(f"m{number}" for number in range(20_000)), delay=1e6)
    calls_of_a_tick(few), calls_of_a_tick(many)
    assert calls_of_a_tick(many) == calls_of_a_tick(few)

"""The one policy of reconnecting: delays, budgets, and when to give up."""

from __future__ import annotations

import pytest

from taskq.backends.reconnect import Reconnector


def most() -> float:
    return 1.0


def test_delays_double_up_to_a_second_until_the_budget_is_spent() -> None:
    reconnector = Reconnector(3.0, jitter=most)
    now, delays = 100.0, []
    while (delay := reconnector.failed(now)) is not None:
        delays.append(delay)
        now += delay
    assert delays[:6] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64]
    assert max(delays) <= 1.0
    assert now == pytest.approx(103.0)


def test_jitter_takes_half_of_a_delay_at_most() -> None:
    assert Reconnector(3.0, jitter=lambda: 0.0).failed(0.0) == 0.01
    assert 0.01 <= (Reconnector(3.0).failed(0.0) or 0.0) <= 0.02


def test_an_answer_gives_the_whole_budget_back() -> None:
    reconnector = Reconnector(1.0, jitter=most)
    assert reconnector.failed(0.0) is not None
    assert reconnector.is_failing
    assert reconnector.lasting(0.5) == 0.5
    reconnector.succeeded()
    assert not reconnector.is_failing
    assert reconnector.failed(50.0) == 0.02


def test_the_budget_counts_from_the_beginning_of_the_first_attempt() -> None:
    reconnector = Reconnector(10.0)
    assert reconnector.failed(5.0, began=0.0) is not None
    assert reconnector.failed(10.0, began=6.0) is None


def test_a_budget_of_its_own_for_one_time() -> None:
    reconnector = Reconnector(30.0)
    assert reconnector.failed(0.0) is not None
    assert reconnector.failed(6.0, budget=5.0) is None
    assert reconnector.failed(6.0) is not None


def test_no_budget_means_one_attempt() -> None:
    assert Reconnector(0.0).failed(5.0) is None

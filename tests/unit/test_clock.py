"""The engine's clock against a wall clock that somebody sets."""

from __future__ import annotations

import time

import pytest

from taskq import clock


def test_42_setting_the_wall_clock_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = [50.0]
    monkeypatch.setattr(clock, "steady", lambda: steady[0])
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    ours = clock.Clock()
    assert ours.now() == 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0 - 86_400)
    steady[0] += 3
    assert ours.now() == 1_000_003.0


def test_it_begins_no_earlier_than_the_journal_s_last_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert 5000.0 <= clock.Clock(not_before=5000.0).now() < 6000.0
    assert 1000.0 <= clock.Clock(not_before=500.0).now() < 2000.0

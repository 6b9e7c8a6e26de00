"""Open-loop load: what is due when, and the stamps that tell how late it was."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.benchmarks import stamps
from tests.benchmarks.flow import BURST, Flow


def flow(count: int = 1000, first: int = 0) -> Flow:
    """One message a millisecond, that is five a burst, from the moment 100.0 on."""
    found = Flow(1 / 0.001, count, lambda numbers: None, first)
    found.began = 100.0
    return found


def test_a_burst_is_due_at_its_beginning() -> None:
    steady = flow()
    assert steady.due(100.0) == 5
    assert steady.due(100.0 + BURST * 1.5) == 10
    assert steady.due(101.5) == 1000  # and no more than there are


def test_each_number_has_the_moment_of_its_burst() -> None:
    steady = flow(first=50)
    assert steady.intended(50) == steady.intended(54) == 100.0
    assert steady.intended(55) == pytest.approx(100.0 + BURST)
    for n in range(50, 1050):
        at = steady.intended(n) + BURST / 2
        assert steady.due(at) > n - 50, "it was not to be sent yet"


def test_everything_is_sent_once_and_in_order() -> None:
    sent: list[int] = []
    steady = Flow(1e9, 50_000, sent.extend, first=7)  # all of it is due at once
    steady.run()
    assert sent == list(range(7, 50_007))


def test_what_goes_wrong_in_the_background_is_raised() -> None:
    def refuse(numbers: range) -> None:
        raise RuntimeError("no broker")

    steady = Flow(1e9, 10, refuse)
    steady.start()
    with pytest.raises(RuntimeError, match="no broker"):
        steady.join()


def test_stamps_are_seen_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_MEMORY", str(tmp_path))
    monkeypatch.setattr(stamps, "_view", None)
    found = stamps.Stamps(3)
    before = time.monotonic()
    stamps.stamp(1)
    stamps.stamp(-1)
    assert (found[0], found[2]) == (0.0, 0.0)
    assert before <= found[1] <= time.monotonic()

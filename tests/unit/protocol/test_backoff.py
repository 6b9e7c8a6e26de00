"""Backoff: its growth, its bounds, its refusals."""

from __future__ import annotations

import math

import msgspec
import pytest

from taskq.protocol.backoff import Backoff

PLAIN = Backoff(base=1, factor=2, max=60, jitter=False)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (8, 60)]
)
def test_waits_double_up_to_the_cap(failures: int, seconds: float) -> None:
    assert PLAIN.delay(failures, 0.5) == seconds


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.000001, 2.0, 10.0, 1e300])
@pytest.mark.parametrize("base", [0.0, 1e-9, 1.0, 1e300])
@pytest.mark.parametrize("failures", [1, 2, 100, 10**6, 10**12])
def test_47_no_attempt_overflows_or_exceeds_the_cap(
    base: float, factor: float, failures: int
) -> None:
    for jitter in (False, True):
        delay = Backoff(base=base, factor=factor, max=3600, jitter=jitter).delay(failures, 0.0)
        assert 0 <= delay <= 3600


def test_47_attempt_10_to_the_6_waits_for_the_cap() -> None:
    assert Backoff(base=1, factor=2, max=3600, jitter=False).delay(10**6, 0.0) == 3600


def test_jitter_draws_from_the_upper_half() -> None:
    backoff = Backoff(base=8, factor=1, max=60)
    delays = [backoff.delay(1, draw / 100) for draw in range(100)]
    assert max(delays) == 8
    assert min(delays) > 4
    assert backoff.delay(1, math.nextafter(1.0, 0.0)) == pytest.approx(4)


def test_steps_repeat_the_last_and_obey_the_cap() -> None:
    backoff = Backoff(steps=(5, 10, 100), max=60, jitter=False)
    assert [backoff.delay(n, 0.0) for n in (1, 2, 3, 4, 10**6)] == [5, 10, 60, 60, 60]


@pytest.mark.parametrize("bad", [-1, math.inf, math.nan, "1"])
@pytest.mark.parametrize("name", ["base", "factor", "max"])
def test_refuses_what_is_no_duration(name: str, bad: object) -> None:
    with pytest.raises(ValueError, match=name):
        Backoff(**{name: bad})  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_refuses_bad_steps(bad: float) -> None:
    with pytest.raises(ValueError, match="steps"):
        Backoff(steps=(1.0, bad))


def test_refuses_them_from_the_wire_too() -> None:
    raw = msgspec.msgpack.encode([-1.0, 2.0, 60.0, True, []])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(raw, type=Backoff)


def test_a_factor_below_1_makes_each_wait_shorter() -> None:
    backoff = Backoff(base=8, factor=0.5, max=60, jitter=False)
    assert [backoff.delay(n, 0.0) for n in (1, 2, 3)] == [8, 4, 2]

"""Moments in the hours that daylight saving time skips or repeats."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from taskq.options.durations import seconds, unix_time

SPRING, AUTUMN = (2026, 3, 29), (2026, 10, 25)  # in Berlin, +1 to +2 and back
TABLE = [
    # local date, time, fold -> the moment in UTC
    (SPRING, (1, 59), 0, datetime(2026, 3, 29, 0, 59, tzinfo=UTC)),
    (SPRING, (2, 30), 0, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # skipped: 03:30 on the clock
    (SPRING, (2, 30), 1, datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),  # skipped: 01:30 on the clock
    (SPRING, (3, 0), 0, datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
    (AUTUMN, (1, 59), 0, datetime(2026, 10, 24, 23, 59, tzinfo=UTC)),
    (AUTUMN, (2, 30), 0, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # repeated: the first
    (AUTUMN, (2, 30), 1, datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # repeated: the second
    (AUTUMN, (3, 0), 0, datetime(2026, 10, 25, 2, 0, tzinfo=UTC)),
]


@pytest.fixture
def berlin() -> ZoneInfo:
    try:
        return ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        pytest.skip("no time zone data here")


@pytest.fixture
def local_berlin(berlin: ZoneInfo, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", berlin.key)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("day", "clock", "fold", "moment"), TABLE)
def test_45_an_eta_in_a_skipped_or_repeated_hour(
    berlin: ZoneInfo, day: tuple[int, int, int], clock: tuple[int, int], fold: int, moment: datetime
) -> None:
    eta = datetime(*day, *clock, tzinfo=berlin, fold=fold)
    assert unix_time("eta", eta) == moment.timestamp()


@pytest.mark.usefixtures("local_berlin")
@pytest.mark.parametrize(("day", "clock", "fold", "moment"), TABLE)
def test_45_a_naive_eta_is_local_time(
    day: tuple[int, int, int], clock: tuple[int, int], fold: int, moment: datetime
) -> None:
    assert unix_time("eta", datetime(*day, *clock, fold=fold)) == moment.timestamp()


def test_45_a_day_of_delay_is_24_hours() -> None:
    assert seconds("delay", "1d") == 24 * 3600

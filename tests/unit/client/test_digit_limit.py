"""The limit for printing ints is raised to what a result needs, unless the user has set one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from taskq.client import digit_limit


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    default = sys.int_info.default_max_str_digits
    monkeypatch.setattr(digit_limit, "set_by_us", {default})
    sys.set_int_max_str_digits(default)
    yield
    sys.set_int_max_str_digits(before)


def test_a_large_result_can_be_printed() -> None:
    for large in (10**5_000, 10**9_000):
        with pytest.raises(ValueError, match="Exceeds the limit"):
            str(large)
        digit_limit.raise_digit_limit(large)
        assert str(large).startswith("1000")


def test_a_small_result_changes_nothing() -> None:
    digit_limit.raise_digit_limit(10**4_000)
    assert sys.get_int_max_str_digits() == sys.int_info.default_max_str_digits


@pytest.mark.parametrize("limit", [5_000, 0])
def test_a_limit_of_the_user_is_left_alone(limit: int) -> None:
    sys.set_int_max_str_digits(limit)
    digit_limit.raise_digit_limit(10**9_000)
    assert sys.get_int_max_str_digits() == limit

from __future__ import annotations

import pytest

from taskq.sizes import size_in_bytes, whole_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (0, 0), (7, 7), ("0", 0), ("512", 512), ("1K", 1024), ("1 KiB", 1024), ("1.5m", 3 * 2**19),
        ("2GB", 2**31), ("3TiB", 3 * 2**40), ("10B", 10),
    ],
)  # fmt: skip
def test_sizes(text: object, expected: int) -> None:
    assert size_in_bytes("it", text) == expected


@pytest.mark.parametrize("value", [-1, "", "-1", "1X", "KiB", "1e3", "1 2"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"^it must be"):
        size_in_bytes("it", value)


@pytest.mark.parametrize("value", [None, 1.5, True, b"1"])
def test_what_is_of_another_type(value: object) -> None:
    for check in (size_in_bytes, whole_number):
        with pytest.raises(TypeError, match=r"^it must be"):
            check("it", value)


def test_whole_numbers() -> None:
    assert [whole_number("it", value) for value in (0, 12, "12", " 7 ")] == [0, 12, 12, 7]
    for value in (-1, "-1", "1.5", "", "x"):
        with pytest.raises(ValueError, match=r"^it must be"):
            whole_number("it", value)

from __future__ import annotations

from taskq.client.progress import line


def test_the_line() -> None:
    assert line(0, 4, 0.0).startswith("\r" + "·" * 30 + " 0/4   0%")
    assert line(2, 4, 1.0).startswith("\r" + "█" * 15 + "·" * 15 + " 2/4  50%        2/s")
    assert "0/0 100%" in line(0, 0, 0.0)

"""A short chaos run of each kind; the long one is started by hand (docs/testing.md)."""

from __future__ import annotations

import random
import sys

import pytest

from tests.crash.chaos import chaos

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.mark.parametrize("link", ["proxy", "embedded"])
def test_a_short_chaos_run_breaks_no_promise(link: str) -> None:
    seed = random.SystemRandom().randrange(2**24)  # it is printed
    assert chaos(tasks=800, seconds=3.0, seed=seed, link=link, pause=0.25)

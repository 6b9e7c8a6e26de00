"""What the no-op of a cell does besides marking its number: nothing, a sleep, or some computing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import SCENARIO

NAP = 0.001  # seconds asleep
LOAD = 0.005  # seconds of a processor


def _nap(n: int) -> None:
    time.sleep(NAP)
    mark(n)


def _compute(n: int) -> None:
    # by the thread's own clock: as much work for those who have to share a processor
    end = time.thread_time() + LOAD
    while time.thread_time() < end:
        pass
    mark(n)


async def _nap_in_loop(n: int) -> None:
    await asyncio.sleep(NAP)
    mark(n)


async def _at_once(n: int) -> None:
    work(n)


_scenario = os.environ.get(SCENARIO)
work: Callable[[int], None] = {"sleep-1ms": _nap, "cpu-5ms": _compute}.get(_scenario or "", mark)
work_in_loop = _nap_in_loop if _scenario == "sleep-1ms" else _at_once

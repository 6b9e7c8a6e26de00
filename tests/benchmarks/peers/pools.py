"""The standard library's process pools: nothing is stored, nothing survives."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool
from typing import Any

from tests.benchmarks.marks import mark
from tests.benchmarks.peers.base import Contestant, is_tuned
from tests.benchmarks.work import work

CHUNK = 64  # calls that travel together, where many are given at once


def noop(n: int) -> int:
    """What the scenario's no-op is, with a result."""
    work(n)
    return n


def echo(n: int, data: str) -> str:
    """Give back what came."""
    mark(n)
    return data


class _InProcess(Contestant):
    """A pool of two: its workers start with it, and its results are here when they are done."""

    is_separate = False
    has_bulk = True

    def __init__(self) -> None:
        super().__init__()
        self._handles: list[Any] = []
        self._done = 0

    def worker_command(self) -> list[str]:
        raise NotImplementedError

    def finished(self) -> int:
        handles = self._handles
        while self._done < len(handles) and self._is_done(handles[self._done]):
            self._done += 1
        return self._done

    def enqueue(self, n: int) -> Any:
        return self._kept(self.submit(noop, n))

    def enqueue_payload(self, n: int, data: str) -> Any:
        return self._kept(self.submit(echo, n, data))

    def _kept(self, handle: Any) -> Any:
        self._handles.append(handle)
        return handle

    def enqueue_all(self, numbers: Sequence[int]) -> None:
        # stock is a call each, as the goals compare it; tuned lets calls travel together
        if is_tuned():
            super().enqueue_all(numbers)
        else:
            self.enqueue_each(numbers)

    @abstractmethod
    def submit(self, function: Any, *arguments: Any) -> Any:
        """Give one call to the pool."""

    @abstractmethod
    def _is_done(self, handle: Any) -> bool:
        """Whether its result is here."""


class Executor(_InProcess):
    """`concurrent.futures.ProcessPoolExecutor(2)`."""

    def start_workers(self) -> None:
        self._pool = ProcessPoolExecutor(2)

    def submit(self, function: Any, *arguments: Any) -> Any:
        return self._pool.submit(function, *arguments)

    def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        for _ in self._pool.map(noop, numbers, chunksize=CHUNK):
            self._kept(None)

    def result(self, handle: Any) -> Any:
        return handle.result(60)

    def _is_done(self, handle: Any) -> bool:
        return handle is None or handle.done()


class MultiprocessingPool(_InProcess):
    """`multiprocessing.Pool(2)`."""

    def start_workers(self) -> None:
        self._pool = Pool(2)

    def submit(self, function: Any, *arguments: Any) -> Any:
        return self._pool.apply_async(function, arguments)

    def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        for _ in self._pool.imap(noop, numbers, chunksize=CHUNK):
            self._kept(None)

    def result(self, handle: Any) -> Any:
        return handle.get(60)

    def _is_done(self, handle: Any) -> bool:
        return handle is None or handle.ready()


CONTESTANT = Executor if os.environ.get("BENCH_CONTENDER") == "executor" else MultiprocessingPool

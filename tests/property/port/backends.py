"""The backends that the machine is run against; each has a clock that the machine moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from taskq.backends.memory import MemoryBroker
from taskq.backends.port import Broker
from taskq.clock import Clock
from tests.kit.clock import ManualClock


class PortBackend(Protocol):
    """An empty broker behind the port. A new backend implements this and joins `test_port.py`."""

    broker: Broker

    @property
    def now(self) -> float:
        """Its clock, Unix time."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the clock, and have the broker do what is due by then."""
        ...

    def close(self) -> None:
        """End the broker."""
        ...


class MemoryBackend:
    """`memory:`, with a manual clock. `make`: a broker with a fault."""

    def __init__(self, make: Callable[[Clock], MemoryBroker] = MemoryBroker) -> None:
        self._clock = ManualClock()
        self.broker = make(self._clock)

    @property
    def now(self) -> float:
        return self._clock.time

    def advance(self, seconds: float) -> None:
        self._clock.time += seconds
        self.broker.tick()

    def close(self) -> None:
        self.broker.close()

"""Any sequence of requests by way of the port keeps every promise, whatever the backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from taskq.backends.memory import MemoryBroker
from taskq.protocol.base import Request
from taskq.protocol.consuming import Register, Settle
from taskq.protocol.operating import Control
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Ack
from tests.property.conftest import SEED
from tests.property.port.backends import MemoryBackend
from tests.property.port.machine import PortMachine


class MemoryMachine(PortMachine):
    """The suite for `memory:`; another backend has a class of its own here."""

    make_backend = MemoryBackend


TestMemory = seed(SEED)(MemoryMachine).TestCase


# --- the machine notices a backend that breaks a promise ------------------------------------------


def lose_a_call(request: Request[Any]) -> None:
    if isinstance(request, Enqueue):
        del request.calls[1:]


def lose_an_outcome(request: Request[Any]) -> None:
    if isinstance(request, Settle):
        del request.outcomes[1:]


def ignore_a_pause(request: Request[Any]) -> None:
    if isinstance(request, Control):
        request.action = request.action.replace("pause", "resume")


def ignore_a_delay(request: Request[Any]) -> None:
    if isinstance(request, Enqueue):
        request.delay = 0.0


def forget_an_expiry(request: Request[Any]) -> None:
    if isinstance(request, Enqueue):
        request.expires = None


def end_a_lease_early(request: Request[Any]) -> None:
    if isinstance(request, Register):
        request.holding = []


def take_a_failure_for_a_success(request: Request[Any]) -> None:
    if isinstance(request, Settle):
        request.outcomes = [Ack(each.receipt, each.id, b"") for each in request.outcomes]


@pytest.mark.parametrize(
    "fault",
    [
        lose_a_call,
        lose_an_outcome,
        ignore_a_pause,
        ignore_a_delay,
        forget_an_expiry,
        end_a_lease_early,
        take_a_failure_for_a_success,
    ],
)
def test_a_broken_promise_is_noticed(fault: Callable[[Request[Any]], None]) -> None:
    class FaultyBroker(MemoryBroker):
        def apply(self, number: int, request: Request[Any]) -> None:
            fault(request)
            super().apply(number, request)

    class FaultyMachine(PortMachine):
        make_backend = partial(MemoryBackend, FaultyBroker)  # type: ignore[assignment]

    looking = settings(
        max_examples=3000,
        stateful_step_count=30,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        derandomize=True,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(FaultyMachine, settings=looking)

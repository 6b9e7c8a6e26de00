"""The transition table, step by step."""

from __future__ import annotations

from itertools import product

import pytest

from taskq.engine.ledger import Ledger
from taskq.engine.model import Delivery, Message
from taskq.engine.states import FINAL, TRANSITIONS, WAITING, Event, State, after
from taskq.errors import IllegalTransition
from taskq.protocol.values import Options

LEGAL = {
    ("PARKED", "CLAIM"): "LEASED",
    ("HELD", "CANCEL"): "CANCELLED",
    ("PARKED", "CANCEL"): "CANCELLED",
    ("HELD", "EXPIRE"): "EXPIRED",
    ("PARKED", "EXPIRE"): "EXPIRED",
    ("SCHEDULED", "DUE"): "READY",
    ("SCHEDULED", "CANCEL"): "CANCELLED",
    ("SCHEDULED", "EXPIRE"): "EXPIRED",
    ("READY", "CLAIM"): "LEASED",
    ("READY", "PARK"): "PARKED",
    ("READY", "CANCEL"): "CANCELLED",
    ("READY", "EXPIRE"): "EXPIRED",
    ("LEASED", "ACK"): "SUCCEEDED",
    ("LEASED", "RETRY"): "SCHEDULED",
    ("LEASED", "RELEASE"): "READY",
    ("LEASED", "LAPSE"): "READY",
    ("LEASED", "PARK"): "PARKED",
    ("LEASED", "BURY"): "DEAD",
    ("LEASED", "CANCEL"): "CANCELLED",
    ("DEAD", "REPLAY"): "READY",
    ("DEAD", "REPLAY_LATER"): "SCHEDULED",
    ("HELD", "PURGE"): "PURGED",
    ("PARKED", "PURGE"): "PURGED",
    ("SCHEDULED", "PURGE"): "PURGED",
    ("READY", "PURGE"): "PURGED",
    ("LEASED", "PURGE"): "PURGED",
    ("DEAD", "PURGE"): "PURGED",
}
PAIRS = list(product(State, Event))


def delivery_in(ledger: Ledger, state: State) -> Delivery:
    group = ledger.group("q", "default")
    spec = ledger.specs.of("q", "t", Options())
    delivery = Delivery(Message(1, "a", spec, b"", 0.0, 0.0, None), group, state, 0.0)
    group.counts[state] += 1
    return delivery


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s.name}-{e.name}" for s, e in PAIRS])
def test_every_pair_is_as_the_table_says_or_changes_nothing(state: State, event: Event) -> None:
    ledger = Ledger()
    delivery = delivery_in(ledger, state)
    counts = list(delivery.group.counts)
    ledger.changes.take()
    expected = LEGAL.get((state.name, event.name))
    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{event.name} .* {state.label}"):
            ledger.move(delivery, event)
        assert delivery.state is state
        assert delivery.group.counts == counts
        assert ledger.changes.take() is None
        with pytest.raises(IllegalTransition):
            after(state, event)
    else:
        ledger.move(delivery, event)
        assert delivery.state is State[expected] is after(state, event)
        assert delivery.group.counts[delivery.state] == 1
        assert sum(delivery.group.counts) == 1


def test_every_state_has_a_row_and_every_event_a_use() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_final_states_absorb_but_for_the_dead_letters() -> None:
    assert all(not TRANSITIONS[state] for state in FINAL - {State.DEAD})
    assert set(TRANSITIONS[State.DEAD]) == {Event.REPLAY, Event.REPLAY_LATER, Event.PURGE}


def test_every_state_is_waiting_leased_or_final() -> None:
    assert WAITING | FINAL | {State.LEASED} == set(State)
    assert not WAITING & FINAL


def test_numbers_in_the_journal_never_change() -> None:
    names = ["HELD", "SCHEDULED", "READY", "LEASED", "SUCCEEDED", "DEAD", "CANCELLED", "EXPIRED",
             "PARKED", "PURGED"]  # fmt: skip
    assert [state.name for state in sorted(State)] == names


def test_a_step_by_the_clock_alone_is_not_written() -> None:
    ledger = Ledger()
    delivery = delivery_in(ledger, State.SCHEDULED)
    ledger.changes.take()
    ledger.move(delivery, Event.DUE)
    assert ledger.changes.take() is None

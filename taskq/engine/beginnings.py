"""Which deliveries have begun, as far as the broker knows: only these count when a worker is lost.

A consumer begins its deliveries in the order of their receipts. See decision 0020.
"""

from __future__ import annotations

from taskq.engine.handlers import Handlers
from taskq.engine.leases import leased
from taskq.engine.ledger import Ledger
from taskq.engine.model import Delivery
from taskq.engine.sessions import Session
from taskq.engine.tick import Tick
from taskq.protocol.base import Done
from taskq.protocol.consuming import Begin


def begin(ledger: Ledger, session: Session, request: Begin, tick: Tick) -> Done:
    """Remember that a consumer has begun a delivery; kept in memory only."""
    note(leased(ledger, request.receipt, request.id))
    return Done(count=1)


def note(delivery: Delivery) -> None:
    """A leased delivery has begun, and so has what its consumer had before it."""
    assert delivery.consumer is not None
    delivery.consumer.began = max(delivery.consumer.began, delivery.receipt)


def is_announced(delivery: Delivery) -> bool:
    """Whether the delivery is given to a consumer alone, which says when it begins.

    So are those that a worker was lost with, and those that may not be lost even once: nothing is
    buried of which it is not known that it has begun.
    """
    options = delivery.message.spec.options
    suspect = delivery.suspect or delivery.deaths > 0
    return (suspect or options.max_deliveries <= 1) and not options.ack_early


def has_begun(delivery: Delivery, receipt: int, began: int, head: int) -> bool:
    """Whether the delivery counts as begun, when its consumer was lost without a word.

    Args:
        delivery: one that was leased.
        receipt: what it was leased under.
        began: the newest receipt that the consumer is known to have begun.
        head: its oldest receipt that is not settled. If it has begun any, it has begun this one.
    """
    return receipt <= began or (receipt == head and not is_announced(delivery))


HANDLERS: Handlers = {Begin: begin}

"""Deliveries that are known to have begun: only these count as lost when a worker is lost.

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
    """Carry out `Begin`: record, in memory only, that a consumer has begun a delivery."""
    note(leased(ledger, request.receipt, request.id))
    return Done(count=1)


def note(delivery: Delivery) -> None:
    """Record that a delivery has begun, and with it the earlier ones of its consumer."""
    assert delivery.consumer is not None
    delivery.consumer.began = max(delivery.consumer.began, delivery.receipt)


def is_announced(delivery: Delivery) -> bool:
    """Whether the consumer reports the beginning of the delivery, of which it gets no other one.

    This holds for deliveries with which a worker was lost, and for those that may not be lost even
    once: no delivery becomes a dead letter unless it is known to have begun.
    """
    options = delivery.message.spec.options
    suspect = delivery.suspect or delivery.deaths > 0
    return (suspect or options.max_deliveries <= 1) and not options.ack_early


def has_begun(delivery: Delivery, receipt: int, began: int, head: int) -> bool:
    """Whether the delivery counts as begun, when its consumer was lost without a report.

    Args:
        delivery: one that was leased.
        receipt: what it was leased under.
        began: the newest receipt that the consumer is known to have begun.
        head: its oldest receipt that is not settled. If it has begun any, it has begun this one.
    """
    return receipt <= began or (receipt == head and not is_announced(delivery))


HANDLERS: Handlers = {Begin: begin}

"""Settles outcomes: sends them to the broker, or keeps them in the outbox."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from taskq.protocol.consuming import Claim
from taskq.protocol.values import Outcome, Release
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.retrying import RetryingConnection

log = logging.getLogger("taskq.worker")


def settle_outcomes(
    link: RetryingConnection,
    in_flight: InFlight,
    outcomes: list[Outcome],
    claim: Claim | None = None,
) -> None:
    """Settle outcomes that were taken from the outbox, and send a claim along.

    Raises:
        TaskqError: they could not be settled, and are in the outbox again.
    """
    try:
        rejected = link.attempt(
            lambda connection: connection.turn(outcomes, claim, in_flight.group)
        )
    except BaseException:
        in_flight.outbox.extendleft(reversed(outcomes))
        raise
    in_flight.settled(outcomes)
    if rejected:
        _log_rejected(outcomes, set(rejected))


def _log_rejected(outcomes: Iterable[Outcome], rejected: set[int]) -> None:
    """Log the outcomes that came too late: their messages were delivered to other workers."""
    for outcome in outcomes:
        if outcome.receipt in rejected and not isinstance(outcome, Release):
            log.warning(
                "LeaseLost: %s was finished too late, so its outcome is not kept: it was delivered "
                "again, cancelled, or lost by the broker",
                outcome.id,
            )

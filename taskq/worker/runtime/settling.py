"""Settles outcomes: sends them to the broker, or keeps them in the outbox."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from taskq.backends.port import Connection
from taskq.errors import PayloadTooLarge
from taskq.protocol.consuming import Claim
from taskq.protocol.frames import MAX_PAYLOAD
from taskq.protocol.outcomes import in_parts
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

    Those that do not fit into a frame together are sent in parts; a part that was settled is not sent
    again where the broker is lost after it. One that is too large by itself fails its task with
    `PayloadTooLarge`.

    Raises:
        TaskqError: they could not be settled, and are in the outbox again.
    """
    parts = [outcomes]
    rejected: set[int] = set()
    while parts:
        last = claim if len(parts) == 1 else None
        try:
            stale = link.attempt(partial(_turn, parts[0], last, in_flight.group))
        except BaseException as error:
            if isinstance(error, PayloadTooLarge) and parts[0] is outcomes:
                parts = in_parts(outcomes, MAX_PAYLOAD)
                continue
            in_flight.outbox.extendleft(outcome for part in parts[::-1] for outcome in part[::-1])
            raise
        in_flight.settled(parts.pop(0))
        rejected.update(stale)
    if rejected:
        _log_rejected(outcomes, rejected)


def _turn(
    outcomes: list[Outcome], claim: Claim | None, group: str, connection: Connection
) -> list[int]:
    return connection.turn(outcomes, claim, group)


def _log_rejected(outcomes: Iterable[Outcome], rejected: set[int]) -> None:
    """Log the outcomes that came too late: their messages were delivered to other workers."""
    for outcome in outcomes:
        if outcome.receipt in rejected and not isinstance(outcome, Release):
            log.warning(
                "LeaseLost: %s was finished too late, so its outcome is not kept: it was delivered "
                "again, cancelled, or lost by the broker",
                outcome.id,
            )

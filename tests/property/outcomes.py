"""The outcomes that the property suites settle with."""

from __future__ import annotations

from taskq.protocol.values import Abandon, Ack, Delivered, ErrorInfo, Fail, Outcome, Release


def outcome_of(kind: str, message: Delivered) -> Outcome:
    receipt, id = message.receipt, message.id
    error = ErrorInfo("ValueError", "no")
    outcomes: dict[str, Outcome] = {
        "ack": Ack(receipt, id, b"value"),
        "fail": Fail(receipt, id, error),
        "final": Fail(receipt, id, error, final=True),
        "later": Fail(receipt, id, error, delay=7.0),
        "release": Release(receipt, id),
        "unknown": Release(receipt, id, unknown=True),
        "abandon": Abandon(receipt, id),
    }
    return outcomes[kind]

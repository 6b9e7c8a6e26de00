"""Outcomes in parts that fit into a frame."""

from __future__ import annotations

from collections.abc import Sequence

from taskq.protocol.values import MAX_ID, Ack, ErrorInfo, Fail, Outcome

PART = 16 * 2**20  # bytes of outcomes that are sent together; one may be larger
OVERHEAD = 200  # bytes of an outcome besides its id and its value or error, about
_CHARACTER = 4  # bytes, at most


def size_of(outcome: Outcome) -> int:
    """Bytes that it takes in a frame, about; never fewer than it does."""
    size = OVERHEAD + _CHARACTER * len(outcome.id)
    if isinstance(outcome, Ack):
        return size + len(outcome.value or b"")
    if isinstance(outcome, Fail):
        error = outcome.error
        texts = len(error.kind) + len(error.text) + len(error.traceback) + len(error.worker)
        return size + _CHARACTER * texts + len(error.pickled or b"")
    return size


def in_parts(outcomes: Sequence[Outcome], limit: int) -> list[list[Outcome]]:
    """Divide outcomes, in order, into parts of about `PART` bytes.

    Args:
        limit: bytes that an outcome may carry. One beyond it becomes the failure of its task.
    """
    parts: list[list[Outcome]] = [[]]
    size = 0
    for outcome in outcomes:
        own = size_of(outcome)
        if own > limit + OVERHEAD + _CHARACTER * min(len(outcome.id), MAX_ID):
            outcome = _refused(outcome, own, limit)
            own = size_of(outcome)
        if size + own > PART and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(outcome)
        size += own
    return parts


def _refused(outcome: Outcome, size: int, limit: int) -> Fail:
    text = (
        f"the outcome takes {size:,} bytes and the limit is {limit:,}; "
        "keep large data elsewhere and return its place"
    )
    error = ErrorInfo("PayloadTooLarge", text)
    return Fail(outcome.receipt, outcome.id, error, final=True)

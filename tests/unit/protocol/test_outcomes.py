"""Outcomes in parts that fit into a frame."""

from __future__ import annotations

import msgspec

from taskq.protocol.consuming import Settle
from taskq.protocol.frames import encode
from taskq.protocol.outcomes import PART, in_parts, size_of
from taskq.protocol.values import Abandon, Ack, ErrorInfo, Fail, Outcome, Release

LIMIT = 64 * 2**20


def acks(*sizes: int) -> list[Outcome]:
    return [Ack(number, f"id{number}", bytes(size)) for number, size in enumerate(sizes)]


def test_small_outcomes_stay_together() -> None:
    outcomes = [*acks(10, 0), Release(9, "id9")]
    assert in_parts(outcomes, LIMIT) == [outcomes]


def test_large_ones_are_divided_and_keep_their_order() -> None:
    outcomes = acks(PART - 1000, 2000, PART * 3, 5)
    parts = in_parts(outcomes, LIMIT)
    assert parts == [outcomes[:1], outcomes[1:2], outcomes[2:3], outcomes[3:]]


def test_one_that_fits_into_no_frame_fails_its_task_and_no_other() -> None:
    ((before, refused, after),) = in_parts(acks(1, LIMIT + 1, 1), LIMIT)
    assert (before.receipt, after.receipt) == (0, 2)
    assert isinstance(refused, Fail)
    assert (refused.receipt, refused.id, refused.final) == (1, "id1", True)
    assert refused.error.kind == "PayloadTooLarge"


def test_long_ids_are_divided_too() -> None:
    outcomes: list[Outcome] = [Release(n, f"{n}" + "x" * 900_000) for n in range(90)]
    parts = in_parts(outcomes, LIMIT)
    assert [outcome for part in parts for outcome in part] == outcomes
    for part in parts:
        encode(Settle(outcomes=part))


def test_the_name_of_an_exception_may_be_too_large_as_well() -> None:
    failure = Fail(1, "id1", ErrorInfo("K" * (LIMIT + 2**20), "text"))
    ((refused,),) = in_parts([failure], LIMIT)
    assert isinstance(refused, Fail)
    assert refused.error.kind == "PayloadTooLarge"


def test_the_estimate_is_never_too_small() -> None:
    wide = "ä€😀" * 100
    error = ErrorInfo(wide, wide, "traceback" * 100, b"p" * 100, 3, 1.5, wide)
    ended: list[Outcome] = [Ack(1, wide, b"value"), Fail(1, wide, error), Release(2**62, wide)]
    for outcome in (*acks(0, 1000), *ended, Abandon(1, wide)):
        encoded = msgspec.msgpack.encode(Settle(outcomes=[outcome]))
        assert len(encoded) <= size_of(outcome)

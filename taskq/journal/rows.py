"""How the engine's objects look as rows, and back. Every row carries a checksum of its bytes.

The checksum begins with the row's key: a row that turns up under another key is damaged, too.
Records are MessagePack arrays, read by position: append fields, never reorder them, and raise
`schema.VERSION` when an old reader would misunderstand a new record.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from taskq.engine.changes import HighWaterMarks
from taskq.engine.model import Delivery, Group, Message, Spec
from taskq.engine.result import Result
from taskq.engine.states import State
from taskq.protocol.values import ErrorInfo, Options

encode = msgspec.msgpack.Encoder().encode


class SpecRecord(msgspec.Struct, array_like=True):
    """What calls of one task share."""

    queue: str
    task: str
    options: Options


class MessageRecord(msgspec.Struct, array_like=True):
    """The part of a message that never changes; its payload is a column of its own."""

    id: str
    spec: SpecRecord
    created_at: float
    due_at: float
    expires_at: float | None


class DeliveryRecord(msgspec.Struct, array_like=True):
    """Where one delivery stands.

    Version 1 had no `deaths`, and what was handed back did not count as delivered.
    """

    group: str
    state: int
    due_at: float
    deliveries: int
    failures: int
    receipt: int
    leased_at: float
    worker: str
    consumer: str
    cancelling: int
    errors: list[ErrorInfo]
    deaths: int | None = None


class ResultRecord(msgspec.Struct, array_like=True):
    """The end of a message."""

    id: str
    spec: SpecRecord
    state: int
    value: bytes | None
    error: ErrorInfo | None
    receipt: int
    attempts: int
    worker: str
    created_at: float
    started_at: float
    finished_at: float
    deliveries: int | None = None
    deaths: int = 0


class GroupRecord(msgspec.Struct, array_like=True):
    """A consumer group: its beginning, and totals that its messages no longer tell.

    The record of the first group also has the limits of the queue.
    """

    from_seq: int
    counts: list[int]
    failed: int
    purged: int
    paused: bool
    max_messages: int = 0
    max_bytes: int = 0


decode_message = msgspec.msgpack.Decoder(MessageRecord).decode
decode_deliveries = msgspec.msgpack.Decoder(list[DeliveryRecord]).decode
decode_spec = msgspec.msgpack.Decoder(SpecRecord).decode
decode_result = msgspec.msgpack.Decoder(ResultRecord).decode
decode_group = msgspec.msgpack.Decoder(GroupRecord).decode
decode_marks = msgspec.msgpack.Decoder(HighWaterMarks).decode


def message_row(message: Message) -> tuple[int, bytes, bytes, int]:
    """(seq, record, payload, checksum)."""
    record = encode(
        (
            message.id,
            _spec(message.spec),
            message.created_at,
            message.due_at,
            message.expires_at,
        )
    )
    payload = message.payload
    return message.seq, record, payload, crc32(payload, crc32(record, message.seq))


def _spec(spec: Spec) -> msgspec.Raw:
    """The record of a spec, encoded once for all messages that have it."""
    if spec.encoded is None:
        spec.encoded = encode((spec.queue, spec.task, spec.options))
    return msgspec.Raw(spec.encoded)


def state_row(message: Message) -> tuple[int, bytes, int]:
    """(seq, record of all its deliveries, checksum)."""
    record = encode([_delivery(delivery) for delivery in message.deliveries])
    return message.seq, record, crc32(record, message.seq)


def _delivery(delivery: Delivery) -> tuple[object, ...]:
    consumer = delivery.consumer
    return (
        delivery.group.name,
        delivery.state,
        delivery.due_at,
        delivery.deliveries,
        delivery.failures,
        delivery.receipt,
        delivery.leased_at,
        consumer.worker.name if consumer else "",
        consumer.name if consumer else "",
        delivery.cancelling,
        delivery.errors or (),
        delivery.deaths,
    )


def result_row(result: Result) -> tuple[int, bytes, int]:
    """(seq, record, checksum)."""
    record = encode(
        (
            result.id,
            _spec(result.spec),
            result.state,
            result.value,
            result.error,
            result.receipt,
            result.attempts,
            result.worker,
            result.created_at,
            result.started_at,
            result.finished_at,
            result.deliveries,
            result.deaths,
        )
    )
    return result.seq, record, crc32(record, result.seq)


def group_row(group: Group) -> tuple[str, str, bytes, int]:
    """(queue, group, record, checksum)."""
    record = encode(
        (
            group.from_seq,
            group.counts,
            group.failed,
            group.counts[State.PURGED],
            group.paused,
            *(group.queue.capacity if group.is_first else ()),
        )
    )
    queue = group.queue.name
    return queue, group.name, record, crc32(record, group_key(queue, group.name))


def group_key(queue: str, group: str) -> int:
    """What the checksum of a consumer group begins with."""
    return crc32(f"{queue}\0{group}".encode())


def marks_row(marks: HighWaterMarks) -> tuple[bytes, int]:
    """(record, checksum)."""
    record = encode(marks)
    return record, crc32(record)

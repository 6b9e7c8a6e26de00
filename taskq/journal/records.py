"""Values that several records hold. They are apart from those of the protocol, whose fields may change.

Records are MessagePack arrays, read by position: append fields, never move or reorder them, and add a
migration when an old record would be misunderstood.
"""

from __future__ import annotations

import msgspec

from taskq.engine.specs import Spec, Specs
from taskq.protocol.backoff import Backoff
from taskq.protocol.values import ErrorInfo, Options

encode = msgspec.msgpack.Encoder().encode


class BackoffRecord(msgspec.Struct, array_like=True):
    """How long a call waits between its attempts."""

    base: float
    factor: float
    max: float
    jitter: bool
    steps: tuple[float, ...]


class OptionsRecord(msgspec.Struct, array_like=True):
    """The options of a call."""

    priority: int
    retries: int
    backoff: BackoffRecord
    timeout: float | None
    lease: float
    max_deliveries: int
    result_ttl: float
    ack_early: bool
    carries_code: bool


class SpecRecord(msgspec.Struct, array_like=True):
    """What calls of one task share."""

    queue: str
    task: str
    options: OptionsRecord


class ErrorRecord(msgspec.Struct, array_like=True):
    """One failed attempt."""

    kind: str
    text: str
    traceback: str
    pickled: bytes | None
    attempt: int
    at: float
    worker: str

    @property
    def info(self) -> ErrorInfo:
        """The same as the engine knows it."""
        return ErrorInfo(
            self.kind,
            self.text,
            self.traceback,
            self.pickled,
            self.attempt,
            self.at,
            self.worker,
        )


decode_spec = msgspec.msgpack.Decoder(SpecRecord).decode


def spec_record(spec: Spec) -> msgspec.Raw:
    """The record of a spec, encoded once for all messages that have it."""
    if spec.encoded is None:
        options, backoff = spec.options, spec.options.backoff
        spec.encoded = encode(
            (
                spec.queue,
                spec.task,
                (
                    options.priority,
                    options.retries,
                    (backoff.base, backoff.factor, backoff.max, backoff.jitter, backoff.steps),
                    options.timeout,
                    options.lease,
                    options.max_deliveries,
                    options.result_ttl,
                    options.ack_early,
                    options.carries_code,
                ),
            )
        )
    return msgspec.Raw(spec.encoded)


def error_record(error: ErrorInfo | None) -> tuple[object, ...] | None:
    """The record of a failed attempt."""
    if error is None:
        return None
    return (
        error.kind,
        error.text,
        error.traceback,
        error.pickled,
        error.attempt,
        error.at,
        error.worker,
    )


class SpecReader:
    """Specs from their records; each is decoded once, however many messages have it."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._by_record: dict[bytes, Spec] = {}

    def read(self, record: msgspec.Raw) -> Spec:
        """The spec of that record."""
        key = bytes(record)
        spec = self._by_record.get(key)
        if spec is None:
            stored = decode_spec(key)
            options = read_options(stored.options)
            spec = self._by_record[key] = self._specs.of(stored.queue, stored.task, options)
        return spec


def read_options(stored: OptionsRecord) -> Options:
    """The options of a record."""
    backoff = stored.backoff
    return Options(
        priority=stored.priority,
        retries=stored.retries,
        backoff=Backoff(backoff.base, backoff.factor, backoff.max, backoff.jitter, backoff.steps),
        timeout=stored.timeout,
        lease=stored.lease,
        max_deliveries=stored.max_deliveries,
        result_ttl=stored.result_ttl,
        ack_early=stored.ack_early,
        carries_code=stored.carries_code,
    )

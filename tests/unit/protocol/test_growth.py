"""The protocol can grow: a field more or less at the end is read by the older and the newer side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from taskq.protocol import frames
from taskq.protocol.base import Parkable, Reply, Request
from tests.unit.protocol.specimens import GOLDEN, REPLIES, REQUESTS, golden_frames

SPECIMENS = (*REQUESTS, *REPLIES)
ADDED = {"of": ["a", "newer", "version"]}


def names(messages: tuple[Any, ...]) -> list[str]:
    return [type(message).__name__ for message in messages]


def decoder_of(message: Request[Any] | Reply) -> Callable[[bytes], Any]:
    return frames.decode_request if isinstance(message, Request) else frames.decode_reply


def body_of(message: Any) -> bytes:
    return msgspec.msgpack.encode(message)


def test_there_is_a_specimen_of_every_request_and_reply() -> None:
    assert [type(each) for each in REQUESTS] == list(get_args(frames.AnyRequest))
    assert [type(each) for each in REPLIES] == list(get_args(frames.AnyReply))


def test_the_golden_frames_are_read_and_written_as_ever() -> None:
    bodies = frames.FrameReader().feed(GOLDEN.read_bytes())
    decoders = [decoder_of(each) for each in SPECIMENS]
    read = [decode(bytes(body)) for decode, body in zip(decoders, bodies, strict=True)]
    assert read == list(SPECIMENS)
    assert golden_frames() == GOLDEN.read_bytes()


@pytest.mark.parametrize("message", SPECIMENS, ids=names(SPECIMENS))
def test_the_request_id_comes_first_and_then_how_long_it_may_park(message: Any) -> None:
    tag, rid, *rest = msgspec.msgpack.decode(body_of(message))
    assert (tag, rid) == (type(message).__name__, message.rid)
    if isinstance(message, Parkable):
        assert rest[0] == message.wait


@pytest.mark.parametrize("message", SPECIMENS, ids=names(SPECIMENS))
def test_the_older_side_ignores_fields_that_the_newer_side_adds(message: Any) -> None:
    newer = msgspec.msgpack.encode(_with_fields_added(message))
    assert decoder_of(message)(newer) == message


@pytest.mark.parametrize("message", SPECIMENS, ids=names(SPECIMENS))
def test_the_newer_side_fills_in_what_the_older_side_does_not_send(message: Any) -> None:
    values = msgspec.msgpack.decode(body_of(message))
    fields = type(message).__struct_fields__
    defaults = type(message).__struct_defaults__
    optional = [
        field
        for field, default in zip(fields[len(fields) - len(defaults) :], defaults, strict=True)
        if default is not msgspec.NODEFAULT and fields.index(field) > fields.index("rid")
    ]
    while optional and fields[len(values) - 2] == optional[-1]:  # less the tag, counted from 0
        missing = optional.pop()
        del values[-1]
        older = decoder_of(message)(msgspec.msgpack.encode(values))
        assert getattr(older, missing) == _default_of(type(message), missing)
        assert older.rid == message.rid


@pytest.mark.parametrize("message", SPECIMENS, ids=names(SPECIMENS))
def test_a_newer_class_of_the_same_name_reads_what_this_version_sends(message: Any) -> None:
    newer = msgspec.defstruct(
        type(message).__name__,
        [("added", int, 42)],
        bases=(type(message),),
        tag=type(message).__name__,
        kw_only=True,
    )
    read: Any = msgspec.msgpack.decode(body_of(message), type=newer)
    assert read.added == 42
    for field in type(message).__struct_fields__:
        assert getattr(read, field) == getattr(message, field)
    sent = body_of(newer(**msgspec.structs.asdict(message), added=9))
    assert decoder_of(message)(sent) == message


def test_a_field_that_is_put_in_the_middle_would_be_noticed() -> None:
    values = msgspec.msgpack.decode(body_of(REQUESTS[0]))
    moved = msgspec.msgpack.encode([*values[:3], 7, *values[3:]])
    with pytest.raises(frames.ProtocolError):
        frames.decode_request(moved)


def _with_fields_added(value: Any) -> Any:
    """The same as plain values, with a field more in it and in every struct inside."""
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        fields = {name: _with_fields_added(each) for name, each in fields.items()}
        config = value.__struct_config__
        if config.array_like:
            return [*filter(None, [config.tag]), *fields.values(), ADDED]
        return {**fields, "added": ADDED}
    if isinstance(value, list | tuple):
        return [_with_fields_added(each) for each in value]
    return value


def _default_of(struct: type[msgspec.Struct], field: str) -> Any:
    (found,) = (each for each in msgspec.structs.fields(struct) if each.name == field)
    factory = found.default_factory
    return found.default if factory is msgspec.NODEFAULT else factory()

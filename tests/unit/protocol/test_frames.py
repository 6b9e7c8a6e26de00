"""Frames: whole, cut anywhere, several at once, too large, and hostile."""

from __future__ import annotations

import io
import struct
from multiprocessing.connection import Connection
from os import pipe

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import PayloadTooLarge, ProtocolError
from taskq.protocol import frames as wire
from taskq.protocol.base import Failed
from taskq.protocol.consuming import Claim, Claimed
from taskq.protocol.operating import Ping
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from tests.kit.messages import naming

PING = bytes(wire.encode(Ping(rid=7)))


def bodies(reader: wire.FrameReader, *chunks: bytes) -> list[bytes]:
    return [bytes(body) for chunk in chunks for body in reader.feed(chunk)]


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_frames_survive_any_cutting(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(wire.frame(body) for body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert bodies(wire.FrameReader(), *chunks) == frames


def test_what_cannot_be_encoded_leaves_nothing_behind() -> None:
    out = bytearray(b"before")
    with pytest.raises(UnicodeEncodeError):
        wire.append(out, Failed(error="TaskqError", text="\udcff"))
    assert out == b"before"


def test_frames_arrive_byte_by_byte_with_both_kinds_of_header() -> None:
    stream = wire.frame(b"short") + struct.pack("!iQ", -1, 4) + b"long" + wire.frame(b"")
    reader = wire.FrameReader()
    assert bodies(reader, *(bytes([byte]) for byte in stream)) == [b"short", b"long", b""]
    assert reader.missing == 0


def test_the_frames_are_those_of_multiprocessing() -> None:
    read_end, write_end = pipe()
    ours, theirs = Connection(read_end, writable=False), Connection(write_end, readable=False)
    with ours, theirs:
        theirs.send_bytes(b"hello")
        raw = io.FileIO(ours.fileno(), closefd=False).read(64)
    assert raw is not None
    assert bodies(wire.FrameReader(), raw) == [b"hello"]


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("!i", -2),
        struct.pack("!i", -(2**31)),
        struct.pack("!i", 2**31 - 1),
        struct.pack("!iQ", -1, 2**64 - 1),
        struct.pack("!iQ", -1, 1001),
        struct.pack("!i", 1001),
    ],
)
def test_67_68_a_bad_length_is_refused_before_anything_is_kept(header: bytes) -> None:
    reader = wire.FrameReader(1000)
    with pytest.raises(ProtocolError):
        reader.feed(header)
    assert reader.missing == 0


def test_a_frame_of_exactly_the_limit_passes() -> None:
    assert bodies(wire.FrameReader(1000), wire.frame(b"x" * 1000)) == [b"x" * 1000]


def test_the_reader_says_how_much_is_missing() -> None:
    reader = wire.FrameReader()
    assert reader.feed(wire.frame(b"x" * 100)[:54]) == []
    assert reader.missing == 50


@given(st.binary(max_size=200))
def test_67_random_bytes_are_frames_or_a_protocol_error(data: bytes) -> None:
    try:
        for body in wire.FrameReader(100).feed(data):
            wire.decode_request(body)
    except ProtocolError:
        pass


def test_a_request_arrives_as_it_was_sent() -> None:
    request = Enqueue(
        rid=3, queue="q", task="t", options=Options(retries=2), calls=[Call("a", b"\0\1")]
    )
    (body,) = wire.FrameReader().feed(wire.encode(request))
    assert wire.decode_request(body) == request


def test_replies_are_joined_into_one_buffer() -> None:
    out = bytearray()
    wire.append(out, Claimed(messages=[], rid=1))
    wire.append(out, Failed(error="LeaseLost", text="late", rid=2))
    replies = [wire.decode_reply(body) for body in wire.FrameReader().feed(out)]
    assert replies == [Claimed(messages=[], rid=1), Failed(error="LeaseLost", text="late", rid=2)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80\x05K\x01.",  # a pickle
        b"\xc1",
        PING[4:-1] + b"\xc0",
        wire.encode(Claimed(messages=[]))[4:],  # a reply is no request
        b"\x93\xa4Nope\x00\x00",
        b"\x95\xa5Claim\x01\xa1q\x01\x01",  # queues must be a list
        b"\x94" * 5000,
        b"\x92\xa4Ping\xa1\xff",
    ],
)
def test_66_67_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.decode_request(body)


def test_a_request_is_no_reply() -> None:
    with pytest.raises(ProtocolError):
        wire.decode_reply(PING[4:])


def test_54_a_request_over_the_limit_is_refused_where_it_is_made() -> None:
    with pytest.raises(PayloadTooLarge, match=naming("10")):
        wire.encode(Claim(queues=["a" * 100], n=1, wait=0), max_frame=10)


def test_67_an_error_does_not_repeat_all_that_came() -> None:
    with pytest.raises(ProtocolError) as caught:
        wire.decode_request(msgspec.msgpack.encode(["x" * 10_000_000]))
    assert len(str(caught.value)) < 300

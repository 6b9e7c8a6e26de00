"""Frames and messages: bytes on a socket to the structs of `taskq.protocol` and back.

A frame is that of `multiprocessing.connection`: a signed 32-bit big-endian length, then the body; a
length of -1 means that an unsigned 64-bit length follows. The body is one MessagePack value. There
is no I/O here, so the broker and the client share it.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import cast

import msgspec

from taskq.errors import PayloadTooLarge, ProtocolError
from taskq.protocol import consuming, operating, producing
from taskq.protocol.base import Done, Failed, Reply, Request

MAX_PAYLOAD = 64 * 2**20
MAX_FRAME = MAX_PAYLOAD + 2**20
MAX_REPLY = 2**31 - 1

_QUOTED = 200  # characters of an error of the decoder
_HEADER = Layout("!i")
_LONG_HEADER = Layout("!iQ")
_header_at = _HEADER.unpack_from
_put_header = _HEADER.pack_into

AnyRequest = producing.Requests | consuming.Requests | operating.Requests
AnyReply = Failed | Done | producing.Replies | consuming.Replies | operating.Replies

_encoder = msgspec.msgpack.Encoder()
_encode_into = _encoder.encode_into
_request_decoder = msgspec.msgpack.Decoder(AnyRequest)
_reply_decoder = msgspec.msgpack.Decoder(AnyReply)


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        max_frame: bytes of the largest body that is accepted.
    """

    __slots__ = ("_need", "_partial", "max_frame")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame
        self._partial: bytearray | None = None
        self._need = 0

    @property
    def missing(self) -> int:
        """How many bytes the frame that has begun still lacks, as far as is known."""
        return 0 if self._partial is None else self._need - len(self._partial)

    def feed(self, data: bytes | bytearray | memoryview) -> list[memoryview]:
        """The bodies that `data` completes. They are views of `data`: use them before it changes.

        Raises:
            ProtocolError: a length is negative or over `max_frame`. Nothing was kept of that frame.
        """
        if self._partial is not None:
            self._partial += data
            if len(self._partial) < self._need:
                return []
            data, self._partial = self._partial, None
        view = memoryview(data)
        end = len(view)
        frames: list[memoryview] = []
        position = 0
        while end - position >= 4:
            (size,) = _header_at(view, position)
            start = position + 4
            if not 0 <= size <= self.max_frame:
                if end - position < 12 and size == -1:
                    break
                start, size = self._long_header(view, position, size)
            stop = start + size
            if stop > end:
                self._keep(view[position:], stop - position)
                return frames
            frames.append(view[start:stop])
            position = stop
        if position < end:
            self._keep(view[position:], 4 if end - position < 4 else 12)
        return frames

    def _keep(self, rest: memoryview, need: int) -> None:
        self._partial = bytearray(rest)
        self._need = need

    def _long_header(self, view: memoryview, position: int, size: int) -> tuple[int, int]:
        if size == -1:
            _, size = _LONG_HEADER.unpack_from(view, position)
            if size <= self.max_frame:
                return position + 12, size
        if size < 0:
            raise ProtocolError(f"a frame has the impossible length {size}; the peer is not taskq")
        raise ProtocolError(
            f"a frame of {size:,} bytes is over the limit of {self.max_frame:,}; "
            "send less at a time, or keep large data elsewhere and pass its place"
        )


def frame(body: bytes) -> bytes:
    """`body` with its header before it."""
    return _HEADER.pack(len(body)) + body


def append(out: bytearray, message: Request[Reply] | Reply) -> None:
    """Append the frame of `message` to `out`.

    Raises:
        PayloadTooLarge: the frame would be longer than its header can say.
        UnicodeEncodeError: a text of the message has half of a surrogate pair.

    After an exception `out` is unchanged.
    """
    start = len(out)
    out += b"\0\0\0\0"
    try:
        _encode_into(message, out, -1)
    except BaseException:
        del out[start:]
        raise
    size = len(out) - start - 4
    if size > MAX_REPLY:
        del out[start:]
        raise PayloadTooLarge(
            f"a message of {size:,} bytes does not fit into a frame; ask for less"
        )
    _put_header(out, start, size)


def encode(message: Request[Reply] | Reply, max_frame: int = MAX_FRAME) -> bytearray:
    """The frame of `message`, header included.

    Raises:
        PayloadTooLarge: the body has more than `max_frame` bytes.
    """
    out = bytearray(4)
    _encode_into(message, out, 4)
    size = len(out) - 4
    if size > max_frame:
        raise PayloadTooLarge(
            f"a request of {size:,} bytes is over the limit of {max_frame:,}; "
            "send less at a time, or keep large data elsewhere and pass its place"
        )
    _put_header(out, 0, size)
    return out


def decode_request(body: bytes | memoryview) -> AnyRequest:
    """The request in a frame. Raises `ProtocolError` if it is none."""
    try:
        return cast("AnyRequest", _request_decoder.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # the error may quote what came, in full
        why = str(error)[:_QUOTED]
        raise ProtocolError(f"not a request of this version of taskq: {why}") from None


def decode_reply(body: bytes | memoryview) -> AnyReply:
    """The reply in a frame. Raises `ProtocolError` if it is none."""
    try:
        return cast("AnyReply", _reply_decoder.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"not a reply of this version of taskq: {error}") from None

"""Messages of a child to its launcher: one JSON line each, over a socket pair."""

from __future__ import annotations

import socket
from contextlib import suppress

import msgspec


class Hello(msgspec.Struct, tag=True):
    """The app is loaded and the child is registered at the broker."""

    name: str
    url: str
    queues: list[str]
    tasks: list[str]


class Loaded(msgspec.Struct, tag=True):
    """The app is loaded; the child waits until the launcher lets it go on."""


class Unusable(msgspec.Struct, tag=True):
    """The app could not be loaded, or its broker cannot be used."""

    sentence: str
    traceback: str


class Unreachable(msgspec.Struct, tag=True):
    """No broker answered within the reconnect budget, or it refused us."""

    sentence: str


class Armed(msgspec.Struct, tag=True):
    """The slot holds a deadline that the launcher is not waiting for yet."""


class Drained(msgspec.Struct, tag=True):
    """Nothing is left to do in burst mode. `left`: sentences on what this worker cannot do."""

    left: list[str] = []


class Left(msgspec.Struct, tag=True):
    """All is settled; the process ends, as soon as the threads and processes of its tasks have."""


Note = Hello | Loaded | Unusable | Unreachable | Armed | Drained | Left

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode


def send(channel: socket.socket, note: Note) -> None:
    """Send one note; a launcher that is gone is no error here."""
    with suppress(OSError):
        channel.sendall(_encode(note) + b"\n")


class NoteReader:
    """Takes whole notes out of a stream of bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Note]:
        """The notes that are complete with `data`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_decode(line) for line in lines]

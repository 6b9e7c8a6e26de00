"""The four bytes that begin a payload: format, codec, and the Python that made it."""

from __future__ import annotations

import sys

from taskq.errors import SerializationError

FORMAT = 1
HEAD = 20  # bytes before the body: 4 of header, 16 of MAC

PYTHON = bytes(sys.version_info[:2])
PICKLE = bytes([FORMAT, ord("p")]) + PYTHON
CLOUD = bytes([FORMAT, ord("c")]) + PYTHON
VALUE = bytes([FORMAT, ord("v")]) + PYTHON
JSON = bytes([FORMAT, ord("j")]) + PYTHON


def check_header(what: str, header: bytes) -> None:
    """Check that this process can read what follows.

    Args:
        what: begins the sentence of an error.

    Raises:
        SerializationError: another format, an unknown codec, or code of another Python.
    """
    if header[0] != FORMAT:
        raise SerializationError(
            f"{what} has payload format {header[0]} and this taskq reads {FORMAT}; "
            "run the same version of taskq on both sides"
        )
    if header[1:2] in b"cv" and header[2:4] != PYTHON:
        raise SerializationError(
            f"{what} holds code of Python {header[2]}.{header[3]} and this is Python "
            f"{PYTHON[0]}.{PYTHON[1]}; run the same Python on both sides, or put the code into "
            "a module that both can import"
        )
    if header[1:2] not in b"pcvj":
        raise SerializationError(f"{what} has the unknown codec {header[1:2]!r}")


def carries_code(payload: bytes) -> bool:
    """Whether a call brings its function along."""
    return payload[1:2] == b"v"


def serializer_of(payload: bytes) -> str:
    """The serializer of a call: its result is encoded alike."""
    return "json" if payload[1:2] == b"j" else "pickle"

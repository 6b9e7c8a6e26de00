"""Signatures: a keyed BLAKE2b over what a payload belongs to and what it holds."""

from __future__ import annotations

import hashlib

SCOPES_KEPT = 1024  # pre-keyed hashes, one a (kind, queue, task)

_LARGE = 16_384  # bytes from which on a second hash costs less than it saves


class Scopes:
    """The beginnings of signatures, one for each kind, queue and task. Thread-safe.

    Args:
        key: signs; at most 64 bytes.
    """

    __slots__ = ("_base", "_known")

    def __init__(self, key: bytes) -> None:
        self._base = hashlib.blake2b(key=key, digest_size=16)
        self._known: dict[tuple[str, str, str], hashlib.blake2b] = {}

    def of(self, kind: str, queue: str, task: str) -> hashlib.blake2b:
        """The beginning of every signature of that kind, queue and task; it is only copied from."""
        parts = (kind, queue, task)
        scope = self._known.get(parts)
        if scope is None:
            scope = self._base.copy()
            for part in parts:
                data = part.encode()
                scope.update(len(data).to_bytes(4) + data)
            if len(self._known) >= SCOPES_KEPT:
                self._known.clear()
            self._known[parts] = scope  # only now: other threads copy whatever they find here
        return scope


def sign(scope: hashlib.blake2b, id: str, header: bytes, body: bytes) -> bytes:
    """The signature of one payload: 16 bytes."""
    mac = scope.copy()
    data = id.encode()
    size = len(body)
    mac.update(len(data).to_bytes(4) + data + header + size.to_bytes(8))
    mac.update(body if size < _LARGE else hashlib.sha256(body).digest())
    return mac.digest()

"""The handshake of every connection: both sides prove that they have the key.

    client                                   broker
      hello (magic, version, nonce)  ──────▶
                                     ◀──────  hello (magic, version, nonce)
      proof ("client")               ──────▶          checked, or closed without a word
                                     ◀──────  proof ("server")
      checked

A proof is HMAC-SHA256, under the key, over a label, both versions, the role, both nonces and, on
unix sockets, the address. The role keeps a proof from being sent back to the one who made it, and
the address keeps somebody who listens elsewhere from passing it on. There is no I/O here.

A broker that cannot finish a handshake for a reason of its own (it ends, too many others are in
theirs, the time is over) says `busy` after the hellos before it closes, so that a client does not
take that for a refusal.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from taskq.errors import AuthenticationFailed, ProtocolError

VERSION = 2
MAX_FRAME = 1024
DEADLINE = 5.0  # seconds for the whole handshake

BUSY = b"busy"

_LABEL = b"taskq handshake"
_MAGIC = b"taskq"
_NONCE = 32
_HELLO = len(_MAGIC) + 2 + _NONCE


def _hello(version: int, nonce: bytes) -> bytes:
    return _MAGIC + version.to_bytes(2, "big") + nonce


def _parse_hello(body: bytes) -> tuple[int, bytes]:
    # only the magic and the version have the same place in every version of the handshake
    if not body.startswith(_MAGIC) or len(body) < len(_MAGIC) + 2:
        raise ProtocolError("the peer does not speak taskq's protocol")
    version = int.from_bytes(body[len(_MAGIC) : len(_MAGIC) + 2], "big")
    if version == VERSION and len(body) != _HELLO:
        raise ProtocolError("the peer's greeting is malformed")
    return version, body[len(_MAGIC) + 2 :]


def _proof(key: bytes, role: bytes, client: bytes, server: bytes, address: str) -> bytes:
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in (_LABEL, role, client, server, os.fsencode(address)):
        mac.update(len(part).to_bytes(4, "big") + part)
    return mac.digest()


class ClientHandshake:
    """The client's side. Feed it the broker's frames; send what it returns.

    Args:
        key: the authentication key.
        address: the real path of the unix socket, or empty.
    """

    def __init__(self, key: bytes, address: str = "") -> None:
        self._key = key
        self._address = address
        self._mine = _hello(VERSION, os.urandom(_NONCE))
        self._theirs = b""
        self.done = False

    def hello(self) -> bytes:
        """The first frame's body."""
        return self._mine

    @property
    def has_proved(self) -> bool:
        """Whether our proof is out: a broker that hangs up then, and says nothing, refuses our key."""
        return bool(self._theirs)

    def receive(self, body: bytes) -> bytes:
        """Take a frame's body; what to send next, if anything.

        Raises:
            ProtocolError: the peer is no broker, or one of another version.
            AuthenticationFailed: the peer does not have our key.
            ConnectionResetError: the broker has no time for us now.
        """
        if not self._theirs:
            version, _ = _parse_hello(body)
            if version != VERSION:
                raise ProtocolError(
                    f"the broker speaks protocol {version} and this taskq speaks {VERSION}; "
                    "use the same version of taskq on both sides and restart the broker"
                )
            self._theirs = bytes(body)
            return _proof(self._key, b"client", self._mine, self._theirs, self._address)
        if body == BUSY:
            raise ConnectionResetError(
                "the broker closed the connection during the handshake: it ends, or is too busy"
            )
        wanted = _proof(self._key, b"server", self._mine, self._theirs, self._address)
        if not hmac.compare_digest(wanted, body):
            raise AuthenticationFailed("the peer that answers as the broker does not have our key")
        self.done = True
        return b""


class ServerHandshake:
    """The broker's side. Feed it the client's frames; send what it returns."""

    def __init__(self, key: bytes, address: str = "") -> None:
        self._key = key
        self._address = address
        self._mine = _hello(VERSION, os.urandom(_NONCE))
        self._theirs = b""
        self.done = False

    @property
    def has_greeted(self) -> bool:
        """Whether the hellos are exchanged."""
        return bool(self._theirs)

    def receive(self, body: bytes) -> bytes:
        """Take a frame's body; what to send next.

        A client of another version gets our hello, which has our version, and nothing after that.

        Raises:
            ProtocolError: the peer is no client, or one of another version.
            AuthenticationFailed: the peer does not have our key.
        """
        if self.done:
            raise ProtocolError("a client did not wait for the end of the handshake")
        if not self._theirs:
            _parse_hello(body)
            self._theirs = bytes(body)
            return self._mine
        version, _ = _parse_hello(self._theirs)
        if version != VERSION:
            raise ProtocolError(f"a client speaks protocol {version}, this broker {VERSION}")
        wanted = _proof(self._key, b"client", self._theirs, self._mine, self._address)
        if not hmac.compare_digest(wanted, body):
            raise AuthenticationFailed("a client does not have our key")
        self.done = True
        return _proof(self._key, b"server", self._theirs, self._mine, self._address)

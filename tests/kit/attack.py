"""A broker under attack: raw sockets to it, authenticated ones, and whether it still serves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taskq.broker.server import connect
from taskq.protocol.base import Request
from taskq.protocol.frames import MAX_REPLY, AnyReply, FrameReader, decode_reply, encode
from taskq.protocol.operating import Ping, Pong
from tests.kit.broker import BrokerProcess
from tests.kit.files import short_directory
from tests.kit.processes import usage_of

PATIENCE = 20.0  # seconds for one answer


class BrokerUnderAttack(BrokerProcess):
    """A broker that one authenticated client has known since its start."""

    known: AuthenticatedSocket

    def wait_until_ready(self) -> None:
        """Wait until it serves, and connect the client that is known."""
        super().wait_until_ready()
        self.known = self.authenticate()

    def raw_connect(self) -> socket.socket:
        """A connection on which nothing has been sent."""
        family = socket.AF_UNIX if self.listen == "unix" else socket.AF_INET
        sock = socket.socket(family)
        sock.connect(self.address)  # without a timeout it waits for a place in a full backlog
        sock.settimeout(PATIENCE)
        return sock

    def authenticate(self, timeout: float = PATIENCE) -> AuthenticatedSocket:
        """A connection that has proved to have the key."""
        sock = connect(self.address, self.key, timeout)
        sock.settimeout(PATIENCE)
        return AuthenticatedSocket(sock)

    def serves(self) -> bool:
        """Whether it answers its known client, and a new one."""
        try:
            newcomer = self.authenticate()
            try:
                return all(client.pings() for client in (self.known, newcomer))
            finally:
                newcomer.close()
        except (OSError, EOFError):
            return False

    def memory(self) -> int:
        """Bytes of it that are in memory."""
        return usage_of(self.pid).memory

    def descriptors(self) -> int:
        """How many it has open; 0 where that cannot be seen."""
        place = Path(f"/proc/{self.pid}/fd")
        return len(list(place.iterdir())) if place.is_dir() else 0

    def finish(self) -> None:
        """Stop it; it must end cleanly."""
        self.known.close()
        code = self.stop()
        assert code == 0, self.output


class AuthenticatedSocket:
    """An authenticated socket on which anything can be sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._reader = FrameReader(MAX_REPLY)
        self._bodies: list[bytes] = []

    def send(self, data: bytes | bytearray) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def ask(self, request: Request[Any]) -> None:
        """Send a well-formed request."""
        self.send(encode(request))

    def receive(self) -> AnyReply:
        """The next reply; `EOFError` when the broker has hung up."""
        while not self._bodies:
            data = self.sock.recv(2**16)
            if not data:
                raise EOFError
            self._bodies += map(bytes, self._reader.feed(data))
        return decode_reply(self._bodies.pop(0))

    def pings(self) -> bool:
        """Whether a `Ping` is answered."""
        self.ask(Ping(rid=99))
        return isinstance(self.receive(), Pong)

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


def read_to_end(sock: socket.socket) -> bytes:
    """All that the broker still sends on a connection, until it hangs up."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := sock.recv(2**16):
            data += piece
    return data


def is_closed(sock: socket.socket) -> bool:
    """Whether the broker has closed that connection by now."""
    try:
        return not sock.recv(2**16, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@contextmanager
def broker_under_attack(listen: str = "unix", **environment: str) -> Iterator[BrokerUnderAttack]:
    """A broker for the length of a block, at the end of which it must stop cleanly."""
    with short_directory() as path:
        broker = BrokerUnderAttack(path, listen=listen, environment=environment)
        try:
            broker.start()
            yield broker
            broker.finish()
        finally:
            broker.close()

"""A real broker process under attack: raw sockets, authenticated ones, and what it costs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taskq.broker.server import connect
from taskq.protocol.base import Request
from taskq.protocol.frames import MAX_REPLY, AnyReply, FrameReader, decode_reply, encode
from taskq.protocol.operating import Ping, Pong
from tests.support import short_directory

ROOT = Path(__file__).resolve().parents[2]


class Fort:
    """A broker in the foreground of a short directory.

    Args:
        path: the broker directory.
        listen: as `--listen`.
        environment: more of it.
    """

    def __init__(self, path: Path, listen: str = "unix", **environment: str) -> None:
        self.path = path
        self.listen = listen
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        reader, writer = os.pipe()
        command = [sys.executable, "-P", "-m", "taskq.broker", "--dir", str(self.path)]
        command += ["--listen", self.listen, "--ready-fd", str(writer)]
        with (self.path / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stderr=log, pass_fds=(writer,)
            )
        os.close(writer)
        with open(reader) as pipe:
            assert pipe.readline() == "ready\n", self.log()
        self.known = self.enter()

    @property
    def address(self) -> str | tuple[str, int]:
        """Where it listens."""
        if self.listen == "unix":
            return str(self.path / "sock")
        host, _, port = self.listen.removeprefix("tcp://").rpartition(":")
        return host, int(port)

    def key(self) -> bytes:
        """Its authentication key."""
        return (self.path / "key").read_bytes().strip()

    def log(self) -> str:
        """What it has logged."""
        return (self.path / "broker.log").read_text()

    def knock(self) -> socket.socket:
        """A raw connection: nothing has been said yet."""
        family = socket.AF_UNIX if self.listen == "unix" else socket.AF_INET
        sock = socket.socket(family)
        sock.connect(
            self.address
        )  # waits for a place in a full line, which it would not with a time
        sock.settimeout(20)
        return sock

    def enter(self, timeout: float = 20.0) -> Insider:
        """A connection that has proved to have the key."""
        sock = connect(self.address, self.key(), timeout)
        sock.settimeout(20)
        return Insider(sock)

    def serves(self) -> bool:
        """Whether the process still runs and answers its known client, and a new one."""
        try:
            newcomer = self.enter()
            answers = [client.pings() for client in (self.known, newcomer)]
            newcomer.close()
        except (OSError, EOFError):
            return False
        return all(answers)

    def memory(self) -> int:
        """Bytes of it that are in memory."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGESIZE")

    def descriptors(self) -> int:
        """How many it has open; 0 where that cannot be seen."""
        place = Path(f"/proc/{self.process.pid}/fd")
        return len(list(place.iterdir())) if place.is_dir() else 0

    def close(self) -> None:
        """Stop it; it must end cleanly."""
        self.known.close()
        self.process.terminate()
        try:
            code = self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
        assert code == 0, self.log()


class Insider:
    """An authenticated socket on which anything can be sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._reader = FrameReader(MAX_REPLY)
        self._bodies: list[bytes] = []

    def send(self, data: bytes | bytearray) -> None:
        """Bytes as they are."""
        self.sock.sendall(data)

    def ask(self, request: Request[Any]) -> None:
        """A request as it should be."""
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


def last_words(sock: socket.socket) -> bytes:
    """All that the broker still says on a connection, until it hangs up."""
    said = b""
    try:
        while data := sock.recv(2**16):
            said += data
    except ConnectionResetError:
        pass
    return said


def is_over(sock: socket.socket) -> bool:
    """Whether the broker has closed that connection by now."""
    try:
        return not sock.recv(2**16, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@contextmanager
def besieged(listen: str = "unix", **environment: str) -> Iterator[Fort]:
    """A broker for the length of a block."""
    with short_directory() as path:
        fort = Fort(path.resolve(), listen, **environment)
        try:
            yield fort
        finally:
            fort.close()


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])

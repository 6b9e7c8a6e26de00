"""Where a broker listens, and how to listen there and get there: unix sockets and TCP."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

Address = str | tuple[str, int]
"""The path of a unix socket, or host and port."""

_MAX_PATH = 107 if sys.platform == "linux" else 103
_BACKLOG = 512


def parse_tcp(url: str) -> tuple[str, int]:
    """Host and port of `tcp://HOST:PORT`. Raises `ValueError` if it is not of that form."""
    host, colon, port = url.removeprefix("tcp://").rstrip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not url.startswith("tcp://") or not colon or not host or not port.isdecimal():
        raise ValueError(f"{url!r} is not of the form tcp://HOST:PORT")
    if int(port) > 65535:
        raise ValueError(f"{url!r} has no valid port; ports end at 65535")
    return host, int(port)


def url_of(address: Address) -> str:
    """The URL under which clients find an address."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def bound_name(address: Address) -> str:
    """What the handshake binds a proof to: the real path of a unix socket; nothing for TCP, whose
    address looks different from the two ends of a NAT."""
    if not isinstance(address, str):
        return ""
    path = Path(address)
    return str(Path(os.path.realpath(path.parent)) / path.name)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that host address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _reachable(path: str) -> Iterator[str]:
    """A name for a socket path that fits into the kernel's structure."""
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield path
        return
    if sys.platform != "linux":
        raise OSError(f"the socket path {path} has more than {_MAX_PATH} bytes; use a shorter one")
    fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{os.path.basename(path)}"
    finally:
        os.close(fd)


def listen(address: Address) -> socket.socket:
    """A socket that listens there, non-blocking. A stale unix socket is replaced: the caller holds
    the lock that says it is stale.

    Raises:
        OSError: the address is in use or cannot be used.
    """
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            with _reachable(address) as name:
                sock.bind(name)
            os.chmod(address, 0o600)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.create_server(address, family=family, backlog=_BACKLOG)
    sock.setblocking(False)
    return sock


def dial(address: Address, timeout: float) -> socket.socket:
    """A blocking socket that is connected there, with `timeout` seconds set.

    Raises:
        OSError: nobody listens there, or no answer came in time.
    """
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            with _reachable(address) as name:
                sock.connect(name)
        except BaseException:
            sock.close()
            raise
        return sock
    sock = socket.create_connection(address, timeout)
    try:
        tune(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def tune(sock: socket.socket) -> None:
    """Small messages at once, and a peer that vanished without a word noticed: within 2 min where
    it owes nothing, in about 15 where it had not yet acknowledged what was sent."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""Brokers in a process of their own: embedded (started by us), on a unix socket, or on TCP."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from taskq.backends.autostart import IDLE_EXIT, start_broker, start_lock, wait_for_starting
from taskq.backends.channel import Channel
from taskq.backends.greeting import Greeting
from taskq.backends.reconnect import reconnect_budget
from taskq.environment import InvalidVariable
from taskq.errors import AuthenticationFailed, BrokerRunning, BrokerUnavailable
from taskq.journal import DURABILITIES
from taskq.protocol.base import R, Request
from taskq.protocol.frames import MAX_PAYLOAD
from taskq.transport.address import Address, bound_name, dial, url_of
from taskq.transport.client_handshake import greet
from taskq.transport.directory import BrokerDirectory
from taskq.transport.keys import has_payload_key, payload_key, read_key
from taskq.transport.lock import holder_of, key_of

HANDSHAKE = 5.0  # seconds for one attempt to connect; to start a broker, if there is one only
START = 30.0  # seconds that a broker may take to load its journal
_LOOK_AGAIN = 0.05  # seconds between two looks for a key file
KEY_BACK = 5.0  # seconds in which a broker puts its key file back
_LEAST = 0.1  # seconds for what is left to do when the time of a call is over
FIRST_PATIENCE = 5.0  # seconds to look for a broker that has never been seen


def _default_durability() -> str:
    durability = os.environ.get("TASKQ_DURABILITY") or "fsync"
    if durability not in DURABILITIES:
        raise InvalidVariable(f"TASKQ_DURABILITY must be fsync, os or none, not {durability!r}")
    return durability


class SocketBroker:
    """A broker behind a socket; see `port.Broker`.

    Args:
        address: where it listens.
        authkey_file: its key.
    """

    max_payload = MAX_PAYLOAD

    def __init__(self, address: Address, authkey_file: Path) -> None:
        self.url = url_of(address)
        self._address = address
        self._authkey_file = authkey_file
        self._patience = reconnect_budget()
        self._first_patience = FIRST_PATIENCE
        self._seen = False
        self._payload_key: bytes | None = None
        self._derived_from: bytes | None = None  # what the payload key was made of, if it was
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def payload_key(self) -> bytes:
        """The key that signs calls and results; read once."""
        # without a lock, which a fork in another thread could leave taken for ever
        if self._payload_key is None:
            authkey = self._authkey()
            if not has_payload_key():
                self._derived_from = authkey
            self._payload_key = payload_key(authkey)
        return self._payload_key

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """`Connection.call` on this thread's own connection."""
        local = self._local
        # taken out meanwhile: a call that a signal handler or `__del__` makes in the middle of this
        # one would read our reply, so it gets a connection of its own
        channel: Channel | None = local.__dict__.pop("channel", None)
        if channel is None:
            began = time.monotonic()
            channel = self._open(self._patience, timeout=timeout)
            if timeout is not None:
                timeout = max(began + timeout - time.monotonic(), _LEAST)
        try:
            return channel.call(request, timeout=timeout)
        finally:
            local.channel = channel

    def connect(
        self,
        greeting: Callable[[], Request[R]] | None = None,
        greeted: Callable[[R], None] | None = None,
        *,
        patience: float | None = None,
    ) -> Channel:
        """Open a connection of the caller's own; see `port.Broker.connect`."""
        begin = None if greeting is None else Greeting(greeting, greeted)
        return self._open(self._patience if patience is None else patience, begin)

    def _open(
        self, budget: float, greeting: Greeting | None = None, timeout: float | None = None
    ) -> Channel:
        first = budget if self._seen else min(budget, self._first_patience)
        dial = self._dial if budget > 0 else self._dial_briefly
        return Channel(dial, self.url, greeting, patience=budget, first=first, timeout=timeout)

    def close(self) -> None:
        """Close this thread's connection."""
        channel = self._local.__dict__.pop("channel", None)
        if channel is not None:
            channel.close()

    def _dial(self, timeout: float, bounded: bool) -> socket.socket:
        """An authenticated socket, within `timeout` seconds; `bounded`: also if it has to start."""
        return self._connect_once(timeout)

    def _dial_briefly(self, timeout: float, bounded: bool) -> socket.socket:
        """`_dial` for a caller that must not be kept from its other duties."""
        return self._dial(timeout, bounded)

    def _connect_once(self, timeout: float) -> socket.socket:
        timeout = max(min(timeout, HANDSHAKE), _LEAST)
        sock = dial(self._address, timeout)
        try:
            authkey = self._authkey()
            if self._derived_from not in (None, authkey):
                # calls would be signed with the old key, and workers with the new one refuse them
                raise AuthenticationFailed(
                    f"the key {self._authkey_file} was replaced since this process read it; "
                    "restart the process, which then signs its calls with the new one"
                )
            greet(sock, authkey, bound_name(self._address), timeout)
        except BaseException:
            sock.close()
            raise
        self._seen = True
        return sock

    def _authkey(self) -> bytes:
        return read_key(self._authkey_file)


class UnixBroker(SocketBroker):
    """A broker on a unix socket, started by somebody else.

    `TASKQ_AUTHKEY_FILE` names its key file; default: `key` in the directory of the socket, which the
    broker makes at its first start.
    """

    def __init__(self, path: Path) -> None:
        path = path.expanduser().absolute()
        named = os.environ.get("TASKQ_AUTHKEY_FILE")
        super().__init__(str(path), Path(named).expanduser() if named else path.with_name("key"))
        self._path = path
        self._is_key_named = bool(named)

    def _authkey(self) -> bytes:
        deadline = time.monotonic() + KEY_BACK
        while not self._is_key_named and not os.path.lexists(self._authkey_file):
            if time.monotonic() >= deadline:
                if os.path.lexists(self._path):
                    break
                raise BrokerUnavailable(
                    f"no broker has run at {self.url} yet: there is neither a socket nor a key; "
                    "start one, or correct the path"
                )
            time.sleep(_LOOK_AGAIN)
        return super()._authkey()


class TcpBroker(SocketBroker):
    """A broker on TCP. `TASKQ_AUTHKEY_FILE` names its key file.

    Raises:
        AuthenticationFailed: that variable is not set.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        named = os.environ.get("TASKQ_AUTHKEY_FILE")
        if not named:
            raise AuthenticationFailed(
                f"{url_of(address)} wants a key: copy the file key of the broker's directory here, "
                "readable by you only, and set TASKQ_AUTHKEY_FILE to its path"
            )
        super().__init__(address, Path(named).expanduser())


class EmbeddedBroker(SocketBroker):
    """The broker of a directory, which is started where none is running.

    Args:
        directory: where it lives; made if it is missing.
        autostart: start one where none answers.
        durability: of a broker that we start; default: `TASKQ_DURABILITY`, else `"fsync"`.
        idle_exit: seconds without connections after which one that we started leaves.

    Raises:
        AuthenticationFailed: the directory is not ours alone.
        ValueError: an unknown durability.
    """

    def __init__(
        self,
        directory: Path,
        autostart: bool = True,
        *,
        durability: str | None = None,
        idle_exit: float = IDLE_EXIT,
    ) -> None:
        if durability is None:
            durability = _default_durability()
        elif durability not in DURABILITIES:
            raise ValueError(f"durability must be fsync, os or none, not {durability!r}")
        self._directory = BrokerDirectory(directory.expanduser().absolute())
        super().__init__(str(self._directory.socket), self._directory.path / "key")
        self.url = f"embedded:{self._directory.path}"
        self._autostart = autostart
        if autostart:
            self._first_patience = self._patience  # the place is right: we start what answers there
        self._durability = durability
        self._idle_exit = idle_exit

    def _dial(self, timeout: float, bounded: bool) -> socket.socket:
        return self._reach(timeout, timeout if bounded else max(timeout, START), bounded)

    def _dial_briefly(self, timeout: float, bounded: bool) -> socket.socket:
        return self._reach(timeout, HANDSHAKE, bounded)

    def _reach(self, timeout: float, start: float, bounded: bool) -> socket.socket:
        """An authenticated socket, if need be to a broker that is started.

        Args:
            timeout: seconds to connect.
            start: seconds for each step of a start: the right to it, and the broker itself.
            bounded: for all steps together.
        """
        try:
            return self._connect_once(timeout)
        except (ConnectionRefusedError, FileNotFoundError):
            if not self._autostart:
                raise
        deadline = time.monotonic() + start
        return self._start(lambda: max(deadline - time.monotonic(), 0.0) if bounded else start)

    def _start(self, left: Callable[[], float]) -> socket.socket:
        directory = BrokerDirectory(self._directory.path)  # somebody may have removed it
        with start_lock(directory, left()):
            wait_for_starting(directory, left())
            try:
                return self._connect_once(left())  # somebody else was first
            except (ConnectionRefusedError, FileNotFoundError):
                if (holder := holder_of(directory.path)) is not None:
                    # it ends, or its socket was removed and it has not put it back yet
                    place = f" here, but at {holder.url}" if holder.url else ""
                    raise ConnectionRefusedError(
                        f"the broker (pid {holder.pid or 'unknown'}) does not listen{place}"
                    ) from None
                start_broker(directory, self._durability, self._idle_exit, left())
        return self._connect_once(left())

    def _authkey(self) -> bytes:
        deadline = time.monotonic() + KEY_BACK
        while True:
            try:
                return key_of(self._directory)
            except BrokerRunning as error:
                if time.monotonic() >= deadline:
                    raise AuthenticationFailed(str(error)) from None
            time.sleep(_LOOK_AGAIN)

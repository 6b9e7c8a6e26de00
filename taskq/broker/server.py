"""`multiprocessing.managers.Server` with our loop in place of its threads, pickles and methods.

Of the stock server remain the constructor's contract, `address` and `serve_forever`. Its wire
methods (`create`, `shutdown`, `#GETVALUE` …) do not exist here: a request is one of the structs of
`taskq.protocol`, or the connection is closed.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing import managers
from pathlib import Path
from types import FrameType
from typing import Any

from taskq.broker.host import Host
from taskq.broker.limits import Limits
from taskq.broker.listener import Listener
from taskq.broker.loop import Loop
from taskq.broker.upkeep import Upkeep
from taskq.transport.address import Address, bound_name, dial, url_of
from taskq.transport.client_handshake import greet

SERIALIZER = "taskq"
SHARED = "engine"  # the one shared object of this manager


def connect(address: Address, authkey: bytes, timeout: float = 5.0) -> socket.socket:
    """An authenticated socket to the broker at `address`.

    Raises:
        AuthenticationFailed: wrong key, or a peer of another user.
        ProtocolError: the peer is no broker, or one of another version.
        OSError: nobody answers there.
    """
    sock = dial(address, timeout)
    try:
        greet(sock, authkey, bound_name(address), timeout)
    except BaseException:
        sock.close()
        raise
    return sock


# at import, since a manager's process may have been started by spawn or forkserver
managers.listener_client[SERIALIZER] = (Listener, connect)  # type: ignore[attr-defined]


class BrokerServer(managers.Server):
    """Serves the engine that `registry["engine"]` makes.

    Args:
        registry: `registry["engine"][0]()` returns the loaded `Host`.
        address: path of a unix socket, or host and port.
        authkey: the key that clients must prove to have.
        serializer: always `"taskq"`.
        limits: bounds on clients.
        idle_exit: seconds without connections after which `serve_forever` returns.
        key_file: where clients read the key; it is put back if it is gone.
    """

    public: list[str] = []
    fallback_mapping: dict[str, Callable[..., Any]] = {}
    listener: Listener
    address: Address
    authkey: bytes

    def __init__(
        self,
        registry: dict[str, Any],
        address: Any,
        authkey: bytes,
        serializer: str = SERIALIZER,
        *,
        limits: Limits | None = None,
        idle_exit: float | None = None,
        key_file: Path | None = None,
    ) -> None:
        # the host first: it holds the lock that allows us to replace a stale socket
        self.host: Host = registry[SHARED][0]()
        try:
            super().__init__(registry, address, authkey, serializer)
            key = bytes(self.authkey)
            self.loop = Loop(
                self.listener.socket, self.host, key, bound_name(self.address), limits, idle_exit
            )
            if (lock := self.host.lock) is not None:
                self.loop.look_after(Upkeep(lock, self.listener, key, key_file).look)
                is_at_home = self.address == str(lock.path.with_name("sock"))
                lock.serving("" if is_at_home else url_of(self.address))
        except BaseException:
            self.host.close()
            raise

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT, `stop`, or idleness; then close the journal.

        Raises:
            JournalError: a commit failed; its replies were not sent.
        """
        try:
            with self._signals():
                self.loop.run()
        finally:
            self.listener.close()
            self.host.close()

    def stop(self) -> None:
        """Make `serve_forever` return after the current tick; from any thread."""
        self.loop.stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop the loop, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(signum: int, frame: FrameType | None) -> None:
            self.stop()

        # `BaseManager.start` has its child ignore SIGINT, which belongs to the parent then
        wanted = [signal.SIGTERM, signal.SIGINT]
        before = {
            number: signal.signal(number, stop)
            for number in wanted
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        wakeup = signal.set_wakeup_fd(self.loop.wakeup_fd(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

"""The broker as a `multiprocessing.managers` manager: address, key, `start`, `connect`.

manager = BrokerManager(BrokerSettings(Path("state")))
manager.get_server().serve_forever()      # here, or
manager.start()                           # in a process of its own
"""

from __future__ import annotations

import contextlib
import gc
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.managers import BaseManager
from typing import TYPE_CHECKING, Any

from taskq.broker import server
from taskq.broker.host import Host
from taskq.broker.limits import Limits
from taskq.broker.settings import BrokerSettings
from taskq.clock import Clock
from taskq.errors import TaskqError
from taskq.texts import escape_controls
from taskq.transport.directory import BrokerDirectory
from taskq.transport.keys import read_key
from taskq.transport.lock import DirectoryLock, key_of

if TYPE_CHECKING:
    from taskq.engine.results import Retention


def open_host(settings: BrokerSettings) -> Host:
    """Lock the directory, open its journal and load the engine from it.

    Raises:
        AuthenticationFailed: the directory is not ours alone.
        BrokerRunning: another broker serves it.
        JournalError: the journal is damaged or newer than this taskq.
    """
    # here, since a client that only connects has no use for them
    from taskq.engine.capacity import Capacity
    from taskq.engine.engine import Engine
    from taskq.journal import open_journal

    directory = BrokerDirectory(settings.directory)
    lock = DirectoryLock(directory)
    # what is loaded is not garbage: without this every full collection would walk all messages
    gc.disable()
    try:
        journal = open_journal(directory.path, settings.durability)
        try:
            clock = Clock(not_before=journal.last_time())
            engine = Engine(
                Capacity(settings.max_messages or 0, settings.max_bytes or 0), _retention(settings)
            )
            journal.load(engine, clock.now())
            gc.freeze()
        except BaseException:
            journal.close()
            raise
    except BaseException:
        lock.release()
        raise
    finally:
        gc.enable()
    gc.set_threshold(50_000, 20, 100)
    return Host(
        engine,
        journal,
        clock,
        directory=escape_controls(str(directory.path)),  # its name need not be valid UTF-8
        lock=lock,
    )


def _retention(settings: BrokerSettings) -> Retention:
    from taskq.engine.results import IN_MEMORY, ON_DISK, Retention

    results, size = IN_MEMORY if settings.durability == "none" else ON_DISK
    if settings.max_results is not None:
        results = settings.max_results
    if settings.max_result_bytes is not None:
        size = settings.max_result_bytes
    return Retention(results, size)


class BrokerManager(BaseManager):
    """A manager whose server is the broker.

    Args:
        settings: how to run it.
        limits: bounds on clients.
        ctx: the multiprocessing context of `start`.

    Raises:
        AuthenticationFailed: the directory or the key file cannot be trusted.
        BrokerRunning: another broker serves the directory, and its key file is gone.
    """

    _Server = server.BrokerServer
    _process: Any

    def __init__(
        self,
        settings: BrokerSettings,
        limits: Limits | None = None,
        ctx: BaseContext | None = None,
    ) -> None:
        directory = BrokerDirectory(settings.directory)
        file = settings.authkey_file
        key = key_of(directory) if file is None else read_key(file, "--authkey-file")
        super().__init__(settings.address(directory), key, server.SERIALIZER, ctx)
        self._settings = settings
        self._limits = limits
        self._key = key
        self._key_file = directory.key_file if file is None else None
        self._registry = {server.SHARED: (partial(open_host, settings), (), None, None)}

    def get_server(self) -> server.BrokerServer:
        """A server in this process; call its `serve_forever`.

        Raises:
            BrokerRunning: another broker serves the directory.
            JournalError: the journal cannot be used.
            OSError: the address cannot be used.
        """
        return server.BrokerServer(
            self._registry,
            self.address,
            self._key,
            limits=self._limits,
            idle_exit=self._settings.idle_exit,
            key_file=self._key_file,
        )

    def connect(self) -> None:
        """See whether a broker with our key answers at the address.

        Raises:
            AuthenticationFailed: it refuses our key.
            OSError: nobody answers.
        """
        assert self.address is not None
        server.connect(self.address, self._key).close()  # type: ignore[arg-type]

    @staticmethod
    def _finalize_manager(process: Any, *args: Any) -> None:
        """End the process of `start`. The stock one would ask over the wire, in pickles."""
        process.terminate()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def describe(error: BaseException) -> str:
    """One sentence for what stops a broker."""
    if isinstance(error, TaskqError | ValueError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return f"the broker cannot start: {error.strerror}{place}"
    with contextlib.suppress(Exception):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__

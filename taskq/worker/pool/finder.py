"""A process that looks for a lost broker, and starts it if need be, so that the launcher never waits.

What may block (the start of a broker, the lock of another starter, a handshake with a broker that
does not answer) would make the launcher deaf to its signals. It has one thread, and keeps it that
way, so it forks a process for this.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import select
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Protocol

from taskq import errors
from taskq.backends.port import Broker
from taskq.errors import BrokerUnavailable, TaskqError
from taskq.worker.pool.child import die_with_parent
from taskq.worker.runtime import signals

_BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
_FOUND = b"found"
_fork = multiprocessing.get_context("fork")

log = logging.getLogger("taskq.worker")


class Finder(Protocol):
    """How the heartbeat looks for its broker; see `BrokerFinder`."""

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when the search ends; `None`: none goes on."""
        ...

    def found(self) -> bool:
        """Whether the broker answers; begins a search where none goes on, and never waits."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait for the end of the search that goes on."""
        ...

    def close(self) -> None:
        """Give up the search; in a forked child, only its descriptor."""
        ...


class BrokerFinder:
    """See the module.

    Args:
        broker: whom to look for; one that may be started.
        forget: closes, in the forked process, what belongs to the launcher.
    """

    def __init__(self, broker: Broker, forget: Callable[[], None]) -> None:
        self._broker = broker
        self._forget = forget
        self._launcher = os.getpid()
        self._process: BaseProcess | None = None
        self._reader = -1

    @property
    def pid(self) -> int | None:
        """The process that looks, while it does."""
        return None if self._process is None else self._process.pid

    def fileno(self) -> int | None:
        """See `Finder.fileno`."""
        return None if self._process is None else self._reader

    def found(self) -> bool:
        """See `Finder.found`.

        Raises:
            BrokerUnavailable: it does not answer now; ask again later.
            TaskqError: it refuses us.
        """
        if self._process is None:
            self._begin()
            return False
        try:
            answer = os.read(self._reader, select.PIPE_BUF)
        except BlockingIOError:
            return False
        self.close()
        if answer == _FOUND:
            return True
        name, _, sentence = answer.decode(errors="replace").partition(":")
        if not sentence:
            raise BrokerUnavailable("the process that looked for the broker was killed")
        raise errors.by_name(name)(sentence)

    def wait(self, seconds: float) -> None:
        """See `Finder.wait`."""
        if self._process is not None:
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            poll.poll(seconds * 1000)

    def close(self) -> None:
        """See `Finder.close`."""
        process, self._process = self._process, None
        if process is None:
            return
        os.close(self._reader)
        if os.getpid() == self._launcher:
            process.kill()
            process.join()
            process.close()

    def _begin(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        process = _fork.Process(
            target=self._look, args=(reader, writer), name="taskq-finder", daemon=False
        )
        # as for the children: a signal must not be taken by the copy of the launcher's handler
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            process.start()
        except OSError as error:
            os.close(reader)
            raise BrokerUnavailable(
                f"no process can be started that looks for the broker: {error.strerror or error}"
            ) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(writer)
        self._process, self._reader = process, reader

    def _look(self, reader: int, writer: int) -> None:
        """The life of the process."""
        signals.reset()
        os.close(reader)
        self._forget()
        die_with_parent(self._launcher)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            self._broker.connect(patience=0).close()
        except TaskqError as error:
            answer = f"{type(error).__name__}:{error}".encode()
        except Exception as error:
            log.exception(
                "the search for the broker crashed; this is a fault of taskq or of a library"
            )
            answer = f"{BrokerUnavailable.__name__}:the search for it crashed: {error!r}".encode()
        else:
            answer = _FOUND
        os.write(writer, answer[: select.PIPE_BUF])

"""Runs a broker in this process, from the settings to the exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable

from taskq.broker.manager import BrokerManager, describe
from taskq.broker.settings import BrokerSettings
from taskq.errors import AuthenticationFailed, BrokerRunning, BrokerUnavailable, TaskqError
from taskq.transport.address import url_of

# too many files, processes or too little memory at this moment
_SHORTAGES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR}
)

EXIT_CLEAN, EXIT_CRASH, EXIT_USAGE, EXIT_RUNNING = 0, 1, 2, 4

logger = logging.getLogger("taskq.broker")


def serve(
    settings: BrokerSettings,
    *,
    ready: Callable[[str], None] | None = None,
    failed: Callable[[Exception], None] | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or idleness.

    Args:
        settings: how to run the broker.
        ready: called with the URL for clients, once they can connect.
        failed: called with the reason when the broker cannot start.

    Returns:
        The exit code: 0 clean, 1 a crash or a journal that failed, 2 a directory or key file that
        cannot be used, 4 already running.
    """
    try:
        server = BrokerManager(settings).get_server()
    except (TaskqError, OSError, ValueError) as error:
        if failed is not None:
            failed(error)
        logger.error("%s", describe(error))
        return exit_code(error)
    except Exception as error:
        logger.critical("cannot start because of a defect", exc_info=True)
        if failed is not None:
            failed(error)
        return EXIT_CRASH
    # the server's listener has the port that was bound where port 0 was asked for
    url = url_of(server.address)
    logger.info(
        "pid %d serves %s at %s, durability %s",
        os.getpid(),
        settings.directory,
        url,
        settings.durability,
    )
    if ready is not None:
        ready(url)
    try:
        server.serve_forever()
    except TaskqError as error:
        logger.critical("stopped: %s", error)
        return EXIT_CRASH
    except Exception:
        logger.critical("stopped by a defect; nothing of this tick was answered", exc_info=True)
        return EXIT_CRASH
    logger.info("stopped")
    return EXIT_CLEAN


def exit_code(error: Exception) -> int:
    """For a broker that cannot start; 2 and 4 do not pass by themselves."""
    if isinstance(error, BrokerRunning):
        return EXIT_RUNNING
    # the directory or the key file is not ours alone, or cannot be made
    if isinstance(error, AuthenticationFailed | BrokerUnavailable | PermissionError):
        return EXIT_USAGE
    return EXIT_CRASH


def _may_pass(error: Exception) -> bool:
    """Whether what hindered the start may be over in a moment."""
    if isinstance(error, OSError):
        return error.errno in _SHORTAGES
    return isinstance(error, BrokerRunning)


class ReadyPipe:
    """Reports the start to the process that waits for it, in one line: `ready`, `again: …` or
    `error: …`. `again`: another attempt may succeed.

    Args:
        fd: a descriptor to write to and close.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def ready(self, url: str) -> None:
        """Clients can connect."""
        self._write("ready\n")

    def failed(self, error: Exception) -> None:
        """The broker is about to leave."""
        kind = "again" if _may_pass(error) else "error"
        self._write(f"{kind}: {describe(error)}\n")

    def _write(self, line: str) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # nobody waits any more
                os.write(self._fd, line.encode())
            os.close(self._fd)
            self._fd = None

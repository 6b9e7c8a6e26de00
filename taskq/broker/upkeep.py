"""Restores the files of a running broker: its socket and its key. Without its lock the broker ends.

Users and cleanup programs remove files. A broker that no client can reach, or that serves a directory
which another broker may serve too, is worse than one that stops.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from taskq.broker.listener import Listener
from taskq.errors import AuthenticationFailed, BrokerUnavailable
from taskq.transport.keys import read_key, write_key
from taskq.transport.lock import DirectoryLock

logger = logging.getLogger("taskq.broker")


class Upkeep:
    """Looks after the files of one broker.

    Args:
        lock: of the directory.
        listener: it gets a new socket if the file of the old one is gone.
        key: the authentication key.
        key_file: where clients read it; `None`: the user has named a file elsewhere.
    """

    def __init__(
        self, lock: DirectoryLock, listener: Listener, key: bytes, key_file: Path | None
    ) -> None:
        self._lock = lock
        self._listener = listener
        self._key = key
        self._key_file = key_file
        self._key_seen: tuple[int, ...] | None = None
        self._complaint = ""

    def look(self) -> socket.socket | None:
        """Restore missing files. Returns the new listening socket if there had to be one.

        Raises:
            BrokerUnavailable: the lock is gone; the broker has to stop.
        """
        if not self._lock.is_in_place:
            directory = self._lock.path.parent
            gone = self._lock.path if directory.is_dir() else directory
            raise BrokerUnavailable(
                f"{gone} was removed or replaced under the broker, which stops, since another one "
                f"may serve {directory} now; stop a broker before you remove its files"
            )
        renewed = None
        try:
            if not self._listener.is_in_place:
                renewed = self._listener.renew()
                logger.warning("the socket %s was gone and is back", self._listener.address)
            self._look_at_key()
        except (OSError, AuthenticationFailed) as error:
            self._complain(f"clients cannot connect: {error}")
        else:
            self._complaint = ""
        return renewed

    def _look_at_key(self) -> None:
        path = self._key_file
        if path is None:
            return
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            write_key(path, self._key)
            logger.warning("the key %s was gone and is back", path)
            found = os.lstat(path)
        seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
        if seen == self._key_seen:
            return
        if read_key(path) != self._key:
            raise AuthenticationFailed(
                f"{path} holds another key than this broker has used since its start; "
                "restart the broker to use that one"
            )
        self._key_seen = seen

    def _complain(self, sentence: str) -> None:
        """Log a complaint once, until all is well again."""
        if sentence != self._complaint:
            logger.error("%s", sentence)
            self._complaint = sentence

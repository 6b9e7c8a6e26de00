"""The lock of a broker directory: one broker serves it, and the file names its process.

The broker holds two locks on the same file. The `flock` lock gives the right to serve the directory.
The `fcntl` lock is a witness: the kernel reports the process id of its holder. A process that asks
takes no lock itself, so it cannot hinder a start, and reads no text that a killed broker has left.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import NamedTuple

from taskq.errors import AuthenticationFailed, BrokerRunning
from taskq.transport.directory import BrokerDirectory
from taskq.transport.keys import ensure_key, has_payload_key

_STARTING = "starting"
_TEXT = 512  # bytes: the longest pid, and the word or the URL

# `struct flock`: type, from where, start, length, process; macOS has another order
_LINUX = sys.platform == "linux"
_FLOCK = struct.Struct("hhqqi4x" if _LINUX else "qqihh")


class Holder(NamedTuple):
    """The broker process that holds the lock of a directory.

    Attributes:
        pid: its process id; 0 if it lives in another container.
        is_starting: whether it still reads its journal.
        url: where it listens; empty for the socket of the directory.
    """

    pid: int
    is_starting: bool
    url: str = ""


def holder_of(directory: Path) -> Holder | None:
    """The broker that has the lock of `directory`, or `None` if none lives.

    Never reports a broker that runs in a thread of the calling process.
    """
    try:
        fd = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        pid = _witness(fd)
        if pid is None:
            return None
        word = _text(fd).partition(" ")[2]
        return Holder(pid, True) if word == _STARTING else Holder(pid, False, word)
    finally:
        os.close(fd)


def starting(directory: Path) -> int:
    """The process of a broker that is still reading the journal of `directory`; 0 if none is."""
    holder = holder_of(directory)
    return holder.pid if holder is not None and holder.is_starting else 0


def key_of(directory: BrokerDirectory) -> bytes:
    """The authentication key of a directory, made if it is missing and nothing was signed yet.

    Raises:
        AuthenticationFailed: the key file cannot be trusted, or is gone though there is a journal.
        BrokerRunning: it is gone, and the broker that uses it lives; a broker puts it back.
    """
    path = directory.key_file
    if not os.path.lexists(path) and (holder := holder_of(directory.path)) is not None:
        raise BrokerRunning(
            f"the key {path} was removed while the broker (pid {holder.pid or 'unknown'}) uses it; "
            "put it back, or stop that broker and start another one"
        )
    if not os.path.lexists(path) and directory.has_journal and not has_payload_key():
        # with another key every call in the journal would be refused, and every result unreadable
        raise AuthenticationFailed(
            f"the key {path} is missing, and the calls in the journal next to it are signed with it; "
            "put it back from a backup, or put a new key there if these calls may be lost"
        )
    return ensure_key(path)


class DirectoryLock:
    """The right to serve a directory, for as long as this process lives or until `release`.

    Raises:
        BrokerRunning: another process has it; the sentence names its pid.
    """

    def __init__(self, directory: BrokerDirectory) -> None:
        self.path = directory.path / "lock"
        self._fd = self._take(directory.path)
        # never refused: nobody asks for it who does not hold the other lock
        fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write(f"{os.getpid()} {_STARTING}\n")

    def _take(self, directory: Path) -> int:
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _witness(fd) or _text(fd).partition(" ")[0] or "unknown"
                os.close(fd)
                raise BrokerRunning(
                    f"another broker (pid {pid}) already serves {directory}; "
                    "stop it, or use another directory"
                ) from None
            if _names(self.path, fd):
                return fd
            os.close(fd)  # removed between the two calls: a lock on it excludes nobody

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still there, so that the next broker will find it locked."""
        return self._fd >= 0 and _names(self.path, self._fd)

    def serving(self, url: str = "") -> None:
        """Show that the broker can be reached. `url`: where, if not at the socket of the directory."""
        self._write(f"{os.getpid()} {url}".rstrip() + "\n")

    def _write(self, text: str) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, os.fsencode(text), 0)

    def release(self) -> None:
        """Let another broker have the directory."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _witness(fd: int) -> int | None:
    """The process with the `fcntl` lock on a file; `None`: nobody has it, or this process."""
    if _LINUX:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    else:
        asked = _FLOCK.pack(0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        _, _, pid, kind, _ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)


def _text(fd: int) -> str:
    return os.pread(fd, _TEXT, 0).decode("ascii", "replace").strip()


def _names(path: Path, fd: int) -> bool:
    """Whether `path` is the file that is open as `fd`."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # a look that fails is no proof that it is gone
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

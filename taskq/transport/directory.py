"""The broker directory: its path, its owner and its files.

key           the authentication key, mode 0600
lock          held by the broker for as long as it lives (see `taskq.transport.lock`)
sock          the unix socket
start.lock    held by a client while it starts a broker
broker.log    what an automatically started broker has to say
journal.*     the messages (see `taskq.journal`)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from taskq.errors import AuthenticationFailed, BrokerUnavailable
from taskq.transport.sync import sync_directory


def default_path(name: str) -> Path:
    """Where the embedded broker of a queue lives.

    `$TASKQ_DIR/NAME`, else `$XDG_STATE_HOME/taskq/NAME`, else `~/.local/state/taskq/NAME`.

    Raises:
        ValueError: the name cannot be that of a directory.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise ValueError(
            f"the queue name {name!r} cannot name a directory; "
            'use another one, or say where the broker lives: broker="embedded:DIR"'
        )
    if root := os.environ.get("TASKQ_DIR"):
        return Path(root).expanduser() / name
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "taskq" / name
    return Path.home() / ".local" / "state" / "taskq" / name


class BrokerDirectory:
    """A directory that is known to be ours alone.

    Args:
        path: made with mode 0700 if it is missing.

    Raises:
        AuthenticationFailed: it is a symbolic link, another user's, or open to others.
        BrokerUnavailable: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            _make(path)
        except FileExistsError:
            pass  # whatever it is, the check below says whether it will do
        except OSError as error:
            raise BrokerUnavailable(
                f"the broker directory {path} cannot be made: {error.strerror}; name another one"
            ) from None
        _check(path, os.lstat(path))
        self.path = Path(os.path.realpath(path))

    @property
    def socket(self) -> Path:
        """Where the unix socket is."""
        return self.path / "sock"

    @property
    def log(self) -> Path:
        """Where an automatically started broker logs to."""
        return self.path / "broker.log"

    @property
    def has_journal(self) -> bool:
        """Whether a broker has kept a journal here."""
        return (self.path / "journal.db").exists()

    @property
    def key_file(self) -> Path:
        """Where the authentication key is; see `taskq.transport.lock.key_of`."""
        return self.path / "key"


def _make(path: Path) -> None:
    missing = [path, *(above for above in path.parents if not above.exists())]
    path.mkdir(mode=0o700, parents=True)
    # a directory survives power loss once the one that names it is synced
    for made in missing:
        sync_directory(made.parent)


def _check(path: Path, info: os.stat_result) -> None:
    if stat.S_ISLNK(info.st_mode):
        raise AuthenticationFailed(
            f"the broker directory {path} is a symbolic link; name the directory itself"
        )
    if not stat.S_ISDIR(info.st_mode):
        raise AuthenticationFailed(f"the broker directory {path} is not a directory")
    if info.st_uid != os.geteuid():
        raise AuthenticationFailed(
            f"the broker directory {path} belongs to user {info.st_uid}, "
            f"not to user {os.geteuid()}; use one of your own"
        )
    if info.st_mode & 0o077:
        raise AuthenticationFailed(
            f"the broker directory {path} is open to others "
            f"(mode {stat.S_IMODE(info.st_mode):o}); run: chmod 700 {path}"
        )
